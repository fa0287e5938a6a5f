package log

import (
	"math"
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
		for _, clusters := range []uint64{2, 5, math.MaxUint64} {
			testKeyTable(t, most, clusters)
		}
	}
}

// testKeyTable has the hashes of keys begin in so many ways.
func testKeyTable(t *testing.T, most int, clusters uint64) {
	rng := rand.New(rand.NewPCG(clusters, uint64(most)))
	table, model := keyTableFor(t, most), map[keyHash]int64{}
	if bytes := len(table.slots) * keySlotBytes; bytes > most*KeyBytes+(1+spillSlots)*keySlotBytes {
		t.Errorf("%d bytes for %d keys", bytes, most)
	}
	hashes := make([]keyHash, 2*most+2)
	for i := range hashes {
		hashes[i] = keyHash{math.MaxUint64 / clusters * (1 + rng.Uint64N(clusters)), rng.Uint32()} // also the last home
	}
	hash := func() keyHash { return hashes[rng.IntN(len(hashes))] }
	base := int64(math.MaxInt64 - 100_000) // the last offset that there is has a place
	for i := range int64(10*most + 10) {
		h, offset := hash(), base+i
		if !table.extend(offset, offset+1) {
			t.Fatalf("offset %d is too far", i)
		}
		_, known := model[h]
		switch fits := table.putHash(h, offset); {
		case fits:
			model[h] = offset
		case known || len(model) < most && clusters == math.MaxUint64:
			t.Fatalf("room for %d, %d in it: %v", most, len(model), fits)
		}
	}
	for range 2 {
		for _, h := range hashes {
			want, known := model[h]
			if got, ok := table.lastOfHash(h); ok != known || ok && got != want {
				t.Fatalf("%x: %d (%v), want %d (%v)", h, got, ok, want, known)
			}
		}
		if table.used != len(model) || table.used > most {
			t.Errorf("%d keys, want %d", table.used, len(model))
		}
		if err := table.grow(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeyTableReach: offsets are told apart up to 2³²-1 of them, wherever they begin.
func TestKeyTableReach(t *testing.T) {
	for _, base := range []int64{0, 7, math.MaxInt64 - math.MaxUint32 - 1} {
		table := keyTableFor(t, 2)
		for _, empty := range []int64{base / 2, base} { // as long as there is no key, none is too far
			if !table.extend(empty, empty+1) {
				t.Fatalf("the first offset, %d, is too far", empty)
			}
		}
		end := base + math.MaxUint32
		table.put([]byte("first"), base)
		if table.extend(end, end+1) || table.extend(base+1, end+1) {
			t.Errorf("from %d, offset %d is near", base, end)
		}
		if !table.extend(end-1, end) || !table.put([]byte("last"), end-1) {
			t.Errorf("from %d, offset %d is too far", base, end-1)
		}
		for key, want := range map[string]int64{"first": base, "last": end - 1} {
			if got, ok := table.last([]byte(key)); !ok || got != want {
				t.Errorf("%s: %d (%v), want %d", key, got, ok, want)
			}
		}
	}
}

// TestKeyTableSeed: each table has its own.
func TestKeyTableSeed(t *testing.T) {
	a, b := keyTableFor(t, 1), keyTableFor(t, 1)
	key := []byte("key")
	first, other := a.hash(key), a.hash(nil)
	if a.hash(key) != first || first == other || b.hash(key) == first {
		t.Errorf("hashes %x, %x, %x and %x", first, a.hash(key), other, b.hash(key))
	}
}

func keyTableFor(t *testing.T, most int) *keyTable {
	t.Helper()
	table, err := newKeyTable(most)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.release() })
	return table
}
