package vfs

import (
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
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
