package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

// world drives a partition through random work and crashes beside its model.
type world struct {
	t      testing.TB
	rng    *rand.Rand
	fs     *vfs.Mem
	r      *rig
	m      *model
	set    Settings
	seenHW int64 // the largest that a reader saw
}

const producerCount = 4

func (w *world) open(mode log.RecoveryMode) {
	w.t.Helper()
	w.set = testSettings()
	w.set.Log.SegmentBytes = int64(1+w.rng.IntN(8)) << 10
	w.set.WriteCaching = w.rng.IntN(4) == 0
	if w.set.WriteCaching && w.rng.IntN(2) == 0 {
		w.set.FlushRecords = 10
	}
	var fsys vfs.FS = w.fs
	if w.rng.IntN(2) == 0 {
		// A disk that takes its time: much is stored and not yet safe.
		fsys = vfs.Inject(fsys, vfs.NewInjector(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Times: -1, Delay: 300 * time.Microsecond}))
	}
	w.r = open(w.t, fsys, mode, w.set)
}

// work does n random things.
func (w *world) work(n int) {
	w.t.Helper()
	for range n {
		switch k := w.rng.IntN(100); {
		case k < 40:
			w.propose(nobody)
		case k < 65:
			w.propose(w.m.next(w.rng.Int64N(producerCount)))
		case k < 70:
			w.newEpoch()
		case k < 80:
			w.retry()
		case k < 86:
			w.gap()
		case k < 90:
			w.old()
		case k < 94:
			w.deleteRecords()
		case k < 96:
			w.maintain()
		default:
			w.drain()
		}
		w.look()
	}
}

func (w *world) acks() Acks { return Acks(w.rng.IntN(3) - 1) }

// propose sends a batch that has to be accepted.
func (w *world) propose(who identity) {
	w.t.Helper()
	b := makeBatch(w.t, w.rng, who, 1+w.rng.IntN(5))
	end := w.m.end()
	a := w.r.put(b, w.acks())
	if a.refused() != nil || a.BaseOffset != end {
		w.t.Fatalf("batch of %+v: offset %d, %v; want %d", who, a.BaseOffset, a.err, end)
	}
	w.m.add(b, a)
}

func (w *world) newEpoch() {
	w.t.Helper()
	who := w.m.next(w.rng.Int64N(producerCount))
	w.propose(identity{id: who.id, epoch: who.epoch + 1})
}

// pick draws a producer that has sent, nil when none has.
func (w *world) pick() *modelProducer {
	p := w.m.producers[w.rng.Int64N(producerCount)]
	if p == nil || len(p.refs) == 0 {
		return nil
	}
	return p
}

// send proposes a batch that is not to be taken, and wants its answer.
func (w *world) send(b Batch, original int64, want answer) {
	w.t.Helper()
	a := w.r.put(b, w.acks())
	err := a.refused()
	if got := answerOf(err, a.BaseOffset, w.m.end()); got != want || got == duplicate && a.BaseOffset != original {
		w.t.Fatalf("producer %d epoch %d sequence %d: answer %d at %d (%v), want %d at %d",
			b.Header.ProducerID, b.Header.ProducerEpoch, b.Header.BaseSequence, got, a.BaseOffset, err, want, original)
	}
}

// retry sends a batch again, of those that are remembered or of older ones.
func (w *world) retry() {
	w.t.Helper()
	p := w.pick()
	if p == nil {
		return
	}
	i := w.rng.IntN(len(p.refs))
	ref := p.refs[i]
	b := makeBatch(w.t, w.rng, ref.who, int(ref.next-ref.base))
	if i < len(p.refs)-cachedBatches {
		w.send(b, 0, outOfOrder)
	} else {
		w.send(b, ref.base, duplicate)
	}
}

// gap sends what does not follow.
func (w *world) gap() {
	w.t.Helper()
	p := w.pick()
	if p == nil {
		return
	}
	who := w.m.next(p.refs[0].who.id)
	who.sequence += 1 + w.rng.Int32N(3)
	w.send(makeBatch(w.t, w.rng, who, 1), 0, outOfOrder)
	who.epoch++
	w.send(makeBatch(w.t, w.rng, who, 1), 0, outOfOrder)
}

// old sends as an instance that has been fenced.
func (w *world) old() {
	w.t.Helper()
	p := w.pick()
	if p == nil || p.epoch == 0 {
		return
	}
	who := w.m.next(p.refs[0].who.id)
	who.epoch--
	w.send(makeBatch(w.t, w.rng, who, 1), 0, fenced)
}

func (w *world) deleteRecords() {
	w.t.Helper()
	to := w.m.start + w.rng.Int64N(max(1, w.r.HighWatermark()-w.m.start)+1)
	start, err := w.r.DeleteRecords(context.Background(), to)
	var outOfRange *log.OffsetOutOfRangeError
	if err != nil && !(errors.As(err, &outOfRange) && to > w.m.start) {
		w.t.Fatal(err)
	}
	w.m.start = start
}

func (w *world) maintain() {
	w.t.Helper()
	if err := w.r.Maintain(time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// drain waits for everything.
func (w *world) drain() {
	w.t.Helper()
	for i := range w.m.batches {
		if a := w.m.batches[i].a; a != nil {
			if err := await(w.t, a); err != nil {
				w.t.Fatalf("batch at %d: %v", a.BaseOffset, err)
			}
		}
	}
}

// look is what a reader does; what it sees must never be lost later.
func (w *world) look() {
	w.t.Helper()
	start, lso, hw, end := w.r.LogStartOffset(), w.r.LastStableOffset(), w.r.HighWatermark(), w.r.LogEndOffset()
	if start > lso || lso > hw || hw > end || hw < w.seenHW {
		w.t.Fatalf("start %d, last stable %d, high watermark %d (seen %d), end %d are out of order", start, lso, hw, w.seenHW, end)
	}
	w.seenHW = hw
}

// crash ends the incarnation and opens what is left of it.
func (w *world) crash(power bool) {
	w.t.Helper()
	w.m.settle(w.set.WriteCaching)
	if !w.set.WriteCaching {
		w.look()
	}
	cached, old, seen := w.set.WriteCaching, w.r, w.seenHW
	mode := log.RecoverProcessCrash
	if power {
		mode = log.RecoverPowerLoss
		w.fs = w.fs.CrashClone(vfs.CrashOptions{Seed: w.rng.Uint64N(8)})
	} else {
		w.fs = w.fs.ProcessCrashClone()
	}
	if err := old.stop(); err != nil {
		w.t.Fatalf("the incarnation that goes on elsewhere: %v", err)
	}
	w.open(mode)
	w.after(power, cached, seen)
}

// after compares what was found with what was promised.
func (w *world) after(power, cached bool, seen int64) {
	w.t.Helper()
	end, start := w.r.LogEndOffset(), w.r.LogStartOffset()
	if err := w.m.crashed(end, start, power); err != nil {
		w.t.Fatal(err)
	}
	if end < seen && !(power && cached) {
		w.t.Fatalf("the log ends at %d, readers saw up to %d", end, seen)
	}
	w.seenHW = end
	w.m.compare(w.t, w.r.Partition)
}

// reopen ends the incarnation in order.
func (w *world) reopen() {
	w.t.Helper()
	if err := w.r.stop(); err != nil {
		w.t.Fatal(err)
	}
	w.open(log.RecoverClean)
	w.after(false, false, w.seenHW)
}

// TestCrashes goes through random lives of a partition: work, then the death
// of the process, of the machine, or an orderly stop, and again on what is
// left. Each seed is a life.
func TestCrashes(t *testing.T) {
	lives := 150
	if testing.Short() {
		lives = 30
	}
	for seed := range uint64(lives) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 0x7061)), fs: vfs.NewMem(), m: newModel()}
			w.open(log.RecoverClean)
			defer func() {
				if err := w.r.stop(); err != nil {
					t.Error(err)
				}
			}()
			for range 6 {
				w.work(w.rng.IntN(60))
				switch w.rng.IntN(5) {
				case 0:
					w.reopen()
				case 1, 2:
					w.crash(false)
				default:
					w.crash(true)
				}
			}
		})
	}
}
