package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"weir/log"
	"weir/segment/vfs"
)

// life is a fixed run of batches with rolls and deletions over a disk that
// may fail. Refused batches are sent again until they are taken.
type life struct {
	t     *testing.T
	rng   *rand.Rand
	r     *rig
	m     *model
	acked int64 // everything below has been acknowledged with acks=all
}

const lifeBatches = 40

// step sends one batch, with an idempotent producer every other time.
func (l *life) step(i int) error {
	l.t.Helper()
	who := nobody
	if i%2 == 0 {
		who = l.m.next(int64(i % 3))
	}
	b := makeBatch(l.t, l.rng, who, 3)
	a := l.r.put(b, AcksAll)
	if err := a.refused(); err != nil {
		return err
	}
	l.m.add(b, a)
	if err := await(l.t, a); err != nil {
		return err
	}
	l.acked = a.next()
	if i%15 == 14 {
		_, err := l.r.DeleteRecords(context.Background(), a.next()-5)
		l.m.start = l.r.LogStartOffset()
		return err
	}
	return nil
}

// TestFullDiskAnywhere (TR-3) has each single write, reservation, creation and
// truncation meet a full disk: the batch is refused whole, what was there is
// served, and the same batch is taken when there is room again.
func TestFullDiskAnywhere(t *testing.T) {
	const kinds = vfs.OpWrite | vfs.OpPreallocate | vfs.OpCreate | vfs.OpTruncate | vfs.OpRename
	for n := 1; ; n++ {
		if !fullDiskAt(t, vfs.Rule{Kinds: kinds, Nth: n, Times: 3, Err: syscall.ENOSPC}) {
			if n < 50 {
				t.Errorf("only %d operations could fail", n-1)
			}
			return
		}
	}
}

func fullDiskAt(t *testing.T, rule vfs.Rule) (hit bool) {
	t.Helper()
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	fsys := vfs.Inject(mem, inj)
	l := &life{t: t, rng: rand.New(rand.NewPCG(5, 6)), m: newModel(), r: open(t, fsys, log.RecoverClean, testSettings())}
	inj.Add(rule)
	for i := range lifeBatches {
		for try := 0; ; try++ {
			err := l.step(i)
			if err == nil {
				break
			}
			var storage *StorageError
			var deposed *NotLeaderError
			if errors.As(err, &deposed) { // not even a no-op found room
				l.r.lead(t)
				if l.m.end() == l.acked {
					continue
				}
				// Stored, and by now committed under the next leadership.
				if l.r.HighWatermark() != l.m.end() {
					t.Fatalf("operation %d fails: batch %d is neither committed nor refused", rule.Nth, i)
				}
				l.acked = l.m.end()
				break
			}
			if !errors.As(err, &storage) || !vfs.IsNoSpace(err) {
				t.Fatalf("operation %d fails: batch %d: got %v, want a *StorageError of a full disk", rule.Nth, i, err)
			}
			if try > 5 {
				t.Fatalf("operation %d failed, and batch %d is still refused: %v", rule.Nth, i, err)
			}
			if first, b := readAll(t, l.r.Partition, l.m.start); first > l.m.start || len(b) == 0 && l.m.start < l.acked {
				t.Fatalf("operation %d fails: reads stop", rule.Nth)
			}
			if l.m.end() > l.acked {
				break // taken, and only the deletion after it failed
			}
		}
	}
	for _, op := range inj.Trace() {
		hit = hit || op.Err != nil
	}
	if err := l.r.stop(); err != nil && !vfs.IsNoSpace(err) {
		t.Fatalf("operation %d fails: close: %v", rule.Nth, err)
	}
	l.r = open(t, mem.CrashClone(vfs.CrashOptions{}), log.RecoverPowerLoss, testSettings())
	defer func() {
		if err := l.r.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.m.crashed(l.r.LogEndOffset(), l.r.LogStartOffset(), true); err != nil {
		t.Fatalf("operation %d failed: %v", rule.Nth, err)
	}
	l.m.compare(t, l.r.Partition)
	return hit
}

// TestFailedSyncAnywhere has each single sync fail, of a file or of the
// folder: from then on nothing is acknowledged, nothing more becomes visible,
// the node hears of it, and what was acknowledged before is on the disk.
func TestFailedSyncAnywhere(t *testing.T) {
	for _, caching := range []bool{false, true} {
		for n := 1; ; n++ {
			if !failedSyncAt(t, n, caching) {
				if n < 10 {
					t.Errorf("only %d syncs could fail", n-1)
				}
				break
			}
		}
	}
}

func failedSyncAt(t *testing.T, n int, caching bool) (hit bool) {
	t.Helper()
	name := fmt.Sprintf("sync %d fails, write.caching %v", n, caching)
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	set := testSettings()
	set.WriteCaching, set.FlushRecords = caching, 5
	l := &life{t: t, rng: rand.New(rand.NewPCG(5, 6)), m: newModel(), r: open(t, vfs.Inject(mem, inj), log.RecoverClean, set)}
	// Producer snapshots have a sync of their own, whose failure they survive.
	for _, pattern := range []string{"*.log", "*.index", "*.timeindex", "checkpoint*"} {
		inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: pattern, Nth: n, Err: syscall.EIO})
	}
	var failed error
	for i := 0; i < lifeBatches && failed == nil; i++ {
		failed = l.step(i)
		select {
		case failed = <-l.r.fatal:
			select {
			case l.r.fatal <- failed:
			default: // another one has come meanwhile
			}
		default:
		}
	}
	if failed == nil {
		if err := l.r.stop(); err == nil {
			return false
		}
		return true // the sync of the close
	}
	select {
	case err := <-l.r.fatal:
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: the node hears %v", name, err)
		}
	default:
		t.Errorf("%s: batch refused with %v, and the node has not heard of it", name, failed)
	}
	l.silent(name)
	if err := l.r.stop(); err == nil {
		t.Errorf("%s: the partition closed cleanly", name)
	}
	if !caching {
		l.onDisk(name, mem, set)
	}
	return true
}

// silent tries every way to get an acknowledgement after a failed sync.
func (l *life) silent(name string) {
	l.t.Helper()
	before := l.r.HighWatermark()
	tries := []identity{nobody, l.m.next(1), {id: 9}}
	for _, p := range l.m.producers {
		tries = append(tries, p.refs[len(p.refs)-1].who) // the retry of one that was stored
	}
	for _, who := range tries {
		for _, acks := range []Acks{AcksLeader, AcksAll} {
			var storage *StorageError
			if err := await(l.t, l.r.Propose(makeBatch(l.t, l.rng, who, 3), acks)); !errors.As(err, &storage) {
				l.t.Errorf("%s: batch of %+v with acks %d after it: got %v, want a *StorageError", name, who, acks, err)
			}
		}
	}
	if hw := l.r.HighWatermark(); hw != before {
		l.t.Errorf("%s: the high watermark went on from %d to %d", name, before, hw)
	}
}

func (l *life) onDisk(name string, mem *vfs.Mem, set Settings) {
	l.t.Helper()
	r := open(l.t, mem.CrashClone(vfs.CrashOptions{}), log.RecoverPowerLoss, set)
	if end := r.LogEndOffset(); end < l.acked {
		l.t.Errorf("%s: the log ends at %d, [0, %d) was acknowledged", name, end, l.acked)
	}
	if err := r.stop(); err != nil {
		l.t.Errorf("%s: %v", name, err)
	}
}

// TestCachingSwitchedOff: what was acknowledged out of the page cache gets to
// the disk when the topic stops to allow that, without a further batch.
func TestCachingSwitchedOff(t *testing.T) {
	mem := vfs.NewMem()
	set := testSettings()
	set.WriteCaching = true
	r := open(t, mem, log.RecoverClean, set)
	a := r.Propose(makeBatch(t, rand.New(rand.NewPCG(1, 1)), nobody, 3), AcksAll)
	if err := await(t, a); err != nil {
		t.Fatal(err)
	}
	if r.log.DurableOffset() != 0 {
		t.Fatal("cached batches are on disk at once: the test shows nothing")
	}
	set.WriteCaching = false
	r.SetSettings(set)
	r.syncer.Close() // ends when all that was asked for is done
	after := open(t, mem.CrashClone(vfs.CrashOptions{}), log.RecoverPowerLoss, set)
	if end := after.LogEndOffset(); end != 3 {
		t.Errorf("after a power loss the log ends at %d, want 3", end)
	}
	if err := errors.Join(after.stop(), r.Close()); err != nil {
		t.Error(err)
	}
}

// TestStaleSnapshotIsNotBelieved: where the disk had no room to note what is
// known of a producer before its batches went, a restart must not take an
// older note for the truth, which would call the producer's next batch a gap.
func TestStaleSnapshotIsNotBelieved(t *testing.T) {
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	rng := rand.New(rand.NewPCG(1, 1))
	r := open(t, mem, log.RecoverClean, testSettings())
	put := func(sequence int32) {
		t.Helper()
		if err := await(t, r.Propose(makeBatch(t, rng, identity{id: 1, sequence: sequence}, 1), AcksAll)); err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	if err := r.stop(); err != nil { // leaves a snapshot
		t.Fatal(err)
	}
	r = open(t, vfs.Inject(mem, inj), log.RecoverClean, testSettings())
	inj.Add(vfs.Rule{Kinds: vfs.OpCreate, Path: "*.checkpoint.tmp", Times: -1, Err: syscall.ENOSPC})
	put(1)
	if _, err := r.DeleteRecords(context.Background(), -1); err != nil {
		t.Fatalf("a full disk has to let go of records: %v", err)
	}
	crashed := mem.ProcessCrashClone()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = open(t, crashed, log.RecoverProcessCrash, testSettings())
	put(2)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// checkpointAhead writes a checkpoint of entries that are not on disk, as earlier versions did and as a disk leaves it
// that says what is not so.
func checkpointAhead(t *testing.T, r *rig) {
	t.Helper()
	r.mu.Lock()
	at, encoded := r.state.at, r.state.encode()
	r.mu.Unlock()
	if err := writeCheckpoint(r.cfg.FS, r.cfg.Dir, at.raftIndex, encoded); err != nil {
		t.Fatal(err)
	}
}

// cachedBatch opens a replica and puts a batch of three records into it, which counts though it is in the page cache only.
func cachedBatch(t *testing.T) (*rig, *vfs.Mem, Settings) {
	t.Helper()
	set := testSettings()
	set.WriteCaching = true
	mem := vfs.NewMem()
	r := open(t, mem, log.RecoverClean, set)
	if err := await(t, r.Propose(makeBatch(t, rand.New(rand.NewPCG(1, 1)), nobody, 3), AcksAll)); err != nil {
		t.Fatal(err)
	}
	return r, mem, set
}

// TestCheckpointIsBorneOut: what a checkpoint tells of is on disk before it is, also when records count in the page cache.
func TestCheckpointIsBorneOut(t *testing.T) {
	r, mem, set := cachedBatch(t)
	r.saveCheckpoint()
	lost := mem.CrashClone(vfs.CrashOptions{})
	stopped(t, r)
	again := open(t, lost, log.RecoverPowerLoss, set)
	if end := again.LogEndOffset(); end != 3 {
		t.Errorf("the log ends at %d, a checkpoint tells of 3", end)
	}
	stopped(t, again)
}

// TestSnapshotOfLostBatchesStaysGone: a snapshot that a power loss left
// without its batches is removed for good before the log grows past it again.
func TestSnapshotOfLostBatchesStaysGone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	set := testSettings()
	set.Log.SegmentBytes = 1 << 20 // no roll, which would sync the folder
	set.WriteCaching = true
	mem := vfs.NewMem()
	before := open(t, mem, log.RecoverClean, set)
	if err := await(t, before.Propose(makeBatch(t, rng, identity{id: 1}, 3), AcksAll)); err != nil {
		t.Fatal(err)
	}
	checkpointAhead(t, before)
	lost := mem.CrashClone(vfs.CrashOptions{})
	if err := before.stop(); err != nil {
		t.Fatal(err)
	}
	set.WriteCaching = false
	r := open(t, lost, log.RecoverPowerLoss, set)
	if r.LogEndOffset() != 0 {
		t.Fatal("nothing was lost: the test shows nothing")
	}
	for range 5 {
		if err := await(t, r.Propose(makeBatch(t, rng, nobody, 3), AcksAll)); err != nil {
			t.Fatal(err)
		}
	}
	again := lost.CrashClone(vfs.CrashOptions{})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = open(t, again, log.RecoverPowerLoss, set)
	if known := r.Producers(); len(known) != 0 {
		t.Errorf("the log never held a batch of a producer, and yet %+v are known", known)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointAboveTheEnd (TR-19): a checkpoint of entries that a power loss took is not where a start goes
// on from: the library would take what comes in their place for applied.
func TestCheckpointAboveTheEnd(t *testing.T) {
	r, mem, set := cachedBatch(t)
	checkpointAhead(t, r)
	lost := mem.CrashClone(vfs.CrashOptions{})
	stopped(t, r)
	l, err := log.Open(log.Config{Dir: "/p", FS: lost, Recovery: log.RecoverPowerLoss})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	last := l.LastRaftIndex()
	if have, err := checkpoints(lost, "/p"); err != nil || len(have) == 0 || have[len(have)-1] <= last {
		t.Fatalf("checkpoints at %d (%v), the log ends with entry %d: the test shows nothing", have, err, last)
	}
	p := &Partition{cfg: r.cfg, settings: set, log: l}
	p.cfg.FS = lost
	s, err := p.loadState()
	if err != nil {
		t.Fatal(err)
	}
	if s.at.raftIndex > last {
		t.Errorf("the start goes on from entry %d, the log ends with %d", s.at.raftIndex, last)
	}
}

// TestNamesOfADeadProcess: a process dies between the file of a new segment
// and its durable name. What the next one acknowledges in that file has to
// outlive a power loss.
func TestNamesOfADeadProcess(t *testing.T) {
	mem := vfs.NewMem()
	gate, inj := vfs.NewGate(), vfs.NewInjector()
	rng := rand.New(rand.NewPCG(1, 1))
	r := open(t, vfs.Inject(mem, inj), log.RecoverClean, testSettings())
	inj.Add(vfs.Rule{Kinds: vfs.OpSyncDir, Gate: gate})
	rolled := make(chan *rig)
	go func() {
		for r.log.Segments() == 1 {
			r.put(makeBatch(t, rng, nobody, 3), AcksLeader)
		}
		rolled <- r
	}()
	<-gate.Entered()
	crashed := mem.ProcessCrashClone()
	gate.Open()
	if err := (<-rolled).stop(); err != nil {
		t.Fatal(err)
	}
	r = open(t, crashed, log.RecoverProcessCrash, testSettings())
	if r.log.Segments() != 2 {
		t.Fatalf("%d segments, want the new one too: the test shows nothing", r.log.Segments())
	}
	a := r.Propose(makeBatch(t, rng, nobody, 3), AcksAll)
	if err := await(t, a); err != nil {
		t.Fatal(err)
	}
	lost := crashed.CrashClone(vfs.CrashOptions{})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = open(t, lost, log.RecoverPowerLoss, testSettings())
	if end := r.LogEndOffset(); end < a.next() {
		t.Errorf("the log ends at %d, [%d, %d) was acknowledged", end, a.BaseOffset, a.next())
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}
