package log

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestKeyTable: it is as a map with an end, however its keys lie.
func TestKeyTable(t *testing.T) {
	if got := unsafe.Sizeof(keySlot{}); got != keySlotBytes {
		t.Errorf("a slot has %d bytes, want %d", got, keySlotBytes)
	}
	for _, most := range []int{0, 1, 2, 3, 100, 5000} {
		rng := rand.New(rand.NewPCG(1, uint64(most)))
		table, model := newKeyTable(most), map[keyHash]int64{}
		if bytes := len(table.slots) * keySlotBytes; bytes > most*KeyBytes+keySlotBytes {
			t.Errorf("%d bytes for %d keys", bytes, most)
		}
		key := func() (k keyHash) {
			binary.BigEndian.PutUint64(k[:], uint64(rng.IntN(2*most+2)))
			return k
		}
		for i := range int64(10*most + 10) {
			k := key()
			_, known := model[k]
			if fits := table.put(k, i); fits != (known || len(model) < most) {
				t.Fatalf("room for %d, %d in it: %v", most, len(model), fits)
			} else if fits {
				model[k] = i
			}
		}
		for _, table := range []*keyTable{table, table.grown()} {
			for range 4*most + 4 {
				k := key()
				want, known := model[k]
				if got, ok := table.last(k); ok != known || ok && got != want {
					t.Fatalf("%x: %d (%v), want %d (%v)", k, got, ok, want, known)
				}
			}
			if table.used != len(model) {
				t.Errorf("%d keys, want %d", table.used, len(model))
			}
		}
	}
}
