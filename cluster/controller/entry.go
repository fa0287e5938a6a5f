package controller

import (
	"encoding/binary"
	"errors"
	"sync"
)

// An entry of the group's log is: entryVersion (1 byte), proposal id (node 4, incarnation 8,
// counter 8 bytes, big endian), command as metadata.EncodeCommand writes it. Older entries are
// commands alone, which begin with the 1 of their version.
const (
	entryVersion = 0x80
	entryHeader  = 1 + 4 + 8 + 8
)

// proposalID names a proposal in all the cluster, for ever.
type proposalID struct {
	node        int32
	incarnation uint64
	counter     uint64
}

func encodeEntry(id proposalID, command []byte) []byte {
	b := make([]byte, 0, entryHeader+len(command))
	b = append(b, entryVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(id.node))
	b = binary.BigEndian.AppendUint64(b, id.incarnation)
	b = binary.BigEndian.AppendUint64(b, id.counter)
	return append(b, command...)
}

// decodeEntry returns the command, and the zero id for an entry that has none.
func decodeEntry(b []byte) (id proposalID, command []byte, err error) {
	if len(b) == 0 || b[0] != entryVersion {
		return id, b, nil
	}
	if len(b) < entryHeader {
		return id, nil, errors.New("the proposal's id is cut off")
	}
	id.node = int32(binary.BigEndian.Uint32(b[1:]))
	id.incarnation = binary.BigEndian.Uint64(b[5:])
	id.counter = binary.BigEndian.Uint64(b[13:])
	return id, b[entryHeader:], nil
}

// waiters are the proposals of this broker that wait to be applied by its own machine, which knows
// the result: it comes out the same on every broker and so need not be sent.
type waiters struct {
	mu       sync.Mutex // guards the two below
	byID     map[proposalID]chan applied
	restored uint64 // index of the newest snapshot that was put in the place of history
	skipped  signal // restored has changed
}

func newWaiters() *waiters { return &waiters{byID: make(map[proposalID]chan applied)} }

// add returns where the result will be, at most one.
func (w *waiters) add(id proposalID) <-chan applied {
	result := make(chan applied, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byID[id] = result
	return result
}

func (w *waiters) remove(id proposalID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byID, id)
}

// deliver is called once per entry, in order.
func (w *waiters) deliver(id proposalID, a applied) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if result, ok := w.byID[id]; ok {
		delete(w.byID, id)
		result <- a
	}
}

// skip says that the entries up to index will never be delivered.
func (w *waiters) skip(index uint64) {
	w.mu.Lock()
	w.restored = max(w.restored, index)
	w.mu.Unlock()
	w.skipped.fire()
}

func (w *waiters) skippedTo() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.restored
}
