package controller

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"weir/cluster/metadata"
)

// A leader sends its snapshot to a member that is too far behind for its log.
func TestRestoreTakesOverASnapshot(t *testing.T) {
	source := open(t, testConfig(t.TempDir(), true))
	register(t, source)
	createTopics(t, source, 0, 3)
	changes := 0
	target := &fsm{machine: metadata.NewMachine(), fault: newFault(nil), waiting: newWaiters(), changed: func() { changes++ }}
	body := source.Image().Encode()
	if err := target.Restore(io.NopCloser(bytes.NewReader(body[:len(body)-1]))); err == nil || changes != 0 {
		t.Fatalf("half a snapshot was taken: %v", err)
	}
	if err := target.Restore(io.NopCloser(bytes.NewReader(body))); err != nil || changes != 1 {
		t.Fatal(err)
	}
	sameImage(t, target.machine.Image(), source.Image())

	target.fault.set(errors.New("disk"))
	if _, err := target.Snapshot(); err == nil {
		t.Fatal("a snapshot of a machine that has stopped")
	}
}

// brokenSink fails where a disk may.
type brokenSink struct {
	cancelled bool
	io.WriteCloser
}

func (s *brokenSink) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
func (s *brokenSink) ID() string                { return "broken" }
func (s *brokenSink) Cancel() error             { s.cancelled = true; return nil }

func TestSnapshotThatCannotBeWrittenIsCancelled(t *testing.T) {
	sink := &brokenSink{}
	err := snapshot{image: metadata.NewMachine().Image()}.Persist(sink)
	if !errors.Is(err, io.ErrShortWrite) || !sink.cancelled {
		t.Fatal(err)
	}
}
