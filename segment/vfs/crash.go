package vfs

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// CrashOptions says what of the unsynced state a power loss leaves.
type CrashOptions struct {
	// Seed zero leaves only what was synced. Any other leaves, in addition, a choice of what was
	// not: for each file some of the writes, in any order and torn at 512 bytes or 4 KiB; and of
	// the names the changes up to some moment, since a journal keeps their order.
	Seed uint64
	// ZeroTails makes the lost parts of a preallocated tail read as zeroes. Otherwise one seed in
	// four leaves garbage there, as storage below a file system without unwritten extents may.
	ZeroTails bool
}

// CrashClone returns what the machine finds after a power loss at this moment; all of that is
// durable. Nobody holds a file or a lock in it. The original goes on as if nothing had happened.
// The same operations and options give the same clone.
func (m *Mem) CrashClone(opts CrashOptions) *Mem {
	m.mu.Lock()
	c, _ := m.clone()
	m.mu.Unlock()
	if opts.Seed != 0 {
		rng := rand.New(rand.NewPCG(opts.Seed, 0x77656972))
		c.keepSome(rng, opts)
	}
	c.lose()
	return c
}

// ProcessCrashClone returns what the next process finds after this one died at this moment, on a
// machine that ran on: everything written, synced or not as it was. Nobody holds a file or a lock.
func (m *Mem) ProcessCrashClone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, _ := m.clone()
	return c
}

// clone copies everything but handles, locks and the recorder. The map leads from each node to its
// copy.
func (m *Mem) clone() (*Mem, map[*node]*node) {
	copies := map[*node]*node{}
	c := &Mem{lastID: m.lastID, capacity: m.capacity, root: m.root.copyInto(copies)}
	for _, op := range m.pending {
		c.pending = append(c.pending, op.copyInto(copies))
	}
	c.account()
	return c, copies
}

// account counts the space of the files that have a name.
func (m *Mem) account() {
	m.used = 0
	for _, n := range m.files() {
		if n.links > 0 {
			m.used += n.live.held.total()
		}
	}
}

// copyInto returns the copy of n and makes it, with all it leads to, when there is none.
func (n *node) copyInto(copies map[*node]*node) *node {
	if n == nil {
		return nil
	}
	if c, ok := copies[n]; ok {
		return c
	}
	c := &node{id: n.id, dir: n.dir, perm: n.perm, modTime: n.modTime, links: n.links}
	copies[n] = c
	if n.dir {
		c.names, c.durableNames = copyNames(n.names, copies), copyNames(n.durableNames, copies)
	} else {
		c.live, c.durable = n.live.clone(), n.durable.clone()
		c.pending = slices.Clone(n.pending)
	}
	return c
}

func copyNames(names map[string]*node, copies map[*node]*node) map[string]*node {
	c := make(map[string]*node, len(names))
	for name, n := range names {
		c[name] = n.copyInto(copies)
	}
	return c
}

func (o nameOp) copyInto(copies map[*node]*node) nameOp {
	o.from, o.to, o.child = o.from.copyInto(copies), o.to.copyInto(copies), o.child.copyInto(copies)
	return o
}

// lose makes the durable state the whole state.
func (m *Mem) lose() {
	m.pending = nil
	m.root.lose()
	m.account()
}

func (n *node) lose() {
	n.links = 1
	if !n.dir {
		n.pending = nil
		n.live = n.durable.clone()
		return
	}
	n.names = make(map[string]*node, len(n.durableNames))
	for name, child := range n.durableNames {
		n.names[name] = child
		child.lose()
	}
}

// files returns the files that a name leads to now or after a crash, in order of creation.
func (m *Mem) files() []*node {
	seen := map[*node]bool{}
	var files []*node
	var visit func(n *node)
	visit = func(n *node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		if !n.dir {
			files = append(files, n)
		}
		for _, child := range n.names {
			visit(child)
		}
		for _, child := range n.durableNames {
			visit(child)
		}
	}
	visit(m.root)
	for _, op := range m.pending {
		visit(op.child)
	}
	slices.SortFunc(files, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	return files
}

// keepSome makes a random part of what is pending durable.
func (m *Mem) keepSome(rng *rand.Rand, opts CrashOptions) {
	for _, op := range m.pending[:rng.IntN(len(m.pending)+1)] {
		op.apply(durableNames)
	}
	garbage := rng.IntN(4) == 0 && !opts.ZeroTails
	for _, n := range m.files() {
		if len(n.pending) > 0 {
			t := tearing{rng: rng, garbage: garbage, sector: sectorSizes[rng.IntN(len(sectorSizes))]}
			t.apply(n.durable, n.pending, t.choose(n.pending))
		}
	}
}
