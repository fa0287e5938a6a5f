package partition

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// flip changes a byte of the batch at an offset in a member's log.
func (g *group) flip(m *member, offset int64) {
	g.t.Helper()
	r, err := m.log.Read(offset, 1, m.LogEndOffset(), true)
	if err != nil {
		g.t.Fatal(err)
	}
	b, err := r.AppendTo(nil)
	if err == nil {
		err = r.Release()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	names, err := m.fs.ReadDir("/p")
	if err != nil {
		g.t.Fatal(err)
	}
	for _, e := range names {
		if !strings.HasSuffix(e.Name(), ".log") {
			continue
		}
		name := filepath.Join("/p", e.Name())
		all, err := vfs.ReadFile(m.fs, name)
		if err != nil {
			g.t.Fatal(err)
		}
		at := strings.Index(string(all), string(b))
		if at < 0 {
			continue
		}
		f, err := m.fs.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			g.t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{^all[at+70]}, int64(at+70)); err != nil {
			g.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			g.t.Fatal(err)
		}
		return
	}
	g.t.Fatalf("the batch at %d is in no file", offset)
}

// oneBehind is a group of three of which one is down and lacks all but the first batch.
func oneBehind(t *testing.T) (g *group, rng *rand.Rand, acked records, behind *member, mode log.RecoveryMode) {
	g, rng, acked = newGroup(t, 3, 3, testSettings()), rand.New(rand.NewPCG(1, 1)), records{}
	acked.put(g, makeBatch(t, rng, nobody, 1))
	g.settle()
	behind = g.follower()
	mode = g.crash(behind, false)
	for range 60 {
		acked.put(g, makeBatch(t, rng, nobody, 1))
	}
	g.settle()
	return g, rng, acked, behind, mode
}

// TestDamagedLeader: a leader finds bad bytes in its log when it reads for a follower. It sends them to
// nobody and names them, another replica that has everything takes over, and the damaged one does not
// lead any more, whatever is asked of it.
func TestDamagedLeader(t *testing.T) {
	g, rng, acked, behind, mode := oneBehind(t)
	bad, good := g.leader(), g.follower()
	g.flip(bad, 30)
	g.start(behind, mode)
	var corrupt *log.CorruptError
	if err := g.left(bad); !errors.As(err, &corrupt) || corrupt.Offset != 30 || filepath.Ext(corrupt.Path) != ".log" {
		t.Errorf("left with %v", err)
	}
	bad.bad = true
	if !bad.Damaged() {
		t.Error("it is not said to be damaged")
	}
	if l := g.leader(); l != good {
		t.Errorf("node %d leads, want %d, which had everything", l.node, good.node)
	}
	acked.put(g, makeBatch(t, rng, nobody, 1))
	g.openAgain(bad)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 3 {
		acked.put(g, makeBatch(t, rng, nobody, 1))
		g.settle()
		g.do(func(l *member) error {
			if l == bad {
				t.Error("the damaged replica leads")
			}
			if err := l.Transfer(ctx, bad.id); err == nil {
				t.Error("the damaged replica has taken over")
			}
			return nil
		})
		epoch, _ := g.leader().Leading()
		for l := g.leader(); ; l = g.leader() { // the transfer is tried once under each leadership
			if now, _ := l.Leading(); now != epoch {
				break
			}
			g.openAgain(l)
		}
	}
	g.stop(bad) // of its bytes, one is another
	acked.areIn(t, g.same())
}

// TestDamagedAlone: the only replica that has everything is damaged. Nobody leads, rather than that
// something acknowledged is lost or sent bad, until another one that has it is there.
func TestDamagedAlone(t *testing.T) {
	g, rng, acked, behind, mode := oneBehind(t)
	bad, good := g.leader(), g.follower()
	goodMode := g.crash(good, false)
	g.flip(bad, 30)
	g.start(behind, mode)
	if err := g.left(bad); err == nil {
		t.Error("no reason")
	}
	bad.bad = true
	g.openAgain(bad)
	for deadline := time.Now().Add(5 * g.timing.Heartbeat); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, m := range []*member{bad, behind} { // that nobody stands has no signal
			if _, leading := m.Leading(); leading {
				t.Fatalf("node %d leads", m.node)
			}
		}
	}
	g.start(good, goodMode)
	acked.put(g, makeBatch(t, rng, nobody, 1))
	g.settle()
	if g.leader() != good && g.leader() != behind {
		t.Error("the damaged replica leads")
	}
	g.stop(bad)
	acked.areIn(t, g.same())
}
