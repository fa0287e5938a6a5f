package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// promise is what was known to the outside at a moment of a recording.
type promise struct {
	acked [][2]int64 // offsets of batches called safe
	start int64
}

// TestPowerLossEverywhere takes a short life of a partition (rolls, records
// deleted, retention, an orderly stop and a start) apart into the states that a power
// loss at any step could leave: what had been acknowledged by then is there, and
// what had been deleted is not.
func TestPowerLossEverywhere(t *testing.T) {
	const states = 1500
	mem := vfs.NewMem()
	recording := mem.Record()
	rng := rand.New(rand.NewPCG(1, 2))
	m, set := newModel(), testSettings()
	set.Log.SegmentBytes = 1 << 10 // so that several go at a time
	var now promise
	put := func(r *rig, who identity) {
		b := makeBatch(t, rng, who, 3)
		a := r.put(b, AcksAll)
		m.add(b, a)
		if err := await(t, a); err != nil {
			t.Fatal(err)
		}
		now.acked = append(now.acked, [2]int64{a.BaseOffset, a.next()})
		mem.Mark(promise{acked: now.acked[:len(now.acked):len(now.acked)], start: now.start})
	}
	for range 2 {
		r := open(t, mem, log.RecoverClean, set)
		for i := range 24 {
			who := nobody
			if i%2 == 0 {
				who = m.next(int64(i % 3))
			}
			put(r, who)
			if i%10 == 9 {
				to := r.HighWatermark() - 4
				if _, err := r.DeleteRecords(context.Background(), to); err != nil {
					t.Fatal(err)
				}
				now.start, m.start = to, to
				mem.Mark(now)
			}
			if i%10 == 4 {
				now.start = retained(t, r, set)
				m.start = now.start
				mem.Mark(now)
			}
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		mem.Mark(now)
	}
	n := 0
	for state := range recording.Crashes(vfs.Enumeration{MaxStates: states, Seed: 7}) {
		n++
		checkState(t, state, m, set)
	}
	if n < states {
		t.Errorf("only %d states were visited, want %d", n, states)
	}
}

// retained has retention by size run to its end and returns the log start.
func retained(t *testing.T, r *rig, set Settings) (start int64) {
	t.Helper()
	set.Log.DeleteByRetention, set.Log.RetentionBytes = true, 4<<10
	r.SetSettings(set)
	to, err := r.log.RetentionStart(time.Now(), r.HighWatermark())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); r.LogStartOffset() < to; runtime.Gosched() {
		if err := r.Maintain(time.Now()); err != nil || time.Now().After(deadline) {
			t.Fatalf("the log start stays at %d: %v", r.LogStartOffset(), err)
		}
	}
	set.Log.DeleteByRetention = false
	r.SetSettings(set)
	return r.LogStartOffset()
}

// checkState opens what a power loss left and holds it against the promises.
func checkState(t *testing.T, state vfs.CrashState, m *model, set Settings) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %s", state.Description, fmt.Sprintf(format, args...))
	}
	r, err := tryOpen(state.FS, log.RecoverPowerLoss, set)
	if err != nil {
		fail("open: %v", err)
	}
	end, start := r.LogEndOffset(), r.LogStartOffset()
	var promised promise
	if len(state.Marks) > 0 {
		promised = state.Marks[len(state.Marks)-1].(promise)
	}
	if start < promised.start {
		fail("the log starts at %d, was moved to %d", start, promised.start)
	}
	for _, a := range promised.acked {
		if a[1] > end {
			fail("the log ends at %d, the batch [%d, %d) was acknowledged", end, a[0], a[1])
		}
	}
	first, got := readAll(t, r.Partition, start)
	wantFirst, want := m.bytesFrom(start)
	if start < end && first != wantFirst || len(got) > len(want) || string(got) != string(want[:len(got)]) {
		fail("what is read is not what was written")
	}
	if err := verify(r.Partition); err != nil {
		fail("%v", err)
	}
	producersHold(t, r, m, fail)
	if ordered := orderedStart(t, r); r.LogStartOffset() < ordered { // what was put since is behind all orders
		fail("the log starts at %d, and holds an order to start at %d", r.LogStartOffset(), ordered)
	}
	if err := r.stop(); err != nil {
		fail("close: %v", err)
	}
}

// orderedStart is where commands in the log want it to start. All of them are committed: the replica is alone.
func orderedStart(t *testing.T, r *rig) (start int64) {
	t.Helper()
	b := makeBatch(t, rand.New(rand.NewPCG(5, 6)), nobody, 1)
	if err := await(t, r.put(b, AcksAll)); err != nil {
		t.Fatal(err)
	}
	for i := r.log.FirstRaftIndex(); i <= r.log.LastRaftIndex(); i++ {
		head, err := r.log.EntryHead(i)
		if errors.Is(err, log.ErrEntryNotFound) && i < r.log.FirstRaftIndex() {
			continue // deleted since, which is after what it orders
		}
		if err != nil {
			t.Fatal(err)
		}
		if to, ok := startIn(head.Data); ok && head.Kind == log.KindBarrier {
			start = max(start, to)
		}
	}
	return start
}

// producersHold sends, for each producer, its last batch that is in the log
// again and then the one that follows: the partition has to know both, also
// when the first lies below the log start.
func producersHold(t *testing.T, r *rig, m *model, fail func(string, ...any)) {
	t.Helper()
	end := r.LogEndOffset()
	last := map[int64]modelBatch{}
	for _, b := range m.batches {
		if b.who.id >= 0 && b.next <= end {
			last[b.who.id] = b
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for id, b := range last {
		again := r.put(makeBatch(t, rng, b.who, int(b.next-b.base)), AcksLeader)
		if again.err != nil || again.BaseOffset != b.base {
			fail("the retry of producer %d got offset %d, %v; the original lies at %d", id, again.BaseOffset, again.err, b.base)
		}
		next := identity{id: id, epoch: b.who.epoch, sequence: b.lastSeq + 1}
		if a := r.put(makeBatch(t, rng, next, 1), AcksLeader); a.err != nil || a.BaseOffset < end {
			fail("the next batch of producer %d: offset %d, %v", id, a.BaseOffset, a.err)
		}
	}
}
