package vfs

import (
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that knows what is durable. What a power loss would leave of it is
// taken with CrashClone, what the death of the process would leave with ProcessCrashClone.
//
// It starts with an empty root directory, which "/" and "." both name. File descriptors it has none.
type Mem struct {
	mu       sync.RWMutex // guards everything below and every node
	root     *node
	lastID   uint64
	pending  []nameOp // done, not yet durable, in order
	capacity int64    // pages; all of int64 when there is no limit
	used     int64    // pages held by files that have a name or a handle
	recorder *Recording
}

// NewMem returns an empty file system without a limit of size.
func NewMem() *Mem {
	m := &Mem{capacity: math.MaxInt64 / pageBytes}
	m.root = m.newNode(true, 0o755)
	m.root.links = 1
	return m
}

// SetCapacity sets the size of the disk in bytes, rounded down to 4 KiB pages; what is already
// allocated stays, also above it. Only the bytes of files count.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes / pageBytes
}

func (m *Mem) newNode(dir bool, perm fs.FileMode) *node {
	m.lastID++
	n := &node{id: m.lastID, dir: dir, perm: perm & fs.ModePerm, modTime: time.Now()}
	if dir {
		n.names, n.durableNames = map[string]*node{}, map[string]*node{}
	} else {
		n.live, n.durable = newContent(), newContent()
	}
	return n
}

// split returns the elements of a path below the root.
func split(name string) []string {
	name = filepath.Clean("/" + name)
	if name == "/" {
		return nil
	}
	return strings.Split(name[1:], "/")
}

// walk follows the elements from the root.
func (m *Mem) walk(elements []string) (*node, error) {
	n := m.root
	for _, e := range elements {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		next, ok := n.names[e]
		if !ok {
			return nil, syscall.ENOENT
		}
		n = next
	}
	return n, nil
}

// parent returns the directory that holds the last element of name, and that element.
func (m *Mem) parent(name string) (*node, string, error) {
	elements := split(name)
	if len(elements) == 0 {
		return nil, "", syscall.EBUSY
	}
	last := len(elements) - 1
	dir, err := m.walk(elements[:last])
	if err == nil && !dir.dir {
		err = syscall.ENOTDIR
	}
	return dir, elements[last], err
}

// change does a name operation on the running system and keeps it until a SyncDir.
func (m *Mem) change(op nameOp) {
	var gone *node
	switch {
	case op.to == nil:
		gone = op.from.names[op.fromName]
	case op.from == nil:
		op.child.links++
	default:
		gone = op.to.names[op.toName]
	}
	op.apply(liveNames)
	if gone != nil {
		gone.links--
		m.release(gone)
	}
	m.pending = append(m.pending, op)
	m.record(event{name: &op})
}

// release frees the space of a file that nothing leads to any more.
func (m *Mem) release(n *node) {
	if !n.dir && n.links == 0 && n.handles == 0 {
		m.used -= n.live.held.total()
	}
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// OpenFile is FS.OpenFile.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.open(name, flag, perm)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	n.handles++
	mode := flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
	return &memFile{mem: m, node: n, name: name, reads: mode != os.O_WRONLY, writes: mode != os.O_RDONLY}, nil
}

func (m *Mem) open(name string, flag int, perm fs.FileMode) (*node, error) {
	if flag&os.O_APPEND != 0 {
		return nil, syscall.EINVAL
	}
	dir, last, err := m.parent(name)
	if err == syscall.EBUSY {
		return nil, syscall.EISDIR
	}
	if err != nil {
		return nil, err
	}
	n, ok := dir.names[last]
	switch {
	case ok && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, syscall.EEXIST
	case ok && n.dir:
		return nil, syscall.EISDIR
	case ok:
		if flag&os.O_TRUNC != 0 && n.live.size > 0 {
			m.changeData(n, dataOp{kind: opTruncate})
		}
		return n, nil
	case flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	}
	n = m.newNode(false, perm)
	m.change(nameOp{to: dir, toName: last, child: n})
	return n, nil
}

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

// Stat is FS.Stat.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	elements := split(name)
	n, err := m.walk(elements)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	last := "/"
	if len(elements) > 0 {
		last = elements[len(elements)-1]
	}
	return n.info(last), nil
}

// ReadDir is FS.ReadDir.
func (m *Mem) ReadDir(dir string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.walk(split(dir))
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", dir, err)
	}
	entries := []fs.DirEntry{}
	for _, name := range n.sortedNames() {
		entries = append(entries, fs.FileInfoToDirEntry(n.names[name].info(name)))
	}
	return entries, nil
}

// Lock is FS.Lock.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.open(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil && n.locked {
		err = ErrLocked
	}
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	n.locked = true
	n.handles++
	return &memLock{mem: m, node: n}, nil
}

type memLock struct {
	once sync.Once
	mem  *Mem
	node *node
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.mem.mu.Lock()
		defer l.mem.mu.Unlock()
		l.node.locked = false
		l.node.handles--
		l.mem.release(l.node)
	})
	return nil
}

// FreeBytes is FS.FreeBytes.
func (m *Mem) FreeBytes(dir string) (free, total int64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.walk(split(dir)); err != nil {
		return 0, 0, pathError("statfs", dir, err)
	}
	return max(0, m.capacity-m.used) * pageBytes, m.capacity * pageBytes, nil
}

// info describes n under the name it was reached by.
func (n *node) info(name string) fs.FileInfo {
	info := memInfo{name: name, mode: n.perm, modTime: n.modTime}
	if n.dir {
		info.mode |= fs.ModeDir
	} else {
		info.size = n.live.size
	}
	return info
}

type memInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modTime }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
