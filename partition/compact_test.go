package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// keyedBatch makes a batch of one record of that key.
func keyedBatch(t *testing.T, who identity, key, value string) Batch {
	t.Helper()
	h := recordbatch.Header{ProducerID: who.id, ProducerEpoch: who.epoch, BaseSequence: who.sequence}
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Timestamp: 1, Key: []byte(key), Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, b)
}

func mustPropose(t *testing.T, r *rig, b Batch) *Append {
	t.Helper()
	a := r.Propose(b, AcksAll)
	if err := await(t, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestCompactKeepsIdempotence: after compaction, and without any
// checkpoint, a producer's last batch is still known for one, though its record is gone.
func TestCompactKeepsIdempotence(t *testing.T) {
	fsys := vfs.NewMem()
	set := testSettings()
	set.Log.SegmentBytes = 200
	r := open(t, fsys, log.RecoverClean, set)
	p := identity{id: 7}
	for range 4 {
		mustPropose(t, r, keyedBatch(t, p, "k", "from the producer"))
		p.sequence++
	}
	for i := range 4 {
		mustPropose(t, r, keyedBatch(t, nobody, "k", fmt.Sprint(i)))
	}
	if done, err := r.Compact(context.Background(), time.Now(), nil); err != nil || done != (log.Compacted{}) {
		t.Fatalf("not a compacted topic: %+v, %v", done, err)
	}
	set.Compact = true
	r.SetSettings(set)
	done, err := r.Compact(context.Background(), time.Now(), nil)
	if err != nil || done.Records == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	have, err := checkpoints(fsys, "/p")
	if err != nil {
		t.Fatal(err)
	}
	for _, raftIndex := range have {
		if err := fsys.Remove(checkpointName("/p", raftIndex)); err != nil {
			t.Fatal(err)
		}
	}

	r = open(t, fsys, log.RecoverClean, set)
	retry := p
	retry.sequence--
	if a := mustPropose(t, r, keyedBatch(t, retry, "k", "from the producer")); a.BaseOffset != 3 {
		t.Errorf("the last batch again: offset %d, want that of the original, 3", a.BaseOffset)
	}
	if a := mustPropose(t, r, keyedBatch(t, p, "k", "next")); a.BaseOffset != 8 {
		t.Errorf("the next batch: offset %d, want 8", a.BaseOffset)
	}
	_, b := readAll(t, r.Partition, 0)
	records := 0
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		records += int(h.RecordCount)
		b = b[h.SizeBytes():]
	}
	if records > 3 {
		t.Errorf("%d records of one key are left", records)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Compact(context.Background(), time.Now(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("compaction of a closed partition: %v", err)
	}
}

// TestCompactWaitsForACheckpoint: a start from a checkpoint in which a transaction is open finds its marker in the log,
// or a later checkpoint.
func TestCompactWaitsForACheckpoint(t *testing.T) {
	inj, mem := vfs.NewInjector(), vfs.NewMem()
	set := testSettings()
	set.Log.SegmentBytes, set.Compact = 200, true
	r := open(t, vfs.Inject(mem, inj), log.RecoverClean, set)
	mustPropose(t, r, transactional(t, rand.New(rand.NewPCG(1, 1)), identity{id: 7}, 1))
	r.saveCheckpoint()
	inj.Add(vfs.Rule{Kinds: vfs.OpCreate, Path: "*.checkpoint.tmp", Times: -1, Err: syscall.ENOSPC})
	if _, err := r.EndTransaction(context.Background(), Marker{ProducerID: 7}); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		mustPropose(t, r, keyedBatch(t, identity{id: 7, sequence: int32(1 + i)}, "k", fmt.Sprint(i)))
	}
	for range 3 {
		if done, err := r.Compact(context.Background(), time.Now(), nil); err != nil || done.Records != 0 {
			t.Fatalf("without a checkpoint: %+v, %v", done, err)
		}
	}
	r = crashed(t, r, mem, set)
	if stable, high := r.LastStableOffset(), r.HighWatermark(); stable != high || high != 10 {
		t.Fatalf("last stable offset %d below %d", stable, high)
	}
	removed := int64(0)
	for i := range 3 { // the marker's horizon, which is over at once
		done, err := r.Compact(context.Background(), time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		removed += done.Records
		mustPropose(t, r, keyedBatch(t, identity{id: 7, sequence: int32(9 + i)}, "k", fmt.Sprint(i)))
	}
	if removed < 8 {
		t.Errorf("%d records are removed, want the aborted one, its marker and those before", removed)
	}
	r = crashed(t, r, r.cfg.FS.(*vfs.Mem), set)
	if stable, high := r.LastStableOffset(), r.HighWatermark(); stable != high || high != 13 {
		t.Errorf("last stable offset %d below %d", stable, high)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// crashed is what a process leaves that dies.
func crashed(t *testing.T, r *rig, mem *vfs.Mem, set Settings) *rig {
	t.Helper()
	left := mem.ProcessCrashClone()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return open(t, left, log.RecoverProcessCrash, set)
}

// TestKeptHeaderTravels: a follower that was away while a producer's last batch became a header only learns
// of the producer by that, and so does who learns from it, and either's next start.
func TestKeptHeaderTravels(t *testing.T) {
	set := testSettings()
	set.Log.SegmentBytes, set.Compact = 200, true
	g := newGroup(t, 4, 3, set)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := identity{id: 7, epoch: 1}
	send := func(n int) {
		for range n {
			g.put(keyedBatch(t, p, "k", "from the producer"))
			p.sequence++
		}
	}
	send(2)
	g.settle()
	f := g.follower()
	g.stop(f)
	send(4)
	last := int64(p.sequence - 1)
	for i := range 4 {
		g.put(keyedBatch(t, nobody, "k", fmt.Sprint(i)))
	}
	for _, m := range g.nodes {
		if m.rig != nil {
			g.compacted(m)
		}
	}
	stands := func(m *member) footing {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.state.producers.footing(p.id)
	}
	want := stands(g.leader())
	g.start(f, log.RecoverClean)
	g.settle()
	g.handTo(f)
	added := g.nodes[3]
	g.start(added, log.RecoverClean)
	g.do(func(l *member) error { return l.AddLearner(ctx, added.id) })
	g.settle()
	for _, m := range []*member{f, added} {
		g.stop(m)
		g.withoutCheckpoints(m)
		g.start(m, log.RecoverClean)
		g.settle()
		if got := stands(m); got != want {
			t.Errorf("node %d, started again, knows %+v, want %+v", m.node, got, want)
		}
	}
	g.handTo(f)
	fenced := new(ProducerEpochError)
	old := p
	old.epoch--
	if err := await(t, f.Propose(keyedBatch(t, old, "k", "late"), AcksAll)); !errors.As(err, &fenced) {
		t.Errorf("an older instance: %v", err)
	}
	retry := p
	retry.sequence--
	if a := mustPropose(t, f.rig, keyedBatch(t, retry, "k", "from the producer")); a.BaseOffset != last {
		t.Errorf("the last batch again: offset %d, want %d", a.BaseOffset, last)
	}
	retry.sequence--
	gap := new(SequenceError)
	if err := await(t, f.Propose(keyedBatch(t, retry, "k", "from the producer"), AcksAll)); !errors.As(err, &gap) {
		t.Errorf("the last batch but one again, of which nothing is left (DESIGN.md): %v", err)
	}
	if a := mustPropose(t, f.rig, keyedBatch(t, p, "k", "next")); a.BaseOffset != last+5 {
		t.Errorf("the next batch: offset %d, want %d", a.BaseOffset, last+5)
	}
}

// handTo has a member lead.
func (g *group) handTo(m *member) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for l := g.leader(); l != m; l = g.leader() {
		if err := l.Transfer(ctx, m.id); ctx.Err() != nil {
			g.t.Fatalf("node %d does not lead: %v", m.node, err)
		}
	}
}

// compacted has a member compact, which has something to do.
func (g *group) compacted(m *member) {
	g.t.Helper()
	if done, err := m.Compact(context.Background(), time.Now(), nil); err != nil || done.Records == 0 {
		g.t.Fatalf("node %d: %+v, %v", m.node, done, err)
	}
}

// withoutCheckpoints has a member that is down learn all from its log.
func (g *group) withoutCheckpoints(m *member) {
	g.t.Helper()
	have, err := checkpoints(m.fs, "/p")
	if err != nil {
		g.t.Fatal(err)
	}
	for _, raftIndex := range have {
		if err := m.fs.Remove(checkpointName("/p", raftIndex)); err != nil {
			g.t.Fatal(err)
		}
	}
}
