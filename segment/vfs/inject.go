package vfs

import (
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// OpKind is a kind of operation of FS or File, or a set of kinds.
type OpKind uint32

// The kinds. OpCreate is an OpenFile with os.O_CREATE, OpOpen one without. OpWrite is WriteAt and
// WritevAt.
const (
	OpOpen OpKind = 1 << iota
	OpCreate
	OpStat
	OpReadDir
	OpMkdir
	OpRename
	OpRemove
	OpSyncDir
	OpLock
	OpFreeBytes
	OpRead
	OpWrite
	OpSync
	OpTruncate
	OpPreallocate
	OpSize
	OpClose

	// OpChanging is every operation that changes the disk or makes it durable.
	OpChanging = OpCreate | OpMkdir | OpRename | OpRemove | OpSyncDir | OpWrite | OpSync | OpTruncate | OpPreallocate
)

var opNames = []string{"open", "create", "stat", "readdir", "mkdir", "rename", "remove", "syncdir", "lock", "freebytes",
	"read", "write", "sync", "truncate", "preallocate", "size", "close"}

// String names the kinds of the set, joined by "|".
func (k OpKind) String() string {
	s := ""
	for i, name := range opNames {
		if k&(1<<i) != 0 {
			if s != "" {
				s += "|"
			}
			s += name
		}
	}
	return s
}

// Op is one operation as the trace keeps it.
type Op struct {
	Kind    OpKind // one kind
	Path    string
	NewPath string // OpRename
	Offset  int64  // position in bytes: OpRead, OpWrite, OpPreallocate
	Length  int64  // bytes: OpRead, OpWrite, OpPreallocate; the new size: OpTruncate
	Err     error  // what a rule made of it; nil when it reached the file system below
}

// Rule says which operations fail and how. What is zero does not restrict, and does not happen.
type Rule struct {
	Kinds OpKind // any of these
	Path  string // pattern of path/filepath.Match for the last element of the path, or of the new path
	Nth   int    // the first operation that is hit, among those that match, counted from 1; 0 means the first
	Times int    // how many in a row from the Nth are hit; 0 means one, negative means all that follow

	Delay time.Duration // waits first
	Gate  *Gate         // then stands at the gate until it is opened
	// Err is returned instead of doing the operation. A Sync that fails over a Mem loses what was
	// written, as on Linux: no later Sync brings it back.
	Err error
	// ShortBytes lets this much of a read or a write through before Err, which is then
	// io.ErrShortWrite or io.ErrUnexpectedEOF unless it is set.
	ShortBytes int
}

// Gate holds operations up: a disk that hangs.
type Gate struct {
	entered, open           chan struct{}
	enteredOnce, openedOnce sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate { return &Gate{entered: make(chan struct{}), open: make(chan struct{})} }

// Entered is closed when the first operation stands at the gate.
func (g *Gate) Entered() <-chan struct{} { return g.entered }

// Open lets everything through, now and later.
func (g *Gate) Open() { g.openedOnce.Do(func() { close(g.open) }) }

func (g *Gate) pass() {
	g.enteredOnce.Do(func() { close(g.entered) })
	<-g.open
}

// Injector decides for each operation whether it fails, and keeps count. The same rules over the
// same sequence of operations have the same effect. Its methods may be called from any goroutine.
type Injector struct {
	mu    sync.Mutex // guards the rest; never held during an operation
	rules []*countedRule
	trace []Op
}

type countedRule struct {
	Rule
	seen int // operations that matched
}

// NewInjector returns an injector with rules. Of the rules that hit one operation the first counts,
// but each rule counts every operation that it matches.
func NewInjector(rules ...Rule) *Injector {
	inj := &Injector{}
	inj.Add(rules...)
	return inj
}

// Add appends rules; they count from now on.
func (inj *Injector) Add(rules ...Rule) {
	inj.mu.Lock()
	defer inj.mu.Unlock()
	for _, r := range rules {
		inj.rules = append(inj.rules, &countedRule{Rule: r})
	}
}

// Clear drops all rules. It opens no gate.
func (inj *Injector) Clear() {
	inj.mu.Lock()
	defer inj.mu.Unlock()
	inj.rules = nil
}

// Count returns how many operations of these kinds there were, failed ones included.
func (inj *Injector) Count(kinds OpKind) int {
	inj.mu.Lock()
	defer inj.mu.Unlock()
	count := 0
	for _, op := range inj.trace {
		if op.Kind&kinds != 0 {
			count++
		}
	}
	return count
}

// Trace returns every operation so far, in the order in which they began.
func (inj *Injector) Trace() []Op {
	inj.mu.Lock()
	defer inj.mu.Unlock()
	return append([]Op(nil), inj.trace...)
}

// begin notes an operation and does what the rules have for it. pass is how many bytes of a read or
// write go through in spite of the error.
func (inj *Injector) begin(op Op) (pass int, err error) {
	inj.mu.Lock()
	var hit *Rule
	for _, r := range inj.rules {
		if r.counts(op) && hit == nil {
			hit = &r.Rule
		}
	}
	if hit != nil {
		pass, err = hit.outcome(op)
	}
	op.Err = err
	inj.trace = append(inj.trace, op)
	inj.mu.Unlock()
	if hit != nil {
		if hit.Delay > 0 {
			time.Sleep(hit.Delay)
		}
		if hit.Gate != nil {
			hit.Gate.pass()
		}
	}
	return pass, err
}

// counts notes a matching operation and reports whether the rule hits it.
func (r *countedRule) counts(op Op) bool {
	if r.Kinds != 0 && r.Kinds&op.Kind == 0 || r.Path != "" && !r.matches(op.Path) && !r.matches(op.NewPath) {
		return false
	}
	r.seen++
	first := max(r.Nth, 1)
	return r.seen >= first && (r.Times < 0 || r.seen < first+max(r.Times, 1))
}

func (r *countedRule) matches(name string) bool {
	ok, err := filepath.Match(r.Path, filepath.Base(name))
	if err != nil {
		panic("vfs: bad pattern in a rule: " + r.Path)
	}
	return ok && name != ""
}

func (r *Rule) outcome(op Op) (pass int, err error) {
	if op.Kind&(OpRead|OpWrite) == 0 || r.ShortBytes == 0 {
		return 0, r.Err
	}
	switch pass = int(min(int64(r.ShortBytes), op.Length)); {
	case r.Err != nil:
		return pass, r.Err
	case op.Kind == OpRead:
		return pass, io.ErrUnexpectedEOF
	default:
		return pass, io.ErrShortWrite
	}
}

// Inject returns fsys with inj in front of it.
func Inject(fsys FS, inj *Injector) FS { return &injectedFS{fs: fsys, inj: inj} }

type injectedFS struct {
	fs  FS
	inj *Injector
}

func (i *injectedFS) begin(kind OpKind, path string) error {
	_, err := i.inj.begin(Op{Kind: kind, Path: path})
	return wrapInjected(kind, path, err)
}

func wrapInjected(kind OpKind, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: kind.String(), Path: path, Err: err}
}
