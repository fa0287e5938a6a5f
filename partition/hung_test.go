package partition

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// hungAfter is the write deadline of these tests.
const hungAfter = time.Second

func newWatchdog(t *testing.T) *Watchdog {
	dog := NewWatchdog(hungAfter)
	t.Cleanup(dog.Close)
	return dog
}

// TestHungLeader (TR-10): a leader whose disk does not come back from a write, or from a sync, is
// followed by another one within the deadline and 5 s. Its producers hear that the outcome is not
// known, nothing acknowledged is lost, and when the disk comes back so does the replica: as a
// follower whose log is the same.
func TestHungLeader(t *testing.T) {
	for _, x := range []struct {
		name string
		kind vfs.OpKind
		held bool // the producer's bytes
	}{{"write", vfs.OpWrite, true}, {"sync", vfs.OpSync, false}} {
		t.Run(x.name, func(t *testing.T) {
			g := newGroupWatched(t, 3, 3, testSettings(), Timing{Heartbeat: 500 * time.Millisecond, Commit: 20 * time.Millisecond}, newWatchdog(t))
			rng := rand.New(rand.NewPCG(1, 1))
			acked := records{}
			for range 10 {
				acked.put(g, makeBatch(t, rng, nobody, 2))
			}
			hung, gate := g.leader(), vfs.NewGate()
			defer gate.Open()
			hung.inj.Add(vfs.Rule{Kinds: x.kind, Path: "*.log", Times: -1, Gate: gate})
			a := hung.Propose(makeBatch(t, rng, nobody, 1), AcksAll)
			<-gate.Entered()
			began := time.Now()
			waits := hung.Propose(makeBatch(t, rng, nobody, 1), AcksAll)
			var hang *HungError
			if err := g.left(hung); !errors.As(err, &hang) {
				t.Fatalf("left with %v", err)
			}
			var storage *StorageError
			for _, a := range []*Append{a, waits} {
				if err := await(t, a); !errors.As(err, &storage) || !errors.As(err, &hang) {
					t.Errorf("its producers hear %v", err)
				}
			}
			if held := a.Held(); held != nil != x.held {
				t.Errorf("bytes held: %v, want %v", held != nil, x.held)
			}
			if waits.Held() != nil {
				t.Error("bytes are held that nobody reads")
			}
			next := g.leader()
			if took := time.Since(began); took > hungAfter+5*time.Second || next == hung {
				t.Errorf("node %d leads after %v", next.node, took)
			}
			for range 10 {
				acked.put(g, makeBatch(t, rng, nobody, 2))
			}
			if err := await(t, hung.Propose(makeBatch(t, rng, nobody, 1), AcksLeader)); !errors.As(err, &storage) {
				t.Errorf("a later batch: %v", err)
			}
			held := a.Held()
			gate.Open()
			hung.inj.Clear()
			epoch, _ := g.leader().Leading()
			g.openAgain(hung)
			if held != nil {
				<-held
			}
			acked.put(g, makeBatch(t, rng, nobody, 2))
			if now, _ := g.leader().Leading(); now != epoch {
				t.Errorf("it did not come back as a follower: epoch %d, was %d", now, epoch)
			}
			acked.areIn(t, g.same())
		})
	}
}

// TestHungFollower: a follower whose disk hangs holds nobody up, and comes back.
func TestHungFollower(t *testing.T) {
	g := newGroupWatched(t, 3, 3, testSettings(), Timing{Heartbeat: 500 * time.Millisecond, Commit: 20 * time.Millisecond}, newWatchdog(t))
	rng := rand.New(rand.NewPCG(1, 1))
	acked, gate := records{}, vfs.NewGate()
	defer gate.Open()
	acked.put(g, makeBatch(t, rng, nobody, 2))
	var hung *member
	for _, m := range g.nodes {
		if m != g.leader() {
			hung = m
		}
	}
	hung.inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Times: -1, Gate: gate})
	for range 10 {
		acked.put(g, makeBatch(t, rng, nobody, 2))
	}
	<-gate.Entered()
	if err := g.left(hung); err == nil {
		t.Error("no reason")
	}
	gate.Open()
	hung.inj.Clear()
	g.openAgain(hung)
	acked.put(g, makeBatch(t, rng, nobody, 2))
	acked.areIn(t, g.same())
}

// TestHungAlone: a partition with one replica has nobody else to lead it. Its producers get an error
// in place of waiting for ever, closing it does not wait for the disk, and it is led again when the
// disk has come back. A sync that nobody waits for counts as well.
func TestHungAlone(t *testing.T) {
	for _, caching := range []bool{false, true} {
		mem, inj, gate := vfs.NewMem(), vfs.NewInjector(), vfs.NewGate()
		set := testSettings()
		set.WriteCaching, set.FlushRecords = caching, 1
		reopen := make(chan error, 1)
		r, err := tryOpenWith(vfs.Inject(mem, inj), log.RecoverClean, set, func(cfg *Config) {
			cfg.Watchdog, cfg.Reopen = newWatchdog(t), func(err error) { reopen <- err }
		})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		if err := await(t, r.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); err != nil {
			t.Fatal(err)
		}
		_, want := readAll(t, r.Partition, 0)
		inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Times: -1, Gate: gate})
		var storage *StorageError
		if err := await(t, r.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); caching != (err == nil) || !caching && !errors.As(err, &storage) {
			t.Errorf("caching %v: %v", caching, err)
		}
		var hang *HungError
		if err := <-reopen; !errors.As(err, &hang) {
			t.Errorf("left with %v", err)
		}
		if err := await(t, r.Propose(makeBatch(t, rng, nobody, 1), AcksLeader)); !errors.As(err, &storage) {
			t.Errorf("a later batch: %v", err)
		}
		if err := r.Abandon(); !errors.As(err, &hang) {
			t.Errorf("closed with %v", err)
		}
		select {
		case <-r.Gone():
			t.Error("gone while the disk hangs")
		default:
		}
		gate.Open()
		<-r.Gone()
		r.syncer.Close()
		r = open(t, vfs.Inject(mem, inj), log.RecoverProcessCrash, set)
		if err := await(t, r.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); err != nil {
			t.Error(err)
		}
		if _, all := readAll(t, r.Partition, 0); !bytes.HasPrefix(all, want) {
			t.Error("other records than before")
		}
		stopped(t, r)
	}
}
