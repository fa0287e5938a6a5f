package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/protocol/recordbatch"
	"weir/segment"
	"weir/segment/vfs"
)

// patience bounds waits that end at once unless something is broken.
const patience = 30 * time.Second

// testSettings make segments of a few batches.
func testSettings() Settings {
	return Settings{
		Log:            log.Settings{SegmentBytes: 4 << 10, IndexIntervalBytes: 256},
		MaxProducers:   1000,
		ProducerExpiry: time.Hour,
	}
}

// testTiming keeps the times short in which a replica that has lost its leadership
// stands again.
var testTiming = Timing{Heartbeat: 20 * time.Millisecond, Lease: 20 * time.Millisecond, Commit: 10 * time.Millisecond}

// rig is one incarnation of a partition with one replica, with the syncer under it.
type rig struct {
	*Partition
	syncer *log.Syncer
	fatal  chan error // holds the first error handed to the node
}

func tryOpen(fsys vfs.FS, mode log.RecoveryMode, s Settings) (*rig, error) {
	return tryOpenWith(fsys, mode, s, func(*Config) {})
}

func tryOpenWith(fsys vfs.FS, mode log.RecoveryMode, s Settings, change func(*Config)) (*rig, error) {
	r := &rig{fatal: make(chan error, 1)}
	r.syncer = log.NewSyncer(2, func(err error) {
		select {
		case r.fatal <- err:
		default:
		}
	})
	cfg := Config{
		Dir: "/p", FS: fsys, Topic: "t", Recovery: mode, Syncer: r.syncer,
		Replication: Replication{Local: "1", Voters: []raft.ServerID{"1"}, Stable: raft.NewInmemStore(), Timing: testTiming},
		Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now, Settings: s,
		Fatal: func(err error) {
			select {
			case r.fatal <- err:
			default:
			}
		},
	}
	change(&cfg)
	p, err := Open(cfg)
	if err != nil {
		r.syncer.Close()
		return nil, err
	}
	r.Partition = p
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.AwaitLeader(ctx); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

// lead waits until the replica leads, which it does not for a while after a write
// that failed.
func (r *rig) lead(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.AwaitLeader(ctx); err != nil {
		t.Fatalf("no leader: %v", err)
	}
}

// put proposes a batch and waits until it is in the log, or refused.
func (r *rig) put(b Batch, acks Acks) *Append { return r.inLog(r.Propose(b, acks)) }

// inLog waits until an append is in the log, or refused.
func (r *rig) inLog(a *Append) *Append {
	x := a.proposal
	if x == nil {
		return a
	}
	r.mu.Lock()
	for x.is == queued || x.is == writing {
		r.room.Wait()
	}
	refused := x.is == ended
	r.mu.Unlock()
	if refused {
		<-a.done // which is closed without the lock
	}
	return a
}

// refused is the error of an append that is settled, nil when it is not.
func (a *Append) refused() error {
	if a.Settled() {
		return a.err
	}
	return nil
}

// next is one past the last offset of an append that was stored.
func (a *Append) next() int64 { return a.proposal.nextOffset }

func open(t testing.TB, fsys vfs.FS, mode log.RecoveryMode, s Settings) *rig {
	t.Helper()
	r, err := tryOpen(fsys, mode, s)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return r
}

// stop closes the partition and the syncer. Its error matters only to those
// who expect a clean end: a test that breaks the disk breaks this too.
func (r *rig) stop() error {
	err := r.Close()
	r.syncer.Close()
	return err
}

// identity is the part of a header that idempotence looks at; the zero epoch
// and sequence of no producer are -1.
type identity struct {
	id       int64
	epoch    int16
	sequence int32
}

var nobody = identity{id: -1, epoch: -1, sequence: -1}

// makeBatch returns n records whose values are drawn from rng.
func makeBatch(t testing.TB, rng *rand.Rand, who identity, n int) Batch {
	t.Helper()
	return makeBatchOf(t, rng, recordbatch.Header{ProducerID: who.id, ProducerEpoch: who.epoch, BaseSequence: who.sequence}, n)
}

// transactionalBit is that of a batch's attributes (KIP-98).
const transactionalBit = 1 << 4

// transactional is makeBatch within a transaction.
func transactional(t testing.TB, rng *rand.Rand, who identity, n int) Batch {
	t.Helper()
	h := recordbatch.Header{ProducerID: who.id, ProducerEpoch: who.epoch, BaseSequence: who.sequence, Attributes: transactionalBit}
	return makeBatchOf(t, rng, h, n)
}

func makeBatchOf(t testing.TB, rng *rand.Rand, h recordbatch.Header, n int) Batch {
	t.Helper()
	records := make([]recordbatch.Record, n)
	for i := range records {
		value := make([]byte, 1+rng.IntN(200))
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		records[i] = recordbatch.Record{Timestamp: 1_700_000_000_000 + rng.Int64N(1000), Key: fmt.Appendf(nil, "k%d", i), Value: value}
	}
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, records)
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, b)
}

// largeBatch is one record of n bytes.
func largeBatch(t testing.TB, rng *rand.Rand, n int) Batch {
	t.Helper()
	value := make([]byte, n)
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	h := recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Value: value}})
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, b)
}

func parsed(t testing.TB, b []byte) Batch {
	t.Helper()
	h, err := recordbatch.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	return Batch{Header: h, Data: b}
}

// await waits for an append; a wait that runs out fails the test.
func await(t testing.TB, a *Append) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := a.Wait(ctx)
	if ctx.Err() != nil {
		t.Fatal("an append was never settled")
	}
	return err
}

// readAll returns the bytes of all committed batches from the one that holds
// from on, and the offset of the first.
func readAll(t testing.TB, p *Partition, from int64) (first int64, all []byte) {
	t.Helper()
	first = from
	for next := from; next < p.HighWatermark(); {
		r, err := p.Read(next, 3000, true)
		if err != nil {
			t.Fatalf("read at %d: %v", next, err)
		}
		if r.Bytes == 0 || r.NextOffset <= next {
			t.Fatalf("read at %d below the high watermark %d gives %d bytes up to %d", next, p.HighWatermark(), r.Bytes, r.NextOffset)
		}
		if next == from {
			first = r.FirstOffset
		}
		if all, err = r.AppendTo(all); err != nil {
			t.Fatal(err)
		}
		next = r.NextOffset
		if err := r.Release(); err != nil {
			t.Fatal(err)
		}
	}
	return first, all
}

// verify checks the whole log, once the segments are gone that are being deleted.
func verify(p *Partition) error {
	for {
		if err := p.log.Verify(); !errors.Is(err, segment.ErrDropped) {
			return err
		}
		runtime.Gosched()
	}
}
