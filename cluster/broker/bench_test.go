package broker_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol/recordbatch"
)

// batchBytes are the sizes of what the benchmarks send and fetch.
var batchBytes = []int{64 << 10, 1 << 20}

// kilobyteRecords makes an uncompressed batch of about n bytes out of records
// of 1 KiB.
func kilobyteRecords(b *testing.B, n int) []byte {
	records := make([]recordbatch.Record, n>>10)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: testTime, Key: []byte("key"), Value: make([]byte, 1<<10-16)}
	}
	return batchOf(b, plain, recordbatch.CodecNone, records...)
}

// roundTrip writes a frame and reads the answer into buf, without allocating,
// so that allocations counted are the broker's.
func roundTrip(b *testing.B, conn net.Conn, frame, buf []byte) {
	if _, err := conn.Write(frame); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(conn, buf[:4]); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(conn, buf[:binary.BigEndian.Uint32(buf)]); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkProduce is one produce request after the other on one connection,
// with write.caching: the cost of the request path and of one pwrite.
func BenchmarkProduce(b *testing.B) {
	for _, size := range batchBytes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			broker := brokertest.Start(b, nil)
			c := dial(b, broker.Addr())
			id := c.createTopic("t", 1, map[string]string{"write.caching": "true", "segment.bytes": "268435456", "retention.bytes": "536870912"})
			batch := kilobyteRecords(b, size)
			frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, produceRequest(13, "", id, 0, -1, batch), 1)
			buf := make([]byte, 4096)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				roundTrip(b, c.conn, frame, buf)
			}
		})
	}
}

// BenchmarkFetch reads the same batches again and again.
func BenchmarkFetch(b *testing.B) {
	for _, size := range batchBytes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			broker := brokertest.Start(b, nil)
			c := dial(b, broker.Addr())
			id := c.createTopic("t", 1, map[string]string{"write.caching": "true"})
			batch := kilobyteRecords(b, size)
			for range 4 {
				c.produce("t", 0, 1, batch)
			}
			req := fetchRequest(13, "", id, 0, 0)
			req.Topics[0].Partitions[0].PartitionMaxBytes = int32(len(batch))
			frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1)
			buf := make([]byte, 4<<20)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				roundTrip(b, c.conn, frame, buf)
			}
		})
	}
}
