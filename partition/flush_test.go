package partition

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"weir/log"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// TestFlushDueDuringASync: a flush that comes due while a sync is under way is
// for records that this sync does not cover, so another one follows it.
func TestFlushDueDuringASync(t *testing.T) {
	for name, flush := range map[string]func(*Settings){
		"by count": func(s *Settings) { s.FlushRecords = 1 },
		"by time":  func(s *Settings) { s.FlushInterval = time.Hour }, // the test fires it
	} {
		t.Run(name, func(t *testing.T) {
			settings := testSettings()
			settings.WriteCaching = true
			flush(&settings)
			inj := vfs.NewInjector()
			p := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, settings)
			rng := rand.New(rand.NewPCG(1, 1))
			first, second := vfs.NewGate(), vfs.NewGate()
			inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: first},
				vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Nth: 2, Gate: second})
			for range 2 {
				if err := await(t, p.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); err != nil {
					t.Fatal(err)
				}
				if settings.FlushInterval > 0 {
					p.flushDue()
				}
				<-first.Entered() // the second flush comes due behind it
			}
			first.Open()
			select {
			case <-second.Entered():
			case <-time.After(patience):
				t.Fatal("the records of the second flush are never synced")
			}
			second.Open()
			if err := p.stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestFlushByBytes: long before the time or the count of a flush has come, what
// a roll would have to sync while producers wait stays bounded.
func TestFlushByBytes(t *testing.T) {
	settings := testSettings()
	settings.WriteCaching, settings.Log.SegmentBytes, settings.FlushRecords = true, 1<<30, 1<<40
	inj := vfs.NewInjector()
	p := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, settings)
	gate := vfs.NewGate()
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: gate})
	record := recordbatch.Record{Value: make([]byte, flushBytes/4)}
	for i := range 4 {
		select {
		case <-gate.Entered():
			t.Fatalf("synced after %d batches", i)
		default:
		}
		b, err := recordbatch.AppendBatch(nil, recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1},
			recordbatch.CodecNone, []recordbatch.Record{record})
		if err != nil {
			t.Fatal(err)
		}
		if err := await(t, p.Propose(parsed(t, b), AcksAll)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-gate.Entered():
	case <-time.After(patience):
		t.Fatal("nothing is synced")
	}
	gate.Open()
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestProposeAfterTheSyncer: what comes after the node's syncer has gone hears
// that it is not safe, and nobody waits for ever.
func TestProposeAfterTheSyncer(t *testing.T) {
	p := open(t, vfs.NewMem(), log.RecoverClean, testSettings())
	p.syncer.Close()
	settled := make(chan error, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	batch := makeBatch(t, rng, nobody, 1)
	go func() { settled <- p.Propose(batch, AcksAll).Wait(context.Background()) }()
	select {
	case err := <-settled:
		if !errors.Is(err, log.ErrSyncerClosed) {
			t.Fatalf("settled with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the append is never settled")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCachingSwitchedOn: what waited for a sync when write.caching was switched
// on waits for it still, whatever is written meanwhile.
func TestCachingSwitchedOn(t *testing.T) {
	inj, gate := vfs.NewInjector(), vfs.NewGate()
	p := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, testSettings())
	rng := rand.New(rand.NewPCG(1, 1))
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: gate})
	promised := p.Propose(makeBatch(t, rng, nobody, 1), AcksAll)
	<-gate.Entered()
	cached := testSettings()
	cached.WriteCaching = true
	p.SetSettings(cached)
	behind := make(chan error, 1)
	batch := makeBatch(t, rng, nobody, 1)
	go func() { behind <- p.Propose(batch, AcksAll).Wait(context.Background()) }()
	if promised.Settled() || p.HighWatermark() != 0 {
		t.Errorf("acknowledged without its sync: settled %v, high watermark %d", promised.Settled(), p.HighWatermark())
	}
	gate.Open()
	if err := errors.Join(await(t, promised), <-behind); err != nil {
		t.Error(err)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
}
