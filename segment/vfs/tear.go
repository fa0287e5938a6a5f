package vfs

import "math/rand/v2"

// sectorSizes are the units in which a disk writes: all of one or nothing of it, in bytes.
var sectorSizes = []int64{512, 4096}

// tearing puts part of the unsynced operations of a file on its durable content.
//
// The unit is the sector of the file. What reaches the disk of a sector is the page cache's copy at
// some moment, so it holds all writes to this sector up to some one, never a later write without
// an earlier; between sectors there is no order.
type tearing struct {
	sector   int64
	garbage  bool // lost sectors of a preallocated tail hold garbage instead of zeroes
	fullSize bool // the size of every write is out, even where its bytes are not
	rng      *rand.Rand
}

// kept says of each operation and sector whether the disk has it. A sector that has one write has
// the earlier ones too; apply sees to that.
type kept func(op int, sector int64) bool

// choose picks which writes are out, in one of the ways in which disks go wrong.
func (t *tearing) choose(ops []dataOp) kept {
	t.fullSize = t.rng.IntN(2) == 0
	switch t.rng.IntN(4) {
	case 0: // everything up to some operation, which is torn: its head or its tail is out
		last := t.rng.IntN(len(ops))
		first, end := ops[last].sectors(t.sector)
		border := first + t.rng.Int64N(end-first+1)
		head := t.rng.IntN(2) == 0
		return func(op int, sector int64) bool {
			return op < last || op == last && (sector < border) == head
		}
	case 1: // whole operations, in any order
		out := make([]bool, len(ops))
		for i := range out {
			out[i] = t.rng.IntN(2) == 0
		}
		return func(op int, _ int64) bool { return out[op] }
	case 2: // everything but one operation
		lost := t.rng.IntN(len(ops))
		return func(op int, _ int64) bool { return op != lost }
	default: // each sector by itself
		share := t.rng.Uint64()
		return func(op int, sector int64) bool { return mix(share, uint64(op), uint64(sector))&1 == 0 }
	}
}

// mix hashes three numbers (the finaliser of splitmix64).
func mix(a, b, c uint64) uint64 {
	x := a ^ b*0x9e3779b97f4a7c15 ^ c*0xbf58476d1ce4e5b9
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sectors returns the half-open range of sectors that the operation writes.
func (o dataOp) sectors(sectorBytes int64) (first, end int64) {
	if o.kind != opWrite {
		return 0, 0
	}
	return o.off / sectorBytes, (o.off + o.length + sectorBytes - 1) / sectorBytes
}

// apply puts on c the operations and sectors that keep says. Changes of size by Truncate and
// Preallocate are kept whole or, from a lost shrinking one on, not at all: the blocks of what is
// written after it are not the file's before it is out.
func (t *tearing) apply(c *content, ops []dataOp, keep kept) {
	tail, sized := c.written, 0
	for i, op := range ops {
		if op.kind == opTruncate && !keep(i, 0) {
			ops = ops[:i]
			break
		}
	}
	latest := t.latest(ops, keep)
	for i, op := range ops {
		if op.kind != opWrite {
			if op.kind != opPreallocate || keep(i, 0) {
				op.apply(c)
			}
			if op.kind == opTruncate {
				tail, sized = min(tail, op.off), i+1
			}
			continue
		}
		for first, end := op.sectors(t.sector); first < end; first++ {
			if last, ok := latest[first]; ok && i <= last {
				lo, hi := op.within(first, t.sector)
				c.writeAt(op.data[lo-op.off:hi-op.off], lo)
			}
		}
	}
	t.settle(c, ops[sized:], latest, tail)
}

// latest returns for each sector the last write that is out.
func (t *tearing) latest(ops []dataOp, keep kept) map[int64]int {
	latest := map[int64]int{}
	for i, op := range ops {
		for first, end := op.sectors(t.sector); first < end; first++ {
			if keep(i, first) {
				latest[first] = i
			}
		}
	}
	return latest
}

// within returns the part of a sector that the write covers, as positions in the file.
func (o dataOp) within(sector, sectorBytes int64) (from, to int64) {
	return max(o.off, sector*sectorBytes), min(o.off+o.length, (sector+1)*sectorBytes)
}

// settle decides about the sectors that no write reached: how long the file is, and what they hold
// where they lie after everything that was ever durable (from tail on). ops are those after the last
// Truncate, which settled what came before it.
func (t *tearing) settle(c *content, ops []dataOp, latest map[int64]int, tail int64) {
	if t.fullSize {
		for _, op := range ops {
			if op.kind == opWrite && op.off+op.length > c.size {
				c.preallocate(op.off, op.length)
			}
		}
	}
	if !t.garbage {
		return
	}
	for _, op := range ops {
		for first, end := op.sectors(t.sector); first < end; first++ {
			from, to := first*t.sector, min((first+1)*t.sector, c.size)
			if _, out := latest[first]; !out && from >= tail && from < to {
				c.writeAt(randomBytes(t.rng, to-from), from)
				latest[first] = len(ops)
			}
		}
	}
}

func randomBytes(rng *rand.Rand, n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
