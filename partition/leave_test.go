package partition

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/segment/vfs"
)

// gatedClose is a transport that stands at a gate when it is closed.
type gatedClose struct {
	*raft.InmemTransport
	fs vfs.FS
}

func (g gatedClose) Close() error {
	_, err := g.fs.ReadDir("/") // where the gate is
	return errors.Join(err, g.InmemTransport.Close())
}

// TestWriteEndsWhileLeaving: a producer gets its bytes back also when the write that reads them comes back between the two
// steps of leaving.
func TestWriteEndsWhileLeaving(t *testing.T) {
	mem, disk, closing := vfs.NewMem(), vfs.NewInjector(), vfs.NewInjector()
	write, leave := vfs.NewGate(), vfs.NewGate()
	closing.Add(vfs.Rule{Kinds: vfs.OpReadDir, Gate: leave})
	_, inMemory := raft.NewInmemTransport("1")
	dog := NewWatchdog(time.Minute)
	t.Cleanup(dog.Close)
	reopen := make(chan error, 1)
	r, err := tryOpenWith(vfs.Inject(mem, disk), log.RecoverClean, testSettings(), func(cfg *Config) {
		cfg.Replication.Transport = gatedClose{inMemory, vfs.Inject(mem, closing)}
		cfg.Watchdog, cfg.Reopen = dog, func(err error) { reopen <- err }
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.syncer.Close()
	disk.Add(vfs.Rule{Kinds: vfs.OpWrite, Path: "*.log", Gate: write})
	a := r.Propose(makeBatch(t, rand.New(rand.NewPCG(1, 1)), nobody, 1), AcksAll)
	<-write.Entered()
	go r.Retire(errors.New("in the middle of a write"))
	<-leave.Entered()
	write.Open()
	for deadline := time.Now().Add(patience); r.disk.write.began.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the write has not come back")
		}
	}
	leave.Open()
	var retired *RetiredError
	if err := await(t, a); !errors.As(err, &retired) {
		t.Errorf("told %v by a replica that leaves", err)
	}
	held := a.Held()
	<-reopen
	if err := r.Abandon(); err != nil {
		t.Error(err)
	}
	<-r.Gone()
	if held == nil {
		return
	}
	select {
	case <-held:
	default:
		t.Error("the bytes are held for ever")
	}
}
