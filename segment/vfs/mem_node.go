package vfs

import (
	"io/fs"
	"maps"
	"slices"
	"time"
)

// node is a file or a directory of a Mem: what the running system sees, and what the disk holds.
type node struct {
	id      uint64 // order of creation
	dir     bool
	perm    fs.FileMode
	modTime time.Time

	// Of a directory.
	names        map[string]*node
	durableNames map[string]*node

	// Of a file.
	live    *content
	durable *content
	pending []dataOp // done on live, not yet on durable, in order
	links   int      // names that lead here, of the running system: 0 or 1
	handles int      // open handles
	locked  bool
}

// dataOp is one change of a file's bytes or size. Its data is never changed.
type dataOp struct {
	kind   dataKind
	off    int64 // opTruncate: the new size
	length int64
	data   []byte // opWrite
}

type dataKind uint8

const (
	opWrite dataKind = iota
	opTruncate
	opPreallocate
)

func (o dataOp) apply(c *content) {
	switch o.kind {
	case opWrite:
		c.writeAt(o.data, o.off)
	case opTruncate:
		c.truncate(o.off)
	case opPreallocate:
		c.preallocate(o.off, o.length)
	}
}

// nameOp is one change of names, atomic like a transaction of a file system's journal. The entry
// from/fromName goes, when from is set, and the entry to/toName becomes child, when to is set.
type nameOp struct {
	from     *node
	fromName string
	to       *node
	toName   string
	child    *node
}

func (o nameOp) apply(names func(dir *node) map[string]*node) {
	if o.from != nil {
		delete(names(o.from), o.fromName)
	}
	if o.to != nil {
		names(o.to)[o.toName] = o.child
	}
}

func liveNames(dir *node) map[string]*node    { return dir.names }
func durableNames(dir *node) map[string]*node { return dir.durableNames }

// sync makes the bytes and the size durable.
func (n *node) sync() {
	for _, op := range n.pending {
		op.apply(n.durable)
	}
	n.pending = nil
}

// loseWrites does what Linux does when writing back fails: the pages count as clean, so no later
// sync writes them, and the running system goes on seeing them.
func (n *node) loseWrites() {
	for i, op := range n.pending {
		if op.kind == opWrite {
			// The size is metadata and gets out by itself.
			n.pending[i] = dataOp{kind: opPreallocate, off: op.off, length: int64(len(op.data))}
		}
	}
}

func (n *node) sortedNames() []string { return slices.Sorted(maps.Keys(n.names)) }
