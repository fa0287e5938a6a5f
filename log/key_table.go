package log

import (
	"hash/maphash"
	"math/bits"
)

// KeyBytes is what a pass of Compact takes of memory for each key that it can remember.
const KeyBytes = keySlotBytes * 4 / 3

// keySlotBytes is the size of a keySlot.
const keySlotBytes = 24

// keyTable is the last offset of each key: an open hash table that has its full size from the start, since one that
// grows has twice its memory while it does. A quarter of it stays free, so that lookups end soon.
type keyTable struct {
	seed  maphash.Seed // nobody can choose keys that lie side by side
	slots []keySlot
	used  int
	most  int // keys
}

type keySlot struct {
	hash keyHash
	next int64 // one past the offset; 0: the slot is free
}

// newKeyTable has room for so many keys.
func newKeyTable(most int) *keyTable {
	return &keyTable{seed: maphash.MakeSeed(), slots: make([]keySlot, most+most/3+1), most: most}
}

// put notes the offset of a key; false: the key is not known, and there is no room for another one.
func (t *keyTable) put(k keyHash, offset int64) bool {
	s := t.slot(k)
	if s.next == 0 {
		if t.used == t.most {
			return false
		}
		t.used++
	}
	*s = keySlot{k, offset + 1}
	return true
}

// last returns the offset that was noted last for a key.
func (t *keyTable) last(k keyHash) (offset int64, ok bool) {
	s := t.slot(k)
	return s.next - 1, s.next != 0
}

// slot is where a key is, or is to be.
func (t *keyTable) slot(k keyHash) *keySlot {
	at, _ := bits.Mul64(maphash.Bytes(t.seed, k[:]), uint64(len(t.slots)))
	for {
		s := &t.slots[at]
		if s.next == 0 || s.hash == k {
			return s
		}
		if at++; at == uint64(len(t.slots)) {
			at = 0
		}
	}
}

// grown is a table with twice the room, and the same keys.
func (t *keyTable) grown() *keyTable {
	g := newKeyTable(2*t.most + 1)
	for _, s := range t.slots {
		if s.next != 0 {
			g.put(s.hash, s.next-1)
		}
	}
	return g
}
