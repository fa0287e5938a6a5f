package segment

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// standIn makes a batch without records for n entries over [base, next).
func standIn(base, next, n int64, epoch int32) []byte {
	return recordbatch.AppendEmpty(nil, recordbatch.Header{
		BaseOffset: base, LastOffsetDelta: int32(next - base - 1), PartitionLeaderEpoch: epoch,
		BaseTimestamp: n, MaxTimestamp: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
	})
}

// sealed is a sealed segment of 16 entries; batches before entry 6 are of epoch 3.
func sealed(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, vfs.NewMem(), "/log", 200)
	f.fill(t, 16)
	if err := f.s.Seal(); err != nil {
		t.Fatal(err)
	}
	return f
}

// frameBytes is the bytes of frame i.
func (f *fixture) frameBytes(i int) []byte { return f.bytes[f.frames[i].Position:f.frames[i].End()] }

// TestGoldenCompacted pins the bytes of format version 2, and that an index made
// for it is the same however it comes into being.
func TestGoldenCompacted(t *testing.T) {
	f := sealed(t)
	s := f.rewritten(t, func(i int) []byte {
		switch i {
		case 4:
			return standIn(f.frames[4].Offset, f.frames[6].NextOffset, 3, f.frames[4].Epoch)
		case 5, 6:
			return nil
		}
		return f.frameBytes(i)
	})
	end := verify(t, s)
	if want := f.end(); end.NextOffset != want.NextOffset || end.NextRaftIndex != want.NextRaftIndex || end.Epoch != want.Epoch {
		t.Errorf("ends at %+v, before at %+v", end, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".log", ".index", ".timeindex"} {
		got := []byte(hex.Dump(readFile(t, f.cfg.FS, f.path(suffix))))
		name := filepath.Join("testdata", "v2"+suffix+".hex")
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s:\n%s", suffix, name, got)
		}
	}
}

// rewritten swaps a copy in, of which frame gives the frames, nil for none.
func (f *fixture) rewritten(t *testing.T, frame func(i int) []byte) *Segment {
	t.Helper()
	r, err := f.s.Rewrite(testHeader(200).start(), free)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.frames {
		b := frame(i)
		if b == nil {
			continue
		}
		if err := r.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	s, err := r.Swap(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStandInAnswers asks a compacted segment for every raft index and offset,
// with an index entry for every frame and for none.
func TestStandInAnswers(t *testing.T) {
	f := sealed(t)
	first, last := f.frames[4], f.frames[6]
	s := f.rewritten(t, func(i int) []byte {
		switch i {
		case 4:
			return standIn(first.Offset, last.NextOffset, 3, first.Epoch)
		case 5, 6:
			return nil
		}
		return f.frameBytes(i)
	})
	defer s.Close()
	for i, want := range f.frames {
		got, data, release, err := s.Entry(want.RaftIndex)
		if err != nil {
			t.Fatal(err)
		}
		removed := i >= 4 && i <= 6
		if got.Epoch != want.Epoch || (got.Removed > 0) != removed || !removed && !bytes.Equal(data, f.frameBytes(i)) {
			t.Errorf("raft index %d is %+v, was %+v", want.RaftIndex, got, want)
		}
		release()
		if want.Kind.Raft() {
			continue
		}
		r, err := s.Read(want.Offset, f.end().NextOffset, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		begins := want.Offset
		if removed {
			begins = last.NextOffset // with the first batch that has records
		}
		if r.FirstOffset != begins || r.Bytes == 0 {
			t.Errorf("read at %d gives [%d, %d)", want.Offset, r.FirstOffset, r.NextOffset)
		}
		if err := r.Release(); err != nil {
			t.Fatal(err)
		}
	}
	for limit, next := range map[int64]int64{
		last.NextOffset: last.NextOffset, last.NextOffset + 1: last.NextOffset, last.NextOffset - 1: first.Offset,
	} {
		if r, err := s.Read(first.Offset, limit, 1, true); err != nil || r.Bytes != 0 || r.NextOffset != next {
			t.Errorf("read of a stand-in up to %d: [%d, %d), %v; want nothing up to %d", limit, r.FirstOffset, r.NextOffset, err, next)
		}
	}
	for from, n := range map[uint64]int{first.RaftIndex: 10, last.RaftIndex: 10, last.RaftIndex + 1: 9} {
		got := 0
		for _, err := range s.Frames(from) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != n {
			t.Errorf("%d frames from raft index %d on, want %d", got, from, n)
		}
	}
	if _, err := s.Before(first.RaftIndex + 1); !errors.Is(err, ErrCompacted) {
		t.Errorf("the place of an entry within a stand-in: %v", err)
	}
	if at, err := s.Before(last.RaftIndex + 1); err != nil || at.NextOffset != last.NextOffset {
		t.Errorf("the place after a stand-in: %+v, %v", at, err)
	}
}

// TestSwapOfSameSize swaps in a copy as long as its original, whose old index is
// well formed and wrong.
func TestSwapOfSameSize(t *testing.T) {
	f := sealed(t)
	s := f.rewritten(t, func(i int) []byte {
		b := slices.Clone(f.frameBytes(i))
		if f.frames[i].Kind == KindBatch {
			recordbatch.SetMaxTimestamp(b, f.frames[i].MaxTimestamp-500_000)
		}
		return b
	})
	if s.SizeBytes() != int64(len(f.bytes)) {
		t.Fatalf("copy of %d bytes, want %d", s.SizeBytes(), len(f.bytes))
	}
	verify(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSwapBesideReaders: who holds the old file keeps it, and who comes later is
// sent away.
func TestSwapBesideReaders(t *testing.T) {
	f := sealed(t)
	r, err := f.s.Read(100, f.end().NextOffset, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	want, err := r.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := f.rewritten(t, func(i int) []byte {
		if f.frames[i].Kind == KindBatch {
			return standIn(f.frames[i].Offset, f.frames[i].NextOffset, 1, f.frames[i].Epoch)
		}
		return f.frameBytes(i)
	})
	got, err := r.AppendTo(nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the range has changed under its reader (%v)", err)
	}
	if err := r.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Read(100, f.end().NextOffset, 1, true); !errors.Is(err, ErrDropped) {
		t.Errorf("the old segment still reads: %v", err)
	}
	verify(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSwapOnFullDisk: where a segment begins and ends is known after a swap without its files, and it is read
// while there is no room for its index.
func TestSwapOnFullDisk(t *testing.T) {
	mem, inj := vfs.NewMem(), vfs.NewInjector()
	f := newFixture(t, vfs.Inject(mem, inj), "/log", 200)
	f.fill(t, 3000)
	if err := f.s.Seal(); err != nil {
		t.Fatal(err)
	}
	s := f.rewritten(t, func(i int) []byte {
		if i == len(f.frames)-1 {
			return standIn(f.frames[i].Offset, f.frames[i].NextOffset, 1, f.frames[i].Epoch)
		}
		return f.frameBytes(i)
	})
	defer s.Close()
	before := len(inj.Trace())
	h, err := s.Header()
	if err != nil {
		t.Fatal(err)
	}
	end, err := s.End()
	if err != nil {
		t.Fatal(err)
	}
	if made := inj.Trace()[before:]; len(made) != 0 {
		t.Errorf("header and end take %+v", made)
	}
	mem.SetCapacity(0)
	r, err := s.Read(f.frames[4].Offset, f.end().NextOffset, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	if r.FirstOffset != f.frames[4].Offset {
		t.Errorf("range begins at %d, want %d", r.FirstOffset, f.frames[4].Offset)
	}
	got, _, release, err := s.Entry(f.frames[1500].RaftIndex)
	if err != nil || got != f.frames[1500] {
		t.Fatalf("entry %+v, %v; want %+v", got, err, f.frames[1500])
	}
	release()
	mem.SetCapacity(1 << 30)
	if err := errors.Join(r.Release(), s.Release()); err != nil {
		t.Fatal(err)
	}
	if got := verify(t, s); got != end {
		t.Errorf("ends at %+v, and was said to end at %+v", got, end)
	}
	if len(readFile(t, mem, f.path(".index"))) == 0 {
		t.Error("the index has not been written")
	}
	again := OpenSealed(f.cfg, 100, s.SizeBytes())
	defer again.Close()
	if got, err := again.Header(); err != nil || got != h {
		t.Errorf("header %+v (%v), and was said to be %+v", got, err, h)
	}
}

// TestTruncateOnFullDisk: a segment whose index found no room is cut and written to.
func TestTruncateOnFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	f := newFixture(t, mem, "/log", 200)
	f.fill(t, 3000)
	if err := f.s.Seal(); err != nil {
		t.Fatal(err)
	}
	s := f.rewritten(t, f.frameBytes)
	defer s.Close()
	mem.SetCapacity(0)
	if err := s.TruncateSuffix(f.ends[2500]); err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(1 << 30)
	f.s, f.frames, f.ends = s, f.frames[:2501], f.ends[:2501]
	f.fill(t, 10)
	if err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	if got := verify(t, s); got != f.end() {
		t.Errorf("ends at %+v, want %+v", got, f.end())
	}
}

// TestRewriteRefuses: a copy takes only what fits, must end where the original
// does, and leaves nothing when it is given up.
func TestRewriteRefuses(t *testing.T) {
	f := sealed(t)
	r, err := f.s.Rewrite(f.ends[3], free)
	if err != nil {
		t.Fatal(err)
	}
	next := f.frames[4]
	for name, b := range map[string][]byte{
		"an earlier frame":        f.frameBytes(2),
		"a later frame":           f.frameBytes(5),
		"half a frame":            f.frameBytes(4)[:70],
		"two frames":              f.bytes[next.Position:f.frames[5].End()],
		"a stand-in for nothing":  standIn(next.Offset, next.NextOffset, 0, next.Epoch),
		"one for too many":        standIn(next.Offset, next.NextOffset, 1<<31, next.Epoch),
		"one of an earlier epoch": standIn(next.Offset, next.NextOffset, 1, next.Epoch-1),
	} {
		if err := r.Append(b); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := r.Finish(); err == nil {
		t.Error("a copy that ends early is finished")
	}
	if err := r.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.cfg.FS.Stat(f.path(".log.cleaned")); err == nil {
		t.Error("the copy is still there")
	}
	verify(t, f.s)
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestListLeftoverCopy: a copy that never took its place is for the next open to remove.
func TestListLeftoverCopy(t *testing.T) {
	f := sealed(t)
	r, err := f.s.Rewrite(f.end(), free)
	if err != nil {
		t.Fatal(err)
	}
	got, err := List(f.cfg.FS, f.cfg.Dir)
	if err != nil || !slices.Equal(got.Leftover, []string{f.path(".log.cleaned")}) || !slices.Equal(got.Bases, []int64{100}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := errors.Join(r.Discard(), f.s.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestContents walks from everywhere, over frames smaller and larger than what
// is read at once, and meets a flipped bit.
func TestContents(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), "/log", 200)
	f.fill(t, 10)
	f.add(t, f.batch(t, 1, 5, string(bytes.Repeat([]byte{'x'}, 3*walkBytes))))
	f.fill(t, 10)
	if err := f.s.Seal(); err != nil {
		t.Fatal(err)
	}
	var all []byte
	before := testHeader(200).start()
	for c, err := range f.s.Contents(100) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Before != before {
			t.Fatalf("before %+v: %+v", c.Frame, c.Before)
		}
		before.add(c.Frame)
		all = append(all, c.Data...)
	}
	if !bytes.Equal(all, f.bytes[HeaderBytes:]) {
		t.Error("the frames are not the file")
	}
	for _, want := range f.frames {
		found := want.Kind.Raft()
		for c, err := range f.s.Contents(want.Offset) {
			if err != nil {
				t.Fatal(err)
			}
			found = found || c.Position == want.Position
		}
		if !found {
			t.Errorf("not found from offset %d on", want.Offset)
		}
	}
	damaged := bytes.Clone(f.bytes)
	damaged[f.frames[10].Position+100] ^= 1
	f.rewrite(t, damaged)
	s := OpenSealed(f.cfg, 100, int64(len(damaged)))
	var last error
	for _, err := range s.Contents(100) {
		last = err
	}
	var corrupt *CorruptError
	if !errors.As(last, &corrupt) || corrupt.Position != f.frames[10].Position {
		t.Errorf("a flipped bit: %v", last)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// free keeps no copy waiting.
func free(int64, int64) error { return nil }
