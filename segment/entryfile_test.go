package segment

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"weir/segment/vfs"
)

// TestEntryFileModel: entries are what was added and not cut, whether the file is open, or closed because it is small.
func TestEntryFileModel(t *testing.T) {
	rested := 0
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll("/d", 0o755); err != nil {
			t.Fatal(err)
		}
		e := &entryFile{fs: fsys, path: "/d/x"}
		var model []uint64
		next := uint64(0)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		for range 300 {
			switch r.IntN(6) {
			case 0, 1:
				for range 1 + r.IntN(1<<r.IntN(9)) {
					next++
					model = append(model, next)
					e.add(binary.BigEndian.AppendUint64(make([]byte, 8), next))
				}
			case 2:
				must(e.flush())
			case 3:
				must(e.sync())
			case 4:
				n := len(model) - min(len(model), r.IntN(1<<r.IntN(9)))
				model = model[:n]
				must(e.cut(n))
			case 5:
				if r.IntN(3) == 0 {
					must(e.cut(0)) // so that it is small now and then
					model = model[:0]
				}
				must(e.finish())
				must(e.close())
				*e = entryFile{fs: fsys, path: "/d/x"}
				must(e.open())
				if e.resting > 0 {
					rested++
					if e.file != nil || e.region != nil {
						t.Fatalf("seed %d: %d entries rest, and their file is open", seed, e.resting)
					}
					n := e.resting
					must(e.flush())
					must(e.sync())
					if e.resting != n {
						t.Fatalf("seed %d: a sync of what rests has woken it", seed)
					}
				}
			}
			var got []uint64
			must(e.walk(0, func(b [entryBytes]byte) bool {
				got = append(got, binary.BigEndian.Uint64(b[8:]))
				return true
			}))
			if !slices.Equal(got, model) {
				t.Fatalf("seed %d: %v, want %v", seed, got, model)
			}
		}
		must(e.close())
	}
	if rested == 0 {
		t.Error("no file has rested")
	}
}
