package segment

import (
	"math"
	"testing"

	"weir/segment/vfs"
)

// TestReadWhileIndexIsMended: an index that is made again beside a reader hides
// no raft frame from it, of whichever part it has seen before.
func TestReadWhileIndexIsMended(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), "/s", 1)
	for i := range 400 {
		f.add(t, f.batch(t, 1, int64(i), "x"))
		if i%4 == 3 {
			f.add(t, f.raft(KindNoop, ""))
		}
	}
	f.s.tail.reset(f.end()) // or nobody asks the index
	mended := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 2000 && err == nil; i++ {
			f.s.w.files.index.bad.Store(true)
			err = f.s.mendIndex(f.end())
		}
		mended <- err
	}()
	for done := false; !done; {
		select {
		case err := <-mended:
			if done = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
		for offset := int64(100); offset < 500; offset += 4 {
			r, err := f.s.Read(offset, math.MaxInt64, 1<<20, true)
			if err != nil {
				t.Fatal(err)
			}
			if r.FirstOffset != offset || r.NextOffset != offset+4 {
				t.Fatalf("read at %d gives [%d, %d), and a raft frame is at the end of the fourth batch", offset, r.FirstOffset, r.NextOffset)
			}
			if err := r.Release(); err != nil {
				t.Fatal(err)
			}
		}
	}
	verify(t, f.s)
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
}
