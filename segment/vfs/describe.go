package vfs

import (
	"fmt"
	"slices"
)

// describe says what the state is, for the message of a failed test. m is the running system.
func (a plan) describe(m *Mem) string {
	switch a.kind {
	case planAll:
		return "everything is out"
	case planSynced:
		return "only what was synced is out"
	case planNames:
		return "all names are out, of bytes what was synced"
	case planData:
		return "all bytes are out, of names what was synced"
	case planRandom:
		return "a random part is out"
	case planOmitName:
		return "everything is out but " + m.pending[a.op].describe(m)
	}
	files := m.files()
	n := files[slices.IndexFunc(files, func(n *node) bool { return n.id == a.file })]
	op := n.pending[a.op].describe(m.path(n))
	if a.kind == planOmitData {
		return "everything is out but " + op
	}
	rest := [...]string{
		tornShort: "the file ends at", tornZeroes: "nothing is out from", tornGarbage: "garbage from", tornHead: "nothing is out before",
	}
	return fmt.Sprintf("%s is torn: %s position %d (sectors of %d)", op, rest[a.rest], a.border*a.sector, a.sector)
}

func (o dataOp) describe(path string) string {
	switch o.kind {
	case opTruncate:
		return fmt.Sprintf("truncate %s to %d", path, o.off)
	case opPreallocate:
		return fmt.Sprintf("preallocate %s [%d, %d)", path, o.off, o.off+o.length)
	}
	return fmt.Sprintf("write %s [%d, %d)", path, o.off, o.off+o.length)
}

func (o nameOp) describe(m *Mem) string {
	switch {
	case o.from == nil:
		return fmt.Sprintf("create %s", m.path(o.to)+"/"+o.toName)
	case o.to == nil:
		return fmt.Sprintf("remove %s", m.path(o.from)+"/"+o.fromName)
	}
	return fmt.Sprintf("rename %s to %s", m.path(o.from)+"/"+o.fromName, m.path(o.to)+"/"+o.toName)
}

// path finds a name of n, now or after a crash; the root's is empty.
func (m *Mem) path(want *node) string {
	var find func(n *node, path string) (string, bool)
	find = func(n *node, path string) (string, bool) {
		if n == want {
			return path, true
		}
		for _, names := range []map[string]*node{n.names, n.durableNames} {
			for name, child := range names {
				if p, ok := find(child, path+"/"+name); ok {
					return p, true
				}
			}
		}
		return "", false
	}
	if path, ok := find(m.root, ""); ok {
		return path
	}
	return fmt.Sprintf("(removed file %d)", want.id)
}
