package broker_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol/recordbatch"
)

// TestDeletionCutsNoAnswerOff: who is amid a large answer reads it to its end, although what it is read from has been
// deleted meanwhile: by DeleteRecords, by retention, with the topic.
func TestDeletionCutsNoAnswerOff(t *testing.T) {
	const batches, size = 24, 1_000_000 // far more than sockets hold
	for name, remove := range map[string]func(l *liveTopic){
		"delete records": func(l *liveTopic) {
			if _, err := l.partition().DeleteRecords(t.Context(), -1); err != nil {
				t.Fatal(err)
			}
		},
		"retention": func(l *liveTopic) {
			if got := incremental(l.c, kmsg.ConfigResourceTypeTopic, l.name, "retention.ms", kmsg.IncrementalAlterConfigOpSet, "1"); got != 0 {
				t.Fatal(got)
			}
			brokertest.Eventually(t, "retention deletes all", func() bool { return l.maintain() == batches })
		},
		"deleted topic": func(l *liveTopic) {
			if _, err := l.b.Node().DeleteTopics(t.Context(), [][16]byte{l.b.Node().Topic(l.name).ID}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t, nil)
			l := &liveTopic{t: t, c: dial(t, b.Addr()), b: b, name: "t"}
			l.c.createTopic(l.name, 1, map[string]string{"retention.ms": "-1"})
			value := bytes.Repeat([]byte("0123456789"), size/10)
			for range batches {
				if got := l.put(recordbatch.Record{Timestamp: testTime, Key: []byte("k"), Value: value}); got != 0 {
					t.Fatal(got)
				}
			}
			dir := l.partition().Dir()
			reader := dial(t, b.Addr())
			if err := reader.conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			req := fetchRequest(11, l.name, [16]byte{}, 0, 0)
			req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 2*batches*size, 2*batches*size
			id := reader.send(req)
			var head [4]byte
			if _, err := io.ReadFull(reader.conn, head[:]); err != nil {
				t.Fatal(err)
			}
			if n := binary.BigEndian.Uint32(head[:]); n < batches*size {
				t.Fatalf("the answer has %d bytes", n)
			}
			remove(l)
			brokertest.Eventually(t, "the first segment is gone", func() bool {
				files, err := filepath.Glob(filepath.Join(dir, "00000000000000000000.*"))
				return err == nil && len(files) == 0
			})
			frame := make([]byte, binary.BigEndian.Uint32(head[:]))
			if _, err := io.ReadFull(reader.conn, frame); err != nil {
				t.Fatalf("amid the answer: %v", err)
			}
			resp := req.ResponseKind().(*kmsg.FetchResponse)
			if err := resp.ReadFrom(frame[4:]); err != nil || int32(binary.BigEndian.Uint32(frame)) != id {
				t.Fatal(err)
			}
			got := resp.Topics[0].Partitions[0].RecordBatches
			for n := range batches {
				h, err := recordbatch.ParseHeader(got)
				if err == nil {
					err = recordbatch.VerifyChecksum(got[:h.SizeBytes()])
				}
				if err != nil || h.BaseOffset != int64(n) {
					t.Fatalf("batch %d: %+v, %v", n, h, err)
				}
				got = got[h.SizeBytes():]
			}
		})
	}
}
