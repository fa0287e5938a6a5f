package recordbatch

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// golden pins the format: what is on disks must stay readable. Records: key "k",
// value "v" at 1000; null key, null value and a header h=null at 1001.
const golden = "0000000000000007" + "00000044" + "00000003" + "02" + "ae551989" + "0010" +
	"00000001" + "00000000000003e8" + "00000000000003e9" + "000000000000000b" + "0002" + "00000005" + "00000002" +
	"10" + "00" + "00" + "00" + "02" + "6b" + "02" + "76" + "00" +
	"12" + "00" + "02" + "02" + "01" + "01" + "02" + "02" + "68" + "01"

func goldenHeader() Header {
	return Header{
		BaseOffset: 7, PartitionLeaderEpoch: 3, Attributes: attributeTransactional,
		ProducerID: 11, ProducerEpoch: 2, BaseSequence: 5,
	}
}

func goldenRecords() []Record {
	return []Record{
		{Offset: 7, Timestamp: 1000, Key: []byte("k"), Value: []byte("v")},
		{Offset: 8, Timestamp: 1001, Headers: []RecordHeader{{Key: "h"}}},
	}
}

func TestGoldenBytes(t *testing.T) {
	b := mustAppend(t, goldenHeader(), CodecNone, goldenRecords()...)
	if got := hex.EncodeToString(b); got != golden {
		t.Errorf("\ngot  %s\nwant %s", got, golden)
	}
}

// foreignCompress compresses with an independent client's code.
func foreignCompress(t *testing.T, codec Codec, records []byte) []byte {
	t.Helper()
	options := map[Codec]kgo.CompressionCodec{
		CodecGzip: kgo.GzipCompression(), CodecSnappy: kgo.SnappyCompression(),
		CodecLZ4: kgo.Lz4Compression(), CodecZstd: kgo.ZstdCompression(),
	}
	c, err := kgo.DefaultCompressor(options[codec])
	if err != nil {
		t.Fatal(err)
	}
	out, used := c.Compress(new(bytes.Buffer), records)
	if Codec(used) != codec {
		t.Fatalf("compressed with %d, want %s", used, codec)
	}
	return bytes.Clone(out)
}

// foreignBatch encodes the golden records with franz-go's own codecs.
func foreignBatch(t *testing.T, codec Codec) []byte {
	t.Helper()
	var records []byte
	for i, r := range goldenRecords() {
		m := kmsg.Record{
			TimestampDelta64: r.Timestamp - 1000, OffsetDelta: int32(i), Key: r.Key, Value: r.Value,
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		// A record's own length is not known before it is encoded once.
		body := m.AppendTo(nil)[1:]
		m.Length = int32(len(body))
		records = m.AppendTo(records)
	}
	if codec != CodecNone {
		records = foreignCompress(t, codec, records)
	}
	in := goldenHeader()
	batch := kmsg.RecordBatch{
		FirstOffset: in.BaseOffset, Length: int32(minBatchLength + len(records)),
		PartitionLeaderEpoch: in.PartitionLeaderEpoch, Magic: Magic, Attributes: in.Attributes | int16(codec),
		LastOffsetDelta: 1, FirstTimestamp: 1000, MaxTimestamp: 1001,
		ProducerID: in.ProducerID, ProducerEpoch: in.ProducerEpoch, FirstSequence: in.BaseSequence,
		NumRecords: 2, Records: records,
	}
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[positionCRC:], crc32.Checksum(b[positionAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// Batches of franz-go are accepted and read as they were meant, and without a
// codec its bytes are ours.
func TestBatchesOfFranzGo(t *testing.T) {
	for _, codec := range allCodecs {
		b := foreignBatch(t, codec)
		if got := hex.EncodeToString(b); codec == CodecNone && got != golden {
			t.Errorf("\nfranz-go %s\nours     %s", got, golden)
		}
		SetBaseOffset(b, 0)
		before := bytes.Clone(b)
		if _, err := Validate(b, Rules{}); err != nil || !bytes.Equal(b, before) {
			t.Errorf("%s: %v", codec, err)
		}
		SetBaseOffset(b, 7)
		all, err := collect(b, 0)
		if err != nil || len(all) != 2 {
			t.Errorf("%s: %d records, %v", codec, len(all), err)
			continue
		}
		for i, want := range goldenRecords() {
			if !same(all[i], want) {
				t.Errorf("%s: record %d is %+v", codec, i, all[i])
			}
		}
	}
}

// And franz-go reads ours.
func TestFranzGoReadsOurBatches(t *testing.T) {
	for _, codec := range allCodecs {
		b := mustAppend(t, goldenHeader(), codec, goldenRecords()...)
		batch := kmsg.RecordBatch{}
		if err := batch.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		records, err := kgo.DefaultDecompressor().Decompress(batch.Records, kgo.CompressionCodecType(codec))
		if err != nil {
			t.Errorf("%s: %v", codec, err)
			continue
		}
		want := golden[2*HeaderBytes:]
		if got := hex.EncodeToString(records); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", codec, got, want)
		}
	}
}

func TestCodecNames(t *testing.T) {
	var names []string
	for _, codec := range append(allCodecs, 5, -1) {
		names = append(names, codec.String())
	}
	if got := strings.Join(names, " "); got != "none gzip snappy lz4 zstd unknown(5) unknown(-1)" {
		t.Error(got)
	}
}
