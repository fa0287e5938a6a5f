//go:build torture

package torture

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/torture/history"
)

// segmentFile is a .log file of a stopped broker, taken apart as far as
// segment/FORMAT.md, section 1, tells anybody.
type segmentFile struct {
	t      *testing.T
	path   string
	b      []byte
	frames []int // where each begins, and at last where the data end
}

const segmentHeaderBytes = 96

// segmentFiles reads the segments of a topic's partition 0, oldest first.
func segmentFiles(t *testing.T, b *broker, id [16]byte) (files []*segmentFile) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(b.data, "topics", hex.EncodeToString(id[:]), "0", "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	for _, name := range names {
		f := &segmentFile{t: t, path: name}
		if f.b, err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
		p := segmentHeaderBytes
		for f.frames = []int{p}; p+12 < len(f.b); f.frames = append(f.frames, p) {
			n := int(binary.BigEndian.Uint32(f.b[p+8:]))
			if n == 0 {
				break
			}
			p += 12 + n
		}
		files = append(files, f)
	}
	return files
}

// topicID asks for a topic's id, which names its folder.
func (b *broker) topicID(name string) [16]byte {
	b.t.Helper()
	client := b.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	topics, err := kadm.NewClient(client).ListTopics(ctx, name)
	if err != nil {
		b.t.Fatal(err)
	}
	return topics[name].ID
}

func (f *segmentFile) end() int { return f.frames[len(f.frames)-1] }

// checked draws a position that a checksum covers: not one of a batch's offset
// and epoch, which lie outside (segment/FORMAT.md, section 6), and not in the
// last frame, where bad bytes are a torn tail and are cut.
func (f *segmentFile) checked(rng *rand.Rand) int {
	for {
		position := rng.IntN(f.frames[len(f.frames)-2])
		frame, _ := slices.BinarySearch(f.frames, position+1)
		if position < segmentHeaderBytes {
			return position
		}
		if in := position - f.frames[frame-1]; in >= 16 || in >= 8 && in < 12 {
			return position
		}
	}
}

// save writes the file as it is in memory.
func (f *segmentFile) save() {
	f.t.Helper()
	if err := os.WriteFile(f.path, f.b, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// tear leaves the beginning of one more frame behind the last one: an append
// that the process did not live to end.
func (f *segmentFile) tear(bytesOf func(frame []byte) []byte) {
	last := bytes.Clone(f.b[f.frames[len(f.frames)-2]:f.end()])
	records := binary.BigEndian.Uint32(last[57:])
	binary.BigEndian.PutUint64(last, binary.BigEndian.Uint64(last)+uint64(records))
	torn := bytesOf(last)
	if grow := f.end() + len(torn) - len(f.b); grow > 0 {
		f.b = append(f.b, make([]byte, grow)...)
	}
	copy(f.b[f.end():], torn)
	f.save()
}

// containsLine reports whether a line of a log has all these words.
func containsLine(log []byte, words ...string) bool {
	for line := range bytes.Lines(log) {
		found := true
		for _, w := range words {
			found = found && bytes.Contains(line, []byte(w))
		}
		if found {
			return true
		}
	}
	return false
}

// tryReading reads a topic's partition 0 from offset 0 as a plain consumer
// would, until the end, the first error or the limit, which is none, and returns
// what came.
func (l *load) tryReading(to topic, end int64, limit time.Duration) (events []history.Event, err error) {
	client := l.b.client(consumeFromStart(to)...)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for int64(len(events)) < end {
		fetches := client.PollFetches(ctx)
		for _, r := range fetches.Records() {
			events = append(events, polled(history.Poll, 2000, to, r))
		}
		if ctx.Err() != nil {
			return events, nil
		}
		if err := fetches.Err(); err != nil {
			return events, err
		}
	}
	return events, nil
}
