package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/group"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// offsetsTopic is where committed offsets live, in Kafka's own record format
// (OffsetCommitKey and OffsetCommitValue), so that its tools can read them.
const offsetsTopic = "__consumer_offsets"

// loadChunkBytes is how much of the offsets topic is in memory at a time while
// the table is built.
const loadChunkBytes = 1 << 20

// loadRetryInterval is how often a partition that cannot be read is tried.
const loadRetryInterval = time.Second

// Bounds of what groups may have the broker keep, all of it in memory.
const (
	maxGroups         = 10_000
	maxGroupNameBytes = 255
	maxOffsetsBytes   = 256 << 20
	// maxMetadataBytes is what the record format can hold; the configured
	// limit may be less.
	maxMetadataBytes = math.MaxInt16
)

// offsetStore is the table of committed offsets and the topic behind it. A
// commit is in the table once it is committed in the topic.
type offsetStore struct {
	node   *cluster.Node
	logger *slog.Logger

	mu     sync.Mutex // guards all below, and the order of writes to a partition
	table  *group.Offsets
	ahead  map[int32][]offsetWrite // by partition of the topic, in its order
	live   map[int32]int64         // bytes of the last rewrite, by partition
	loaded map[int32]int32         // partitions led here whose commits are in the table: the leadership's epoch
	failed map[int32]time.Time     // partitions that could not be read, and when that was tried
}

// offsetWrite is a change that is on its way into the topic.
type offsetWrite struct {
	append *partition.Append
	apply  func(*group.Offsets)
}

func newOffsetStore(n *cluster.Node, logger *slog.Logger) *offsetStore {
	return &offsetStore{
		node: n, logger: logger, table: group.NewOffsets(),
		ahead: make(map[int32][]offsetWrite), live: make(map[int32]int64), loaded: make(map[int32]int32), failed: make(map[int32]time.Time),
	}
}

// load builds the table from what is led here of the topic, if there is one. What cannot
// be read now is tried again when one of its groups is asked for. Commits for topics
// that a crash deleted without them are forgotten.
func (s *offsetStore) load(ctx context.Context, now int64) {
	t := s.node.Topic(offsetsTopic)
	if t == nil {
		return
	}
	s.mu.Lock()
	for i := range int32(t.NumPartitions()) {
		_ = s.ensureLoaded(t, i) // has been logged
	}
	s.mu.Unlock()
	s.removeWhere(ctx, now, func(tp group.TopicPartition, _ group.Commit) bool { return s.node.Topic(tp.Topic) == nil })
}

// ensureLoaded reads a partition of the topic into the table unless it is there as of
// this leadership: NOT_COORDINATOR when another broker leads it,
// COORDINATOR_LOAD_IN_PROGRESS when it cannot be read. It is called with mu held.
func (s *offsetStore) ensureLoaded(t *cluster.Topic, index int32) error {
	p, err := t.Partition(index)
	var elsewhere *partition.NotLeaderError
	if errors.As(err, &elsewhere) {
		s.unload(t, index)
		return protocol.CodeNotCoordinator
	}
	epoch := int32(-1)
	if err == nil {
		if epoch, _ = p.Leading(); s.isLoaded(index, epoch) {
			return nil
		}
	}
	if time.Since(s.failed[index]) < loadRetryInterval {
		return protocol.CodeCoordinatorLoadInProgress
	}
	s.unload(t, index)
	if err == nil {
		err = s.loadPartition(p, t.MaxDecodedBytes())
	}
	if err != nil {
		s.failed[index] = time.Now()
		s.logger.Error("groups are unavailable", "topic", offsetsTopic, "partition", index, "err", err)
		return protocol.CodeCoordinatorLoadInProgress
	}
	s.loaded[index] = epoch
	delete(s.failed, index)
	return nil
}

func (s *offsetStore) isLoaded(index, epoch int32) bool {
	loaded, ok := s.loaded[index]
	return ok && loaded == epoch
}

// unload forgets the groups of a partition that this broker does not lead any more, or
// not as it did: what was on its way may have been lost.
func (s *offsetStore) unload(t *cluster.Topic, index int32) {
	if _, ok := s.loaded[index]; !ok {
		return
	}
	delete(s.loaded, index)
	delete(s.ahead, index)
	delete(s.live, index)
	for _, name := range s.table.Groups() {
		if groupPartition(name, t.NumPartitions()) == index {
			for _, tp := range s.table.Partitions(name) {
				s.table.Delete(name, tp)
			}
		}
	}
}

// unloadLost is unload for every partition that is not led here any more.
func (s *offsetStore) unloadLost() {
	t := s.node.Topic(offsetsTopic)
	if t == nil {
		return
	}
	for index, loaded := range s.loaded {
		p, err := t.Partition(index)
		if err != nil {
			s.unload(t, index)
		} else if epoch, _ := p.Leading(); epoch != loaded {
			s.unload(t, index)
		}
	}
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
				// Admin tools may write here; what they write must not keep
				// the broker from starting.
				s.logger.Warn("a record of the offsets topic is not a commit", "offset", r.Offset, "err", err)
			}
		}
		b = b[h.SizeBytes():]
	}
	return nil
}

// commitKeyVersion is the last version of a record's key that means a commit;
// later ones are of other kinds (group metadata) and not ours to read.
const commitKeyVersion = 1

// applyRecord applies one record of the topic.
func applyRecord(t *group.Offsets, r recordbatch.Record) error {
	if len(r.Key) >= 2 && binary.BigEndian.Uint16(r.Key) > commitKeyVersion {
		return nil
	}
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(r.Key); err != nil {
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

// commit makes commits of one group durable and visible. It fails with
// UNKNOWN_TOPIC_OR_PARTITION when a topic has just been deleted, and with
// POLICY_VIOLATION when there is no room for more.
func (s *offsetStore) commit(ctx context.Context, name string, commits map[group.TopicPartition]group.Commit, now int64) error {
	return s.write(ctx, name, now, func(bool) ([]recordbatch.Record, func(*group.Offsets), error) {
		if s.table.Bytes() > maxOffsetsBytes || s.table.Count() >= maxGroups && !s.table.Has(name) {
			return nil, nil, protocol.CodePolicyViolation
		}
		records := make([]recordbatch.Record, 0, len(commits))
		for tp, c := range commits {
			// Deleting a topic forgets its commits after this lock: none may slip in behind.
			if s.node.Topic(tp.Topic) == nil {
				return nil, nil, protocol.CodeUnknownTopicOrPartition
			}
			records = append(records, commitRecord(name, tp, c, now))
		}
		return records, func(t *group.Offsets) {
			for tp, c := range commits {
				t.Set(name, tp, c)
			}
		}, nil
	})
}

// remove forgets commits of one group, durably.
func (s *offsetStore) remove(ctx context.Context, name string, tps []group.TopicPartition, now int64) error {
	return s.removeIf(ctx, name, tps, now, nil)
}

// removeIf is remove for those commits that are still as pick wants them. With
// a pick it leaves alone what may be about to change.
func (s *offsetStore) removeIf(ctx context.Context, name string, tps []group.TopicPartition, now int64, pick func(group.TopicPartition, group.Commit) bool) error {
	return s.write(ctx, name, now, func(pending bool) ([]recordbatch.Record, func(*group.Offsets), error) {
		var records []recordbatch.Record
		for _, tp := range tps {
			if pick != nil {
				if c, ok := s.table.Get(name, tp); pending || !ok || !pick(tp, c) {
					continue
				}
			}
			records = append(records, recordbatch.Record{Timestamp: now, Key: offsetKey(name, tp)})
		}
		return records, func(t *group.Offsets) {
			for _, tp := range tps {
				t.Delete(name, tp)
			}
		}, nil
	})
}

// removeWhere forgets all commits that pick picks.
func (s *offsetStore) removeWhere(ctx context.Context, now int64, pick func(group.TopicPartition, group.Commit) bool) {
	var found map[string][]group.TopicPartition
	s.read(func(t *group.Offsets) { found = t.Select(pick) })
	for name, tps := range found {
		if err := s.removeIf(ctx, name, tps, now, pick); err != nil {
			s.logger.Warn("committed offsets are not removed", "group", name, "err", err)
		}
	}
}

// expire forgets commits that were made longer ago than age.
func (s *offsetStore) expire(ctx context.Context, now time.Time, age time.Duration) {
	before := now.Add(-age).UnixMilli()
	s.removeWhere(ctx, now.UnixMilli(), func(_ group.TopicPartition, c group.Commit) bool { return c.Timestamp < before })
}

// removeTopic forgets what groups have committed for a topic that is gone.
func (s *offsetStore) removeTopic(ctx context.Context, topic string, now int64) error {
	var before []*partition.Append
	var found map[string][]group.TopicPartition
	s.mu.Lock()
	for _, writes := range s.ahead {
		for _, w := range writes {
			before = append(before, w.append)
		}
	}
	s.mu.Unlock()
	for _, a := range before {
		if err := a.Wait(ctx); ctx.Err() != nil {
			return err
		} // else it failed for its own client, and changed nothing
	}
	s.read(func(t *group.Offsets) {
		found = t.Select(func(tp group.TopicPartition, _ group.Commit) bool { return tp.Topic == topic })
	})
	var errs []error
	for name, tps := range found {
		errs = append(errs, s.remove(ctx, name, tps, now))
	}
	return errors.Join(errs...)
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

// makeChange makes the records of a change and what it does to the table. It
// runs with mu held; pending says that earlier changes to groups of the same
// partition are not in the table yet.
type makeChange func(pending bool) ([]recordbatch.Record, func(*group.Offsets), error)

// write brings a change into the group's partition of the topic, waits until it
// is committed, and applies it in the topic's order.
func (s *offsetStore) write(ctx context.Context, name string, now int64, change makeChange) error {
	t, err := s.node.EnsureInternalTopic(ctx, offsetsTopic)
	if err != nil {
		return err
	}
	p, err := t.Partition(groupPartition(name, t.NumPartitions()))
	if elsewhere := (*partition.NotLeaderError)(nil); errors.As(err, &elsewhere) {
		return protocol.CodeNotCoordinator
	}
	if err != nil {
		return err
	}
	a, err := s.propose(t, p, now, change)
	if err != nil || a == nil {
		return err
	}
	err = a.Wait(ctx)
	s.read(func(*group.Offsets) {}) // catches up
	if elsewhere := (*partition.NotLeaderError)(nil); errors.As(err, &elsewhere) {
		return protocol.CodeNotCoordinator
	}
	if err != nil {
		return err
	}
	if err := s.shrinkIfGrown(ctx, p, t.NumPartitions(), now); err != nil {
		s.logger.Warn("the offsets topic is not shrunk", "partition", p.Index(), "err", err)
	}
	return nil
}

// propose makes the change; nil when there is nothing to write.
func (s *offsetStore) propose(t *cluster.Topic, p *partition.Partition, now int64, change makeChange) (*partition.Append, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ensureLoaded(t, p.Index()); err != nil {
		return nil, err
	}
	s.catchUp(p.Index())
	records, apply, err := change(len(s.ahead[p.Index()]) > 0)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	batch, err := newOffsetBatch(records, now)
	if err != nil {
		return nil, err
	}
	a := p.Propose(batch, partition.AcksAll)
	s.ahead[p.Index()] = append(s.ahead[p.Index()], offsetWrite{append: a, apply: apply})
	return a, nil
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
	s.readLocked(f)
}

func (s *offsetStore) readLocked(f func(*group.Offsets)) {
	s.unloadLost()
	for index := range s.ahead {
		s.catchUp(index)
	}
	f(s.table)
}

// readGroup is read for what concerns one group. It fails with
// COORDINATOR_LOAD_IN_PROGRESS while the group's commits cannot be read: to say
// that there are none would send its consumers back to the beginning.
func (s *offsetStore) readGroup(name string, f func(*group.Offsets)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.node.Topic(offsetsTopic); t != nil {
		if err := s.ensureLoaded(t, groupPartition(name, t.NumPartitions())); err != nil {
			return err
		}
	}
	s.readLocked(f)
	return nil
}

// allLoaded says whether read sees every group that this broker coordinates.
func (s *offsetStore) allLoaded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.node.Topic(offsetsTopic)
	if t == nil {
		return true
	}
	for i := range int32(t.NumPartitions()) {
		if err := s.ensureLoaded(t, i); err != nil && err != protocol.CodeNotCoordinator {
			return false
		}
	}
	return true
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
