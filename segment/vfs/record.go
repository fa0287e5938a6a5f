package vfs

// event is one step of a recording: a change, a sync, or a mark. One of the fields is set, file
// goes with data or, alone, says Sync.
type event struct {
	name       *nameOp
	file       *node
	data       *dataOp
	syncFailed bool // with file: the sync lost the writes
	syncDir    *node
	mark       any
}

// Recording is a Mem as it was when Record was called and everything done to it since.
type Recording struct {
	base   *Mem
	copies map[*node]*node // from the nodes of the events to those of base
	events []event
}

// Record starts recording what is done on m and returns the recording, which grows until the next
// call of Record. m must have no recording that is still being read.
func (m *Mem) Record() *Recording {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recorder = &Recording{}
	m.recorder.base, m.recorder.copies = m.clone()
	return m.recorder
}

func (m *Mem) record(e event) {
	if m.recorder != nil {
		m.recorder.events = append(m.recorder.events, e)
	}
}
