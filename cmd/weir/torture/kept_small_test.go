//go:build torture

package torture

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	keptTopic        = "kept"
	keptPartitions   = 4
	keptSegmentBytes = 16 << 20
	keptRecordBytes  = 16 << 10
	keptCheck        = 200 * time.Millisecond // between two looks of the broker for segments to delete
	keptWait         = 5 * time.Second        // until what is due is gone, at most
)

// kept is a load through a topic of which little is kept.
type kept struct {
	t           *testing.T
	b           *broker
	bytes       int64 // to write
	retention   int64 // bytes of all partitions
	rate        int64 // bytes a second
	cleaning    atomic.Int64
	disk        diskUse
	latencies   [2][]time.Duration // end to end, of each record: sent without cleaning, with it
	descriptors int                // peak
}

// diskUse is what a sampler saw, in bytes.
type diskUse struct{ last, peak, peakCleaning int64 }

// TestKeptSmall writes many times what a topic keeps, at a rate, while a consumer reads at its tail. The first
// tenth is kept whole, and then retention.bytes is set. From when the disk has come down to that it never has more than
// that and slack; the consumer gets each record, none of them late enough to be deleted; in the end
// the broker holds descriptors and maps of segments that exist only. The size is 50 GiB, kept at 1 GiB.
func TestKeptSmall(t *testing.T) {
	k := &kept{
		t: t, bytes: int64(setting(t, "WEIR_TORTURE_KEPT_WRITTEN_MIB", 1024)) << 20,
		retention: int64(setting(t, "WEIR_TORTURE_KEPT_MIB", 128)) << 20,
		rate:      int64(setting(t, "WEIR_TORTURE_KEPT_RATE_MIB", 64)) << 20,
	}
	k.b = newBroker(t, filepath.Join(t.TempDir(), "data"), fmt.Sprintf("log.retention.check.interval.ms=%d", keptCheck.Milliseconds()))
	k.b.start()
	k.b.createTopic(keptTopic, keptPartitions, "segment.bytes", fmt.Sprint(keptSegmentBytes))
	id := k.b.topicID(keptTopic)
	folder := filepath.Join(k.b.data, "topics", hex.EncodeToString(id[:]))
	before := k.b.descriptors()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sent := k.bytes / keptRecordBytes
	var consumer, sampler sync.WaitGroup
	consumer.Go(func() { k.consume(ctx, sent) })
	sampler.Go(func() { k.sample(ctx, folder) })
	began := time.Now()
	k.produce(sent)
	took := time.Since(began)
	defer time.AfterFunc(patience, cancel).Stop() // what was acknowledged has to come by then
	consumer.Wait()
	cancel()
	sampler.Wait()

	k.released(before, folder)
	t.Logf("%d MiB written in %v, at %.0f MiB/s, kept at %d MiB; on disk at most %d MiB before retention, %d MiB (slack %d) once it held, %d MiB at the end; %d descriptors at most",
		k.bytes>>20, took.Round(time.Millisecond), float64(k.bytes>>20)/took.Seconds(), k.retention>>20,
		k.disk.peak>>20, k.disk.peakCleaning>>20, k.slack()>>20, k.disk.last>>20, k.descriptors)
	for i, phase := range []string{"without cleaning", "with cleaning"} {
		slices.Sort(k.latencies[i])
		if n := len(k.latencies[i]); n > 0 {
			t.Logf("%s: %d records end to end: p50 %v, p99 %v, max %v", phase, n, k.latencies[i][n/2], k.latencies[i][n*99/100], k.latencies[i][n-1])
		}
	}
	k.b.stop()
}

// slack is what may be on disk beside retention.bytes: of each partition the segment that is written and one that
// goes only as a whole, and what comes while a segment that is due waits for the broker's next look, for the order to
// delete it and for a checkpoint. On a machine that is busy with other work that takes seconds.
func (k *kept) slack() int64 {
	return keptPartitions*2*keptSegmentBytes + k.rate*int64(keptWait/time.Second)
}

// produce sends so many records, and turns retention on after a tenth of them.
func (k *kept) produce(records int64) {
	client := k.b.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(4096))
	defer client.Close()
	filler := make([]byte, keptRecordBytes)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range filler {
		filler[i] = byte(rng.Uint32())
	}
	began := time.Now()
	for i := range records {
		if due := time.Duration(float64(i*keptRecordBytes) / float64(k.rate) * float64(time.Second)); due > time.Since(began)+time.Millisecond {
			<-time.After(due - time.Since(began))
		}
		if i == records/10 {
			k.startCleaning()
		}
		r := &kgo.Record{Topic: keptTopic, Partition: int32(i % keptPartitions), Key: binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())), Value: filler}
		client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			if err != nil {
				k.t.Errorf("partition %d: %v", r.Partition, err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		k.t.Error(err)
	}
}

// startCleaning sets retention.bytes.
func (k *kept) startCleaning() {
	client := k.b.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	value := fmt.Sprint(k.retention / keptPartitions)
	k.cleaning.Store(time.Now().UnixNano())
	r, err := kadm.NewClient(client).AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.bytes", Value: &value}}, keptTopic)
	if err == nil {
		_, err = r.On(keptTopic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		k.t.Errorf("set retention.bytes: %v", err)
	}
}

// consume reads at the tail until it has so many records, of which none may be missing.
func (k *kept) consume(ctx context.Context, records int64) {
	assigned := map[int32]kgo.Offset{}
	for p := range int32(keptPartitions) {
		assigned[p] = kgo.NewOffset().At(0)
	}
	client := k.b.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{keptTopic: assigned}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepRetryableFetchErrors())
	defer client.Close()
	var next [keptPartitions]int64
	for got := int64(0); got < records; {
		fetches := client.PollFetches(ctx)
		if err := cmp.Or(ctx.Err(), fetches.Err()); err != nil {
			k.t.Errorf("the consumer has %d records of %d: %v", got, records, err)
			return
		}
		now, cleaning := time.Now().UnixNano(), k.cleaning.Load()
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				k.t.Errorf("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
			got++
			sent, phase := int64(binary.BigEndian.Uint64(r.Key)), 0
			if cleaning != 0 && sent >= cleaning {
				phase = 1
			}
			k.latencies[phase] = append(k.latencies[phase], time.Duration(now-sent))
		})
	}
}

// sample watches the disk until ctx ends, or the test has failed.
func (k *kept) sample(ctx context.Context, folder string) {
	most := k.retention + k.slack()
	for tick := time.NewTicker(50 * time.Millisecond); !k.t.Failed(); {
		open := k.b.descriptors()
		d := &k.disk
		d.last = folderBytes(k.t, folder) + open.deletedBytes
		k.descriptors = max(k.descriptors, open.total)
		set := k.cleaning.Load()
		late := set != 0 && time.Since(time.Unix(0, set)) > patience
		if d.peakCleaning > 0 || set != 0 && d.last <= most {
			d.peakCleaning = max(d.peakCleaning, d.last)
		} else {
			d.peak = max(d.peak, d.last)
		}
		if d.last > most && (d.peakCleaning > 0 || late) {
			k.t.Errorf("%d bytes on disk, %d of them of deleted files, want at most %d and %d", d.last, open.deletedBytes, k.retention, k.slack())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// released waits until the broker holds nothing beyond the segments that exist and what it held before.
func (k *kept) released(before descriptors, folder string) {
	k.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		segments, err := filepath.Glob(filepath.Join(folder, "*", "*.log"))
		if err != nil {
			k.t.Fatal(err)
		}
		now, maps := k.b.descriptors(), k.b.maps()
		// A segment is a log and two indexes, and the indexes are mapped.
		if now.deleted == 0 && now.total <= before.total+3*len(segments) && maps.deleted == 0 && maps.total <= 2*len(segments) {
			k.t.Logf("in the end %d segments, %d descriptors (%d before the load), %d maps of files", len(segments), now.total, before.total, maps.total)
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("%d segments, but descriptors %+v (before the load %+v) and maps %+v", len(segments), now, before, maps)
		}
		<-time.After(20 * time.Millisecond)
	}
}
