package partition

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// TestWaitersMissNothing: readers that follow the end by Attach, Read, wait
// come to the last record with nothing but wake-ups to move them on.
func TestWaitersMissNothing(t *testing.T) {
	const readers, producers, batches = 4, 3, 300
	for _, caching := range []bool{false, true} {
		set := testSettings()
		set.WriteCaching = caching
		r := open(t, vfs.NewMem(), log.RecoverClean, set)
		deadline := time.After(patience)
		var wg sync.WaitGroup
		stuck := make(chan int64, readers)
		for range readers {
			wg.Go(func() {
				if at := follow(t, r.Partition, producers*batches, deadline); at < producers*batches {
					stuck <- at
				}
			})
		}
		for i := range producers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), 1))
				for range batches {
					a := r.Propose(makeBatch(t, rng, nobody, 1), AcksAll)
					if rng.IntN(4) == 0 {
						if err := await(t, a); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		close(stuck)
		for at := range stuck {
			t.Errorf("write.caching %v: a reader was left waiting at offset %d of %d", caching, at, producers*batches)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}

// follow reads up to offset end and returns where it got.
func follow(t *testing.T, p *Partition, end int64, deadline <-chan time.Time) (next int64) {
	w := NewWaiter()
	p.Attach(w)
	defer p.Detach(w)
	for next < end {
		r, err := p.Read(next, 1<<20, true)
		if err != nil {
			t.Error(err)
			return next
		}
		if r.Bytes > 0 {
			next = r.NextOffset
			if err := r.Release(); err != nil {
				t.Error(err)
			}
			continue
		}
		select {
		case <-w.C():
		case <-deadline:
			return next
		}
	}
	return next
}

// TestWaitersHear: every change that a parked reader has to know of wakes it.
func TestWaitersHear(t *testing.T) {
	set := testSettings()
	set.Log.RetentionAge, set.Log.DeleteByRetention = time.Millisecond, true
	rng := rand.New(rand.NewPCG(1, 1))
	r := open(t, vfs.NewMem(), log.RecoverClean, set)
	defer r.syncer.Close()
	w, gone := NewWaiter(), NewWaiter()
	r.Attach(gone)
	r.Detach(gone)
	r.Attach(w)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"a committed batch", func() { must(await(t, r.Propose(makeBatch(t, rng, nobody, 3), AcksAll))) }},
		{"deleted records", func() { _, err := r.DeleteRecords(context.Background(), 1); must(err) }},
		{"retention", func() { must(r.Maintain(time.Now())) }},
		{"the end", func() { must(r.Close()) }},
	} {
		c.change()
		select {
		case <-w.C():
		case <-time.After(patience):
			t.Fatalf("%s woke nobody", c.name)
		}
	}
	select {
	case <-gone.C():
		t.Error("a waiter was woken after Detach")
	default:
	}
}

// TestPendingEndsWithClose: a producer whose batch waits for the disk hears
// of the end instead of waiting for ever.
func TestPendingEndsWithClose(t *testing.T) {
	gate := vfs.NewGate()
	inj := vfs.NewInjector()
	r := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, testSettings())
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: gate})
	a := r.Propose(makeBatch(t, rand.New(rand.NewPCG(1, 1)), nobody, 1), AcksAll)
	<-gate.Entered() // the disk hangs
	if a.Settled() || r.HighWatermark() != 0 {
		t.Fatalf("settled %v, high watermark %d, while the disk hangs", a.Settled(), r.HighWatermark())
	}
	closed := make(chan error)
	go func() { closed <- r.Close() }()
	if err := await(t, a); err != ErrClosed {
		t.Errorf("got %v, want ErrClosed", err)
	}
	gate.Open()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	r.syncer.Close()
}
