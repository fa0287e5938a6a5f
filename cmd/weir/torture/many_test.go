//go:build torture

package torture

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	manyTopics     = 50
	manyPartitions = 4
	manyProducers  = 4
	manyKeys       = 1000 // of each producer, spread over all topics
)

// TestManyRecords has concurrent producers write many small records to 50
// topics of 4 partitions, keys to partitions as every Kafka client does it,
// restarts the broker, and wants each record once, in order per key, and all
// records of a key in one partition. The size is 16 million.
func TestManyRecords(t *testing.T) {
	records := setting(t, "WEIR_TORTURE_RECORDS", 1_000_000)
	b := newBroker(t, filepath.Join(t.TempDir(), "data"))
	b.start()
	for i := range manyTopics {
		b.createTopic(manyTopic(i), manyPartitions)
	}
	began := time.Now()
	each := (records + manyProducers - 1) / manyProducers
	var wg sync.WaitGroup
	for producer := range manyProducers {
		wg.Go(func() { produceMany(t, b, producer, each) })
	}
	wg.Wait()
	wrote := time.Since(began)
	b.stop()
	restart := b.start()
	began = time.Now()
	got := readMany(t, b, int64(each*manyProducers))
	t.Logf("%d records in %d partitions: written in %v, read in %v after a restart of %v", got,
		manyTopics*manyPartitions, wrote.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), restart.Round(time.Millisecond))
	b.stop()
}

func manyTopic(i int) string { return fmt.Sprintf("many-%02d", i) }

// produceMany sends n records: producer, key and number, 16 bytes. Numbers
// of a key rise by one.
func produceMany(t *testing.T, b *broker, producer, n int) {
	client := b.client(kgo.MaxBufferedRecords(50_000), kgo.ProducerLinger(5*time.Millisecond))
	defer client.Close()
	var failed atomic.Int64
	for i := range n {
		key := i % manyKeys
		value := binary.BigEndian.AppendUint32(nil, uint32(producer))
		value = binary.BigEndian.AppendUint32(value, uint32(key))
		value = binary.BigEndian.AppendUint64(value, uint64(i/manyKeys))
		r := &kgo.Record{Topic: manyTopic(key % manyTopics), Key: value[:8:8], Value: value}
		client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil && failed.Add(1) == 1 {
				t.Errorf("producer %d: %v", producer, err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		t.Errorf("producer %d: %v", producer, err)
	}
}

// keyState is what is known of one key while reading.
type keyState struct {
	next      uint64
	partition int32 // plus one; 0 before the first record
}

// readMany reads everything there is and checks each record against the one
// before it of the same key. All of want have to come.
func readMany(t *testing.T, b *broker, want int64) (got int64) {
	t.Helper()
	topics := make([]string, manyTopics)
	for i := range topics {
		topics[i] = manyTopic(i)
	}
	client := b.client(kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	keys := make([]keyState, manyProducers*manyKeys)
	ends := map[string]int64{}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	for got < want && !t.Failed() {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", got, want, err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := fmt.Sprintf("%s-%d", p.Topic, p.Partition)
			for _, r := range p.Records {
				if r.Offset != ends[at] {
					t.Errorf("%s: offset %d follows %d", at, r.Offset, ends[at]-1)
				}
				ends[at] = r.Offset + 1
				checkMany(t, keys, r)
			}
			got += int64(len(p.Records))
		})
	}
	for i, k := range keys {
		if n := uint64(want / manyProducers / manyKeys); k.next < n {
			t.Errorf("producer %d, key %d: %d records, want at least %d", i/manyKeys, i%manyKeys, k.next, n)
		}
	}
	return got
}

func checkMany(t *testing.T, keys []keyState, r *kgo.Record) {
	if len(r.Value) != 16 || string(r.Key) != string(r.Value[:8]) {
		t.Fatalf("%s-%d at %d: key %x, value %x", r.Topic, r.Partition, r.Offset, r.Key, r.Value)
	}
	producer, key := binary.BigEndian.Uint32(r.Value), binary.BigEndian.Uint32(r.Value[4:])
	if producer >= manyProducers || key >= manyKeys || r.Topic != manyTopic(int(key)%manyTopics) {
		t.Fatalf("%s-%d at %d: nobody sent producer %d, key %d", r.Topic, r.Partition, r.Offset, producer, key)
	}
	k := &keys[producer*manyKeys+key]
	if k.partition == 0 {
		k.partition = r.Partition + 1
	}
	if n := binary.BigEndian.Uint64(r.Value[8:]); n != k.next || r.Partition != k.partition-1 {
		t.Errorf("producer %d, key %d: record %d in partition %d, want %d in %d", producer, key, n, r.Partition, k.next, k.partition-1)
	}
	k.next++
}
