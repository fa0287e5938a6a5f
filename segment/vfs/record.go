package vfs

import "slices"

// Recording is a Mem as it was when Record was called and everything done to it since. Crashes
// goes through what crashes would have left.
type Recording struct {
	mem    *Mem
	base   *Mem
	copies map[*node]*node // from the nodes that there were to those of base
	events []event         // guarded by the mutex of mem
}

// event is one step of a recording: a change, a sync, or a mark. One of name, file, syncDir and mark
// is set; file without data is a Sync.
type event struct {
	name       *nameOp
	file       *node
	data       *dataOp
	syncFailed bool // with file: the sync lost the writes
	syncDir    *node
	mark       any
}

// Record starts a recording of what is done on m from now on; one that is under way ends.
func (m *Mem) Record() *Recording {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &Recording{mem: m}
	r.base, r.copies = m.clone()
	m.recorder = r
	return r
}

// Mark puts a value that is not nil between the steps of the recording: what a test has been
// promised so far, say. Without a recording it does nothing.
func (m *Mem) Mark(value any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record(event{mark: value})
}

func (m *Mem) record(e event) {
	if m.recorder != nil {
		m.recorder.events = append(m.recorder.events, e)
	}
}

func (r *Recording) snapshot() []event {
	r.mem.mu.RLock()
	defer r.mem.mu.RUnlock()
	return slices.Clone(r.events)
}

// isSync reports whether the event makes something durable.
func (e event) isSync() bool { return e.syncDir != nil || e.file != nil && e.data == nil }

// replay does the events of a recording again, one at a time, on a copy of its base.
type replay struct {
	mem   *Mem
	nodes map[*node]*node // from the nodes of the events
	marks []any
}

func (r *Recording) replay() *replay {
	r.base.mu.Lock()
	defer r.base.mu.Unlock()
	mem, copies := r.base.clone()
	nodes := make(map[*node]*node, len(r.copies))
	for from, to := range r.copies {
		nodes[from] = copies[to]
	}
	return &replay{mem: mem, nodes: nodes}
}

// node returns the node that stands for n, a new one when n was made during the recording.
func (p *replay) node(n *node) *node {
	if n == nil {
		return nil
	}
	c := p.nodes[n]
	if c == nil {
		c = p.mem.newNode(n.dir, n.perm)
		c.id = n.id
		p.nodes[n] = c
	}
	return c
}

func (p *replay) step(e event) {
	switch {
	case e.mark != nil:
		p.marks = append(p.marks, e.mark)
	case e.name != nil:
		op := *e.name
		op.from, op.to, op.child = p.node(op.from), p.node(op.to), p.node(op.child)
		p.mem.change(op)
	case e.syncDir != nil:
		p.mem.syncDir(p.node(e.syncDir))
	case e.data != nil:
		p.mem.changeData(p.node(e.file), *e.data)
	case e.syncFailed:
		p.node(e.file).loseWrites()
	default:
		p.node(e.file).sync()
	}
}
