//go:build torture

package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pool is memory that a disk is made of which promises more room than there is,
// as those of virtual machines do. When the pool is used up, files are written
// as before, into the page cache, and cannot be synced any more.
type pool struct {
	t   *testing.T
	dir string
}

const poolMegabytes = 512

func newPool(t *testing.T) *pool {
	t.Helper()
	return &pool{t, mountMemory(t, fmt.Sprintf("size=%dm", poolMegabytes))}
}

func (p *pool) resize(bytes int64) error {
	return unix.Mount("weir-torture", p.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprint("size=", bytes))
}

// useUp leaves nothing for what the disk has not held before.
func (p *pool) useUp() {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var s unix.Statfs_t
		if err := unix.Statfs(p.dir, &s); err != nil {
			p.t.Fatal(err)
		}
		err := p.resize(int64(s.Blocks-s.Bfree) * s.Bsize)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINVAL) || time.Now().After(deadline) { // that means more is in use by now
			p.t.Fatalf(cannotMount, "make a tmpfs smaller", err)
		}
	}
}

func (p *pool) refill() {
	p.t.Helper()
	if err := p.resize(poolMegabytes << 20); err != nil {
		p.t.Fatalf(cannotMount, "make a tmpfs larger", err)
	}
}

// TestFailedSync has syncs fail while writes go on to succeed: the broker
// acknowledges nothing of what it could not sync, and ends by itself. What it
// acknowledged is there after the machine's restart.
func TestFailedSync(t *testing.T) {
	needMount(t)
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 0))
	pool := newPool(t)
	disk := newImageIn(t, pool.dir, 2*poolMegabytes)
	data := filepath.Join(disk.dir, "data")
	b := newBroker(t, data)
	b.start()
	l := safeLoad(t, b, s)
	for range setting(t, "WEIR_TORTURE_FAILED_SYNCS", 3) {
		time.Sleep(time.Duration(200+rng.IntN(800)) * time.Millisecond) // the moment is what is drawn
		pool.useUp()
		select {
		case <-b.exited:
		case <-time.After(patience):
			t.Errorf("the broker runs on without its syncs")
		}
		b.kill()
		pool.refill()
		disk.unmount() // what could not be written is forgotten
		disk.mount()
		// The machine did not restart, the broker is to think that it did.
		if err := os.WriteFile(filepath.Join(data, "running"), []byte("another boot\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		b.start()
	}
	l.stopProducing()
	l.stopConsuming()
	if report := l.judge(); report.Acked == 0 || report.Polled == 0 {
		t.Errorf("too little happened to show anything: %+v", report)
	}
	b.stop()
	disk.unmount()
}
