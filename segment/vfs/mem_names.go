package vfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// MkdirAll is FS.MkdirAll.
func (m *Mem) MkdirAll(dir string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, e := range split(dir) {
		next, ok := n.names[e]
		if !ok {
			next = m.newNode(true, perm)
			m.change(nameOp{to: n, toName: e, child: next})
		}
		if !next.dir {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		n = next
	}
	return nil
}

// Rename is FS.Rename.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldName, newName); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (m *Mem) rename(oldName, newName string) error {
	from, fromLast, err := m.parent(oldName)
	if err != nil {
		return err
	}
	to, toLast, err := m.parent(newName)
	if err != nil {
		return err
	}
	child, ok := from.names[fromLast]
	if !ok {
		return syscall.ENOENT
	}
	old := to.names[toLast]
	switch {
	case old == child:
		return nil
	case child.dir && strings.HasPrefix(filepath.Clean("/"+newName)+"/", filepath.Clean("/"+oldName)+"/"):
		return syscall.EINVAL
	case old != nil && old.dir:
		return syscall.EEXIST // as package os has it
	case old != nil && child.dir:
		return syscall.ENOTDIR
	}
	m.change(nameOp{from: from, fromName: fromLast, to: to, toName: toLast, child: child})
	return nil
}

// Remove is FS.Remove.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, last, err := m.parent(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	n, ok := dir.names[last]
	switch {
	case !ok:
		return pathError("remove", name, syscall.ENOENT)
	case n.dir && len(n.names) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.change(nameOp{from: dir, fromName: last})
	return nil
}

// RemoveAll is FS.RemoveAll.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, last, err := m.parent(name)
	if err == syscall.ENOENT || err == syscall.ENOTDIR {
		return nil
	}
	if err != nil {
		return pathError("removeall", name, err)
	}
	m.removeTree(dir, last)
	return nil
}

func (m *Mem) removeTree(dir *node, name string) {
	n, ok := dir.names[name]
	if !ok {
		return
	}
	if n.dir {
		for _, e := range n.sortedNames() {
			m.removeTree(n, e)
		}
	}
	m.change(nameOp{from: dir, fromName: name})
}

// SyncDir is FS.SyncDir. It makes durable every pending change of names in dir, and those changes
// of other directories that came before them and that a journal therefore holds too: a rename
// between two directories is one change of both.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.walk(split(dir))
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("syncdir", dir, err)
	}
	m.syncDir(n)
	m.record(event{syncDir: n})
	return nil
}

func (m *Mem) syncDir(dir *node) {
	wanted := map[*node]bool{dir: true}
	take := make([]bool, len(m.pending))
	for i := len(m.pending) - 1; i >= 0; i-- {
		op := m.pending[i]
		if wanted[op.from] && op.from != nil || wanted[op.to] && op.to != nil {
			take[i] = true
			wanted[op.from], wanted[op.to] = true, true
		}
	}
	var rest []nameOp
	dirGone := false
	for i, op := range m.pending {
		if !take[i] {
			rest = append(rest, op)
			continue
		}
		if op.to == nil {
			gone := op.from.durableNames[op.fromName]
			dirGone = dirGone || gone != nil && gone.dir
		}
		op.apply(durableNames)
	}
	m.pending = rest
	if dirGone {
		m.forgetUnreachable()
	}
}

// forgetUnreachable drops the pending changes in directories that no name leads to, now or after a
// crash: nobody can sync them or see them.
func (m *Mem) forgetUnreachable() {
	reached := map[*node]bool{}
	var visit func(n *node)
	visit = func(n *node) {
		if !n.dir || reached[n] {
			return
		}
		reached[n] = true
		for _, child := range n.names {
			visit(child)
		}
		for _, child := range n.durableNames {
			visit(child)
		}
	}
	visit(m.root)
	for before := -1; before != len(reached); { // a pending name in a directory that is reached leads on
		before = len(reached)
		for _, op := range m.pending {
			if reached[op.to] {
				visit(op.child)
			}
		}
	}
	m.pending = slices.DeleteFunc(m.pending, func(op nameOp) bool { return !reached[op.from] && !reached[op.to] })
}
