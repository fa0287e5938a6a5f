package broker_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/recordbatch"
)

func sized(size uint32, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, size), rest...)
}

// header is a request header up to the client id, which is null.
func header(key, version int16) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	return append(b, 0, 0, 0, 7, 0xff, 0xff)
}

func framed(parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	return sized(uint32(len(b)), b...)
}

// TestHostileFrames: what is no request ends its connection without an answer.
func TestHostileFrames(t *testing.T) {
	v := newVictim(t, nil)
	garbage := make([]byte, 4<<10)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range garbage {
		garbage[i] = byte(rng.Uint32()) | 0x80 // a negative size
	}
	tagBomb := []byte{2, 'a', 2, 'b', 0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, x := range []struct {
		name string
		sent []byte
	}{
		{"garbage", garbage},
		{"2 GiB", sized(math.MaxInt32, header(0, 9)...)},
		{"negative size", sized(math.MaxUint32, header(0, 9)...)},
		{"no size", sized(0)},
		{"shorter than a header", sized(9, header(18, 0)...)},
		{"cut off in the size", []byte{0, 0}},
		{"cut off in the header", sized(100, 0, 18)},
		{"cut off in the body", sized(100, header(3, 9)...)},
		{"unknown key", framed(header(9999, 0))},
		{"negative key", framed(header(-1, 0))},
		{"a key for brokers only", framed(header(4, 0))},
		{"TLS", append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, garbage[:500]...)},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")},
		{"HTTP/2", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
		{"a Produce over 100 MiB", sized(100<<20+1, header(0, 9)...)},
		{"a Metadata over 1 MiB", sized(1<<20+1, header(3, 9)...)},
		{"an ApiVersions over 16 KiB", sized(16<<10+1, header(18, 3)...)},
		{"client id beyond the frame", framed(header(3, 8)[:8], []byte{0x7f, 0xff})},
		{"client id of length -2", framed(header(3, 8)[:8], []byte{0xff, 0xfe})},
		{"tag bomb in the header", framed(header(3, 9), []byte{0xff, 0xff, 0xff, 0xff, 0x0f})},
		{"tag bomb in ApiVersions", framed(header(18, 3), []byte{0}, tagBomb)},
		{"tag that is longer than the frame", framed(header(18, 3), []byte{0}, tagBomb[:4], []byte{1, 0, 0xff, 0xff, 0xff, 0xff, 7})},
		{"varint without an end", framed(header(3, 9), []byte{0}, bytes.Repeat([]byte{0xff}, 20))},
		{"2 billion topics", framed(header(3, 8), []byte{0x7f, 0xff, 0xff, 0xff})},
		{"a million topics in 20 bytes", framed(header(3, 9), []byte{0, 0xc0, 0x84, 0x3d}, make([]byte, 20))},
		{"nested counts that lie", framed(header(1, 4), make([]byte, 17), []byte{0, 0, 0, 1, 0, 1, 't', 0x7f, 0, 0, 0})},
		{"null where there is none", framed(header(19, 2), []byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 5))},
	} {
		t.Run(x.name, func(t *testing.T) {
			if answer := v.sendAndRead(x.sent); len(answer) != 0 {
				t.Errorf("got an answer of %d bytes", len(answer))
			}
		})
	}
	v.recovered()
}

// TestHostileVersions: one below and one above what is served closes the
// connection; of ApiVersions it is answered, and the connection goes on.
func TestHostileVersions(t *testing.T) {
	v := newVictim(t, nil)
	for _, api := range protocol.APIs() {
		for _, version := range []int16{api.Floor - 1, api.Max + 1, -1, math.MinInt16, math.MaxInt16} {
			sent := framed(header(api.Key, version), make([]byte, 50))
			if api.Key != protocol.KeyApiVersions {
				if answer := v.sendAndRead(sent); len(answer) != 0 {
					t.Errorf("%s version %d: got an answer of %d bytes", api.Name, version, len(answer))
				}
				continue
			}
			c := dial(t, v.addr)
			if _, err := c.conn.Write(sent); err != nil {
				t.Fatal(err)
			}
			resp := kmsg.NewPtrApiVersionsResponse()
			if err := resp.ReadFrom(c.frame()[4:]); err != nil {
				t.Fatal(err)
			}
			if protocol.ErrorCode(resp.ErrorCode) != protocol.CodeUnsupportedVersion || len(resp.ApiKeys) != 1 ||
				resp.ApiKeys[0].ApiKey != protocol.KeyApiVersions || resp.ApiKeys[0].MaxVersion != api.Max {
				t.Errorf("ApiVersions version %d: %+v", version, resp)
			}
			metadataOf(c, 9, "healthy")
			if err := c.conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	v.recovered()
}

// badNames are topic names that nobody may have.
var badNames = []string{
	"", ".", "..", "../../etc/passwd", "a/b", "/", `a\b`, "a b", "a\x00b", "ü", "t\n", "*", strings.Repeat("x", 250), strings.Repeat("x", 5000),
}

// TestHostileNames: nothing makes such a topic or touches a file for it.
func TestHostileNames(t *testing.T) {
	v := newVictim(t, map[string]string{"auto.create.topics.enable": "true"})
	before := tree(t, v.b.Node().DataDir())
	c := dial(t, v.addr)
	for _, name := range badNames {
		create := kmsg.NewPtrCreateTopicsRequest()
		create.Version, create.TimeoutMillis = 6, 1000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		create.Topics = append(create.Topics, topic)
		if got := protocol.ErrorCode(ask[*kmsg.CreateTopicsResponse](c, create).Topics[0].ErrorCode); got != protocol.CodeInvalidTopicException {
			t.Errorf("create %.20q: %v", name, got)
		}
		meta := kmsg.NewPtrMetadataRequest()
		meta.Version, meta.AllowAutoTopicCreation = 9, true
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &name
		meta.Topics = append(meta.Topics, asked)
		if got := protocol.ErrorCode(ask[*kmsg.MetadataResponse](c, meta).Topics[0].ErrorCode); got != protocol.CodeInvalidTopicException {
			t.Errorf("metadata %.20q: %v", name, got)
		}
		good := batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))
		if got := protocol.ErrorCode(c.produce(name, 0, -1, good).ErrorCode); got != protocol.CodeUnknownTopicOrPartition {
			t.Errorf("produce %.20q: %v", name, got)
		}
		if got := protocol.ErrorCode(c.fetch(name, 0, 0).ErrorCode); got != protocol.CodeUnknownTopicOrPartition {
			t.Errorf("fetch %.20q: %v", name, got)
		}
		if got := commit(c, "g", name, 0, 1, ""); got != protocol.CodeUnknownTopicOrPartition {
			t.Errorf("commit %.20q: %v", name, got)
		}
	}
	if after := tree(t, v.b.Node().DataDir()); after != before {
		t.Errorf("files were made or removed: %s, was %s", after, before)
	}
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	v.recovered()
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// Positions in a batch that the lies below are written to.
const (
	atLength, atMagic, atAttributes, atLastDelta, atProducerID, atSequence, atCount = 8, 16, 21, 23, 43, 53, 57
)

// lying is a batch with a change in its header, or after it, and the checksum
// made right again.
func lying(t *testing.T, codec recordbatch.Codec, change func(b []byte) []byte) []byte {
	b := change(batchOf(t, plain, codec, record("k", "v"), record("k", "w")))
	if len(b) > recordbatch.HeaderBytes {
		highest := int64(binary.BigEndian.Uint64(b[35:]))
		recordbatch.SetMaxTimestamp(b, highest) // renews the checksum
	}
	return b
}

func put32(at int, n int32) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], uint32(n)); return b }
}

func putAttributes(bits uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint16(b[atAttributes:], bits); return b }
}

// TestHostileBatches: batches that lie are refused with their code, and leave
// nothing behind.
func TestHostileBatches(t *testing.T) {
	v := newVictim(t, map[string]string{"max.decompressed.batch.bytes": "1048576"})
	v.healthy.createTopic("t", 1, nil)
	v.fds, v.goroutines = openFiles(t), v.goroutines+2
	c := dial(t, v.addr)
	none := recordbatch.CodecNone
	type lie struct {
		name  string
		batch []byte
		want  protocol.ErrorCode
	}
	lies := []lie{
		{"one record too many", lying(t, none, put32(atCount, 3)), protocol.CodeInvalidRecord},
		{"one record too few", lying(t, none, put32(atCount, 1)), protocol.CodeInvalidRecord},
		{"2 billion records", lying(t, none, func(b []byte) []byte { return put32(atLastDelta, math.MaxInt32-1)(put32(atCount, math.MaxInt32)(b)) }), protocol.CodeInvalidRecord},
		{"no records", lying(t, none, func(b []byte) []byte { return put32(atLastDelta, -1)(put32(atCount, 0)(b)) }), protocol.CodeInvalidRecord},
		{"-1 records", lying(t, none, put32(atCount, -1)), protocol.CodeInvalidRecord},
		{"a negative last delta", lying(t, none, put32(atLastDelta, math.MinInt32)), protocol.CodeInvalidRecord},
		{"length too large", lying(t, none, put32(atLength, 1000)), protocol.CodeInvalidRecord},
		{"length too small", lying(t, none, put32(atLength, 50)), protocol.CodeInvalidRecord},
		{"a negative length", lying(t, none, put32(atLength, -1)), protocol.CodeCorruptMessage},
		{"a base offset", lying(t, none, put32(4, 9)), protocol.CodeInvalidRecord},
		{"a control batch", lying(t, none, putAttributes(1<<5)), protocol.CodeInvalidRecord},
		{"a transaction without a producer", lying(t, none, putAttributes(1<<4)), protocol.CodeInvalidRecord},
		{"codec 5", lying(t, none, putAttributes(5)), protocol.CodeUnsupportedCompressionType},
		{"codec 7", lying(t, none, putAttributes(7)), protocol.CodeUnsupportedCompressionType},
		{"log append time", lying(t, none, putAttributes(1<<3)), protocol.CodeInvalidTimestamp},
		{"magic 0", lying(t, none, func(b []byte) []byte { b[atMagic] = 0; return b }), protocol.CodeInvalidRecord},
		{"magic 3", lying(t, none, func(b []byte) []byte { b[atMagic] = 3; return b }), protocol.CodeCorruptMessage},
		{"cut off", lying(t, none, func(b []byte) []byte { return b[:len(b)-3] }), protocol.CodeInvalidRecord},
		{"less than a header", lying(t, none, func(b []byte) []byte { return b[:20] }), protocol.CodeCorruptMessage},
		{"nothing but zeros", make([]byte, 200), protocol.CodeInvalidRecord},
		{"a producer without a sequence", lying(t, none, func(b []byte) []byte { binary.BigEndian.PutUint64(b[atProducerID:], 5); return b }), protocol.CodeInvalidRecord},
		{"a time to come", batchOf(t, plain, none, recordbatch.Record{Timestamp: math.MaxInt64}), protocol.CodeInvalidTimestamp},
	}
	zeros := recordbatch.Record{Timestamp: testTime, Value: make([]byte, 8<<20)}
	for codec := recordbatch.CodecGzip; codec.Known(); codec++ {
		lies = append(lies,
			lie{codec.String() + " bomb", batchOf(t, plain, codec, zeros), protocol.CodeMessageTooLarge},
			lie{codec.String() + " garbage", lying(t, codec, func(b []byte) []byte {
				for i := recordbatch.HeaderBytes; i < len(b); i++ {
					b[i] = 0xa5
				}
				return b
			}), protocol.CodeInvalidRecord},
			lie{codec.String() + " of one record too many", lying(t, codec, func(b []byte) []byte { return put32(atLastDelta, 2)(put32(atCount, 3)(b)) }), protocol.CodeInvalidRecord},
			lie{"plain records called " + codec.String(), lying(t, none, putAttributes(uint16(codec))), protocol.CodeInvalidRecord},
		)
	}
	for _, l := range lies {
		got := c.produce("t", 0, -1, l.batch)
		if protocol.ErrorCode(got.ErrorCode) != l.want || got.BaseOffset != -1 {
			t.Errorf("%s: got %v (%s) at %d, want %v", l.name, protocol.ErrorCode(got.ErrorCode), *got.ErrorMessage, got.BaseOffset, l.want)
		}
	}
	if high := c.fetch("t", 0, 0).HighWatermark; high != 0 {
		t.Errorf("%d records were stored", high)
	}
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	v.recovered()
}
