package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// fixture is a segment under test with what went into it.
type fixture struct {
	s      *Segment
	cfg    Config
	bytes  []byte  // of the `.log` file up to the valid length
	frames []Frame // as appended
	ends   []State // after each frame
}

func testHeader(interval int) Header {
	return Header{
		BaseOffset: 100, BaseRaftIndex: 41, EpochBefore: 2, Partition: 3,
		TopicID: [16]byte{0: 0xaa, 15: 0x55}, CreatedMillis: 1_700_000_000_000, IndexIntervalBytes: interval,
	}
}

func newFixture(t testing.TB, fsys vfs.FS, dir string, interval int) *fixture {
	t.Helper()
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{FS: fsys, Dir: dir}
	h := testHeader(interval)
	s, err := Create(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
	return &fixture{s: s, cfg: cfg, bytes: AppendHeader(nil, h)}
}

// end is the state after the last frame.
func (f *fixture) end() State {
	if len(f.ends) == 0 {
		return testHeader(1).start()
	}
	return f.ends[len(f.ends)-1]
}

// batch makes the next batch of n records.
func (f *fixture) batch(t testing.TB, n int, timestamp int64, value string) []byte {
	t.Helper()
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: timestamp, Value: []byte(value)}
	}
	end := f.end()
	b, err := recordbatch.AppendBatch(nil, recordbatch.Header{
		BaseOffset: end.NextOffset, PartitionLeaderEpoch: max(end.Epoch, 2),
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
	}, recordbatch.CodecNone, records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raft makes the next raft frame, of the epoch after the last.
func (f *fixture) raft(kind Kind, data string) []byte {
	end := f.end()
	return AppendRaftFrame(nil, kind, end.NextOffset, end.Epoch+1, end.NextRaftIndex, []byte(data))
}

// add appends one frame.
func (f *fixture) add(t testing.TB, frame []byte) {
	t.Helper()
	end := f.end()
	fr, reason := parseFrame(frame, end.Position)
	if reason != "" {
		t.Fatal(reason)
	}
	fr.RaftIndex = end.NextRaftIndex
	if err := f.s.Append([][]byte{frame}, []Frame{fr}, 1<<20); err != nil {
		t.Fatal(err)
	}
	end.add(fr)
	f.frames, f.ends, f.bytes = append(f.frames, fr), append(f.ends, end), append(f.bytes, frame...)
	if got, err := f.s.End(); err != nil || got != end {
		t.Fatalf("segment ends at %+v (%v), want %+v", got, err, end)
	}
}

// fill appends n frames, every eighth one of Raft's.
func (f *fixture) fill(t testing.TB, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range n {
		if i%8 == 3 {
			f.add(t, f.raft(Kind(1+i%3), "data"))
			continue
		}
		value := bytes.Repeat([]byte{'a' + byte(i%26)}, 10+r.IntN(200))
		f.add(t, f.batch(t, 1+r.IntN(4), 1_700_000_000_000+int64(i*10+r.IntN(50)), string(value)))
	}
}

// rewrite closes the segment and replaces the content of its `.log` file.
func (f *fixture) rewrite(t testing.TB, content []byte) {
	t.Helper()
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, f.cfg.FS, f.s.Path(), content)
}

func writeFile(t testing.TB, fsys vfs.FS, name string, content []byte) {
	t.Helper()
	file, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) > 0 {
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// files under test, by their path in the fixture's folder.
func (f *fixture) path(suffix string) string {
	return filepath.Join(f.cfg.Dir, fmt.Sprintf("%020d%s", f.s.BaseOffset(), suffix))
}

func verify(t testing.TB, s *Segment) State {
	t.Helper()
	end, err := s.Verify(nil)
	if err != nil {
		t.Fatal(err)
	}
	return end
}
