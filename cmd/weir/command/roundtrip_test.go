package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"weir/cmd/weir/jsonl"
)

// nullable draws null, empty, text and bytes that are no text.
func nullable() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.Just([]byte(nil)),
		rapid.Just([]byte{}),
		rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
		rapid.SliceOfN(rapid.Byte(), 1, 60),
	)
}

// TestJSONLRoundTrip is the promise of the two verbs together: what consume prints as JSONL, produce
// turns into the same records, in the same order within each partition.
func TestJSONLRoundTrip(t *testing.T) {
	c := newCLI(t)
	topics := 0
	rapid.Check(t, func(t *rapid.T) {
		topics++
		first, second := fmt.Sprintf("first-%d", topics), fmt.Sprintf("second-%d", topics)
		c.ok("topic", "create", first, second, "-p", "3", "-c", "message.timestamp.before.max.ms=9223372036854775807")
		perPartition := map[int32][]*kgo.Record{}
		var in []byte
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			r := &kgo.Record{
				Topic:     first,
				Partition: rapid.Int32Range(0, 2).Draw(t, "partition"),
				Timestamp: time.UnixMilli(rapid.Int64Range(0, time.Now().UnixMilli()).Draw(t, "millis")),
				Key:       nullable().Draw(t, "key"),
				Value:     nullable().Draw(t, "value"),
			}
			for range rapid.IntRange(0, 3).Draw(t, "headers") {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(nullable().Draw(t, "name")), Value: nullable().Draw(t, "header")})
			}
			r.Offset = int64(len(perPartition[r.Partition]))
			perPartition[r.Partition] = append(perPartition[r.Partition], r)
			in = jsonl.Append(in, r)
		}
		codec := rapid.SampledFrom([]string{"none", "gzip", "snappy", "lz4", "zstd"}).Draw(t, "codec")
		c.okIn(string(in), "produce", first, "-i", "jsonl", "-q", "-z", codec)
		once := c.ok("consume", first, "-e", "-o", "jsonl")
		c.okIn(once, "produce", second, "-i", "jsonl", "-q")
		twice := c.ok("consume", second, "-e", "-o", "jsonl")
		for topic, printed := range map[string]string{first: once, second: twice} {
			for p := range int32(3) {
				var want []byte
				for _, r := range perPartition[p] {
					r.Topic = topic
					want = jsonl.Append(want, r)
				}
				if got := linesOf(printed, p); !bytes.Equal(got, want) {
					t.Fatalf("%s[%d]:\n%swant\n%s", topic, p, got, want)
				}
			}
		}
	})
}

// linesOf are the lines about one partition, in order.
func linesOf(printed string, partition int32) (lines []byte) {
	mark := fmt.Sprintf(`,"partition":%d,"offset":`, partition)
	for line := range strings.Lines(printed) {
		if head, _, _ := strings.Cut(line, `,"timestamp"`); strings.Contains(head, mark) {
			lines = append(lines, line...)
		}
	}
	return lines
}
