package log

import (
	"testing"

	"weir/segment/vfs"
)

// TestCheckpointAfterClose: a worker that comes late with its checkpoint leaves
// a closed log alone, whose folder may be somebody else's by now.
func TestCheckpointAfterClose(t *testing.T) {
	inj := vfs.NewInjector()
	l, err := Open(Config{Dir: "/log", FS: vfs.Inject(vfs.NewMem(), inj)})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(inj.Trace())
	if err := l.advanceRecoveryPoint(); err != nil {
		t.Fatal(err)
	}
	if late := inj.Trace()[before:]; len(late) > 0 {
		t.Fatalf("%d operations after Close, first %v", len(late), late[0])
	}
}
