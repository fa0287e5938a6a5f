package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/group"
	"weir/partition"
	"weir/protocol/recordbatch"
)

// offsetsTopic is where committed offsets live, in Kafka's own record format
// (OffsetCommitKey and OffsetCommitValue), so that its tools can read them.
const offsetsTopic = "__consumer_offsets"

// loadChunkBytes is how much of the offsets topic is in memory at a time while
// the table is built.
const loadChunkBytes = 1 << 20

// offsetStore is the table of committed offsets and the topic behind it. A
// commit is in the table once it is committed in the topic.
type offsetStore struct {
	node   *cluster.Node
	logger *slog.Logger

	mu    sync.Mutex // guards all below, and the order of writes to a partition
	table *group.Offsets
	ahead map[int32][]offsetWrite // by partition of the topic, in its order
	live  map[int32]int64         // bytes of the last rewrite, by partition
}

// offsetWrite is a change that is on its way into the topic.
type offsetWrite struct {
	append *partition.Append
	apply  func(*group.Offsets)
}

func newOffsetStore(n *cluster.Node, logger *slog.Logger) *offsetStore {
	return &offsetStore{node: n, logger: logger, table: group.NewOffsets(), ahead: make(map[int32][]offsetWrite), live: make(map[int32]int64)}
}

// load builds the table from the topic, if there is one.
func (s *offsetStore) load() error {
	t := s.node.Topic(offsetsTopic)
	if t == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range t.NumPartitions() {
		p, err := t.Partition(int32(i))
		if err == nil {
			err = s.loadPartition(p, t.MaxDecodedBytes())
		}
		if err != nil {
			return fmt.Errorf("broker: committed offsets of %s-%d: %w", offsetsTopic, i, err)
		}
	}
	return nil
}

func (s *offsetStore) loadPartition(p *partition.Partition, maxDecoded int) error {
	var buf []byte
	for offset := p.LogStartOffset(); offset < p.HighWatermark(); {
		r, err := p.Read(offset, loadChunkBytes, true, partition.ReadUncommitted)
		if err != nil {
			return err
		}
		buf, err = r.AppendTo(buf[:0])
		offset = r.NextOffset
		if err = errors.Join(err, r.Release()); err != nil {
			return err
		}
		if err := s.applyBatches(buf, maxDecoded); err != nil {
			return err
		}
	}
	return nil
}

func (s *offsetStore) applyBatches(b []byte, maxDecoded int) error {
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			return err
		}
		for r, err := range recordbatch.Records(b[:h.SizeBytes()], maxDecoded) {
			if err != nil {
				return err
			}
			if err := applyRecord(s.table, r); err != nil {
				return err
			}
		}
		b = b[h.SizeBytes():]
	}
	return nil
}

// applyRecord applies one record of the topic. Records of other kinds (group
// metadata, from key version 2 on) are not ours to read.
func applyRecord(t *group.Offsets, r recordbatch.Record) error {
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(r.Key); err != nil || k.Version > 1 {
		return err
	}
	tp := group.TopicPartition{Topic: k.Topic, Partition: k.Partition}
	if r.Value == nil {
		t.Delete(k.Group, tp)
		return nil
	}
	var v kmsg.OffsetCommitValue
	if err := v.ReadFrom(r.Value); err != nil {
		return err
	}
	t.Set(k.Group, tp, group.Commit{Offset: v.Offset, LeaderEpoch: v.LeaderEpoch, Metadata: v.Metadata, Timestamp: v.CommitTimestamp})
	return nil
}

// commit makes commits of one group durable and visible.
func (s *offsetStore) commit(ctx context.Context, name string, commits map[group.TopicPartition]group.Commit, now int64) error {
	records := make([]recordbatch.Record, 0, len(commits))
	for tp, c := range commits {
		records = append(records, commitRecord(name, tp, c, now))
	}
	return s.write(ctx, name, records, now, func(t *group.Offsets) {
		for tp, c := range commits {
			t.Set(name, tp, c)
		}
	})
}

// remove forgets commits of one group, durably.
func (s *offsetStore) remove(ctx context.Context, name string, tps []group.TopicPartition, now int64) error {
	if len(tps) == 0 {
		return nil
	}
	records := make([]recordbatch.Record, 0, len(tps))
	for _, tp := range tps {
		records = append(records, recordbatch.Record{Timestamp: now, Key: offsetKey(name, tp)})
	}
	return s.write(ctx, name, records, now, func(t *group.Offsets) {
		for _, tp := range tps {
			t.Delete(name, tp)
		}
	})
}

func commitRecord(name string, tp group.TopicPartition, c group.Commit, now int64) recordbatch.Record {
	v := kmsg.NewOffsetCommitValue()
	v.Version, v.Offset, v.LeaderEpoch, v.Metadata, v.CommitTimestamp = 3, c.Offset, c.LeaderEpoch, c.Metadata, c.Timestamp
	return recordbatch.Record{Timestamp: now, Key: offsetKey(name, tp), Value: v.AppendTo(nil)}
}

func offsetKey(name string, tp group.TopicPartition) []byte {
	k := kmsg.NewOffsetCommitKey()
	k.Version, k.Group, k.Topic, k.Partition = 1, name, tp.Topic, tp.Partition
	return k.AppendTo(nil)
}

// write brings records into the group's partition of the topic, waits until
// they are committed, and applies the change in the topic's order.
func (s *offsetStore) write(ctx context.Context, name string, records []recordbatch.Record, now int64, apply func(*group.Offsets)) error {
	t, err := s.node.EnsureInternalTopic(ctx, offsetsTopic)
	if err != nil {
		return err
	}
	batch, err := newOffsetBatch(records, now)
	if err != nil {
		return err
	}
	p, err := t.Partition(groupPartition(name, t.NumPartitions()))
	if err != nil {
		return err
	}
	s.mu.Lock()
	a := p.Propose(batch, partition.AcksAll)
	s.ahead[p.Index()] = append(s.ahead[p.Index()], offsetWrite{append: a, apply: apply})
	s.mu.Unlock()
	err = a.Wait(ctx)
	s.mu.Lock()
	s.catchUp(p.Index())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.shrinkIfGrown(ctx, p, t.NumPartitions(), now); err != nil {
		s.logger.Warn("the offsets topic is not shrunk", "partition", p.Index(), "err", err)
	}
	return nil
}

// catchUp applies what has been committed. Appends of a partition settle in
// order, so the first unsettled one ends the search.
func (s *offsetStore) catchUp(index int32) {
	ahead := s.ahead[index]
	for len(ahead) > 0 && ahead[0].append.Settled() {
		if ahead[0].append.Wait(context.Background()) == nil {
			ahead[0].apply(s.table)
		}
		ahead = ahead[1:]
	}
	if len(ahead) == 0 {
		delete(s.ahead, index)
		return
	}
	s.ahead[index] = ahead
}

// read runs f on the table as it is now.
func (s *offsetStore) read(f func(*group.Offsets)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for index := range s.ahead {
		s.catchUp(index)
	}
	f(s.table)
}

// groupPartition maps a group to a partition as Kafka does: Java's
// String.hashCode, made positive.
func groupPartition(name string, n int) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(name)) {
		h = 31*h + int32(unit)
	}
	return int32(int(h&0x7fffffff) % n)
}
