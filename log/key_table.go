package log

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"

	"weir/log/internal/offheap"
)

// KeyBytes is what a pass of Compact takes of memory for each key that it can remember.
const KeyBytes = keySlotBytes * 9 / 8

const (
	keySlotBytes = 16  // the size of a keySlot
	keySeedBytes = 16  // random
	spillSlots   = 128 // behind the others, for what finds no room among the last of them
)

// keyTable is the last offset of each key: a hash table that has its full size from the start, since one that
// grows has twice its memory while it does. Slots in use are in the order of their hashes, each as soon behind its
// home, which the hash gives, as those before it allow. So a search ends at the first larger hash, and it is enough
// that a ninth of the slots stays free.
type keyTable struct {
	input   []byte // of the hash: the seed, and behind it a key
	slots   []keySlot
	release func() // gives the slots back
	base    int64  // what offsets are counted from
	used    int    // keys
	most    int    // likewise
}

// keyHash stands for a key: two that collide would lose the older one's record, so it is long enough, and nobody can
// aim at it who does not know the seed.
type keyHash struct {
	high uint64
	low  uint32
}

func (h keyHash) less(than keyHash) bool {
	return h.high < than.high || h.high == than.high && h.low < than.low
}

// keySlot has the fields of a keyHash as its own, which leaves room for the offset in 16 bytes.
type keySlot struct {
	high uint64
	low  uint32
	next uint32 // one past the offset, from the table's base on; 0: the slot is free
}

func (s *keySlot) hash() keyHash { return keyHash{s.high, s.low} }

// newKeyTable has room for so many keys, until it is released. The error is that of a system without the memory.
func newKeyTable(most int) (*keyTable, error) {
	slots, free, err := offheap.Slice[keySlot](most + most/8 + 1 + spillSlots)
	if err != nil {
		return nil, err
	}
	t := &keyTable{input: make([]byte, keySeedBytes), slots: slots, release: free, most: most}
	_, _ = rand.Read(t.input) // it does not fail
	return t, nil
}

// extend has offsets of [from, to) be noted next; false: those from the first ones on are more than a slot can tell
// apart. The first ones themselves, fewer than 2³², are not.
func (t *keyTable) extend(from, to int64) bool {
	if t.used == 0 {
		t.base = from
	}
	return to-t.base <= math.MaxUint32
}

// put notes the offset of a key, one that extend has told of; false: the key is not known, and there is no room for
// another one.
func (t *keyTable) put(key []byte, offset int64) bool { return t.putHash(t.hash(key), offset) }

func (t *keyTable) putHash(h keyHash, offset int64) bool {
	at, known := t.find(h)
	if !known && !t.makeRoom(at) {
		return false
	}
	t.slots[at] = keySlot{h.high, h.low, uint32(offset-t.base) + 1}
	return true
}

// last returns the offset that was noted last for a key.
func (t *keyTable) last(key []byte) (offset int64, ok bool) { return t.lastOfHash(t.hash(key)) }

func (t *keyTable) lastOfHash(h keyHash) (offset int64, ok bool) {
	at, known := t.find(h)
	return t.base + int64(t.slots[at].next) - 1, known
}

func (t *keyTable) hash(key []byte) keyHash {
	t.input = append(t.input[:keySeedBytes], key...)
	sum := sha256.Sum256(t.input)
	return keyHash{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint32(sum[8:])}
}

// find is where a key is, or is to be. The last slot is always free.
func (t *keyTable) find(h keyHash) (at int, known bool) {
	home, _ := bits.Mul64(h.high, uint64(len(t.slots)-spillSlots))
	at = int(home)
	for t.slots[at].next != 0 && t.slots[at].hash().less(h) {
		at++
	}
	return at, t.slots[at].next != 0 && t.slots[at].hash() == h
}

// makeRoom moves the key in a slot, if there is one, and those that follow on it to the next ones.
func (t *keyTable) makeRoom(at int) bool {
	free := at
	for t.slots[free].next != 0 {
		free++
	}
	if t.used == t.most || free == len(t.slots)-1 {
		return false
	}
	copy(t.slots[at+1:free+1], t.slots[at:free])
	t.used++
	return true
}

// grow takes twice the room.
func (t *keyTable) grow() error {
	g, err := newKeyTable(2*t.most + 1)
	if err != nil {
		return err
	}
	g.input, g.base, g.used = t.input, t.base, t.used
	for _, s := range t.slots {
		if s.next != 0 {
			at, _ := g.find(s.hash())
			g.slots[at] = s // they come in order
		}
	}
	t.release()
	*t = *g
	return nil
}
