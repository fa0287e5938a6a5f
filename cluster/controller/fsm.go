package controller

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

// fsm is the metadata machine as the library drives it. Apply, Snapshot and Restore run on the
// library's FSM goroutine.
type fsm struct {
	machine *metadata.Machine
	fault   *fault
	waiting *waiters
	changed func() // called after every change of the image
}

// applied is what Apply answers to a proposal.
type applied struct {
	result any
	err    error
}

// Apply applies one committed command. A command that cannot be read was written by a newer Weir,
// or is damaged: skipping it would make this broker differ from the others, so the group stops.
func (f *fsm) Apply(entry *raft.Log) any {
	if err := f.fault.get(); err != nil {
		return applied{err: &UnknownOutcomeError{Err: err}}
	}
	id, data, err := decodeEntry(entry.Data)
	var command metadata.Command
	if err == nil {
		command, err = metadata.DecodeCommand(data)
	}
	if err != nil {
		err = f.fault.set(fmt.Errorf("controller: committed entry %d cannot be applied: %w", entry.Index, err))
		return applied{err: &UnknownOutcomeError{Err: err}}
	}
	var a applied
	a.result, a.err = f.machine.Apply(entry.Index, command)
	f.changed()
	f.waiting.deliver(id, a)
	return a
}

func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.fault.get(); err != nil {
		return nil, err
	}
	return snapshot{image: f.machine.Image()}, nil
}

// Restore takes over the state that a leader sent.
func (f *fsm) Restore(r io.ReadCloser) error {
	image, err := metadata.ReadImage(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	f.machine.Restore(image)
	f.changed()
	f.waiting.skip(image.Index())
	return nil
}

type snapshot struct{ image *metadata.Image }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s.image.Encode()); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (snapshot) Release() {}
