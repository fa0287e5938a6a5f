package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"weir/cluster/config"
	"weir/cluster/metadata"
	"weir/log"
	"weir/partition"
	"weir/protocol/recordbatch"
)

// ErrUnknownPartition says that a topic has no partition of that number.
var ErrUnknownPartition = errors.New("cluster: no such partition")

// OfflineError says that a partition belongs here and could not be opened, or
// has been closed. It is retried when the node next looks after its data.
type OfflineError struct {
	Topic     string
	Partition int32
	Err       error
}

func (e *OfflineError) Error() string {
	return fmt.Sprintf("cluster: %s-%d is offline: %v", e.Topic, e.Partition, e.Err)
}
func (e *OfflineError) Unwrap() error { return e.Err }

// Topic is a topic as this node hosts it. It is immutable; a change makes a
// new one around the same partitions.
type Topic struct {
	Name      string
	ID        [16]byte
	Internal  bool
	Config    config.Topic
	Overrides map[string]string

	meta            *metadata.Topic    // what it was made from
	settings        partition.Settings // what its partitions run with
	maxDecodedBytes int
	partitions      []*partition.Partition // the replicas here; nil where there is none, or it is offline
	offline         []error                // why; errElsewhere where there is to be none
	folders         []*folder              // that they are in; nil where there is none, or it is not known
	growing         bool                   // some are still timed for one replica, and are to have others
}

// errElsewhere: the partition has no replica here.
var errElsewhere = errors.New("no replica is here")

// Replica returns this node's replica of the partition of that number, whether it leads
// or not: ErrUnknownPartition, *partition.NotLeaderError when it belongs elsewhere, or
// *OfflineError.
func (t *Topic) Replica(index int32) (*partition.Partition, error) {
	if index < 0 || int(index) >= len(t.partitions) {
		return nil, ErrUnknownPartition
	}
	if p := t.partitions[index]; p != nil {
		return p, nil
	}
	if t.offline[index] == errElsewhere {
		return nil, &partition.NotLeaderError{Topic: t.Name, Partition: index}
	}
	return nil, &OfflineError{Topic: t.Name, Partition: index, Err: t.offline[index]}
}

// Partition is Replica for what only the leader may answer: *partition.NotLeaderError when
// this replica is not the one.
func (t *Topic) Partition(index int32) (*partition.Partition, error) {
	p, err := t.Replica(index)
	if err != nil {
		return nil, err
	}
	if _, leading := p.Leading(); !leading {
		return nil, &partition.NotLeaderError{Topic: t.Name, Partition: index, Leader: p.Leader()}
	}
	return p, nil
}

// Described is what the metadata say of the partition of that number.
func (t *Topic) Described(index int32) (metadata.Partition, bool) { return t.meta.Partition(index) }

// MinInsyncReplicas is how many replicas must be in sync for acks=all to be taken.
func (t *Topic) MinInsyncReplicas() int { return t.Config.MinInsyncReplicas }

// NumPartitions counts the partitions, the offline ones too.
func (t *Topic) NumPartitions() int { return len(t.partitions) }

// MaxDecodedBytes is what a batch of the topic may decompress to.
func (t *Topic) MaxDecodedBytes() int { return t.maxDecodedBytes }

// Rules are what a batch must keep to at this time.
func (t *Topic) Rules(now time.Time) recordbatch.Rules {
	return recordbatch.Rules{
		MaxBytes:                 max(t.Config.MaxMessageBytes, 1), // 0 takes nothing; for Rules it is no limit
		MaxDecodedBytes:          t.maxDecodedBytes,
		RequireKeys:              t.Config.Compact,
		LogAppendTime:            t.Config.LogAppendTime,
		TimestampBeforeMaxMillis: t.Config.TimestampBeforeMaxMillis,
		TimestampAfterMaxMillis:  t.Config.TimestampAfterMaxMillis,
		NowMillis:                now.UnixMilli(),
	}
}

// settings turns a topic's configuration into what its partitions run with.
// compacts is false for the topic that the broker compacts itself.
func settings(c config.Topic, b *config.Broker, compacts bool) partition.Settings {
	s := partition.Settings{
		Log: log.Settings{
			SegmentBytes:       c.SegmentBytes,
			SegmentAge:         limitedMillis(c.SegmentMillis),
			SegmentJitter:      limitedMillis(c.SegmentJitterMillis),
			IndexIntervalBytes: max(c.IndexIntervalBytes, 1), // 0 asks for an entry for each batch
			RetentionBytes:     c.RetentionBytes,
			RetentionAge:       limitedMillis(c.RetentionMillis),
			DeleteByRetention:  c.Delete,
		},
		WriteCaching:   c.WriteCaching,
		FlushInterval:  limitedMillis(c.FlushMillis),
		MaxProducers:   b.Producers.MaxIDsPerPartition,
		ProducerExpiry: b.Producers.IDExpiration,
	}
	if s.Compact = c.Compact && compacts; s.Compact {
		s.Compaction = log.Compaction{
			DeleteRetentionMillis: c.Compaction.DeleteRetentionMillis,
			MinLagMillis:          c.Compaction.MinLagMillis,
			MaxLagMillis:          c.Compaction.MaxLagMillis,
			MinDirtyRatio:         c.Compaction.MinCleanableDirtyRatio,
			MaxKeys:               int(min(b.Cleaner.BufferBytes/int64(b.Cleaner.Threads), math.MaxInt32) / log.KeyBytes),
		}
		// A record in the active segment cannot be compacted, however late it is.
		if lag := limitedMillis(c.Compaction.MaxLagMillis); lag > 0 && (s.Log.SegmentAge <= 0 || lag < s.Log.SegmentAge) {
			s.Log.SegmentAge = lag
		}
	}
	if c.FlushMessages < math.MaxInt64 {
		s.FlushRecords = c.FlushMessages
	}
	// What is "at once" and "nothing" to Kafka, the layers below read as never
	// and as no limit.
	if c.RetentionMillis == 0 {
		s.Log.RetentionAge = 1
	}
	if c.RetentionBytes == 0 {
		s.Log.RetentionBytes = 1
	}
	if c.FlushMillis == 0 {
		s.FlushRecords = 1
	}
	return s
}

// limitedMillis turns Kafka's milliseconds into a duration; never, which Kafka
// says by -1 or by more than a duration can hold, is 0.
func limitedMillis(ms int64) time.Duration {
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// topicSet is all topics of one image, as this node hosts them. Immutable.
type topicSet struct {
	image  *metadata.Image
	byName []*Topic
	byID   map[[16]byte]*Topic
}

// newTopicSet takes over topics, which it sorts.
func newTopicSet(image *metadata.Image, topics ...*Topic) *topicSet {
	slices.SortFunc(topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	s := &topicSet{image: image, byName: topics, byID: make(map[[16]byte]*Topic, len(topics))}
	for _, t := range topics {
		s.byID[t.ID] = t
	}
	return s
}

// Topic returns the topic of that name, nil when there is none.
func (n *Node) Topic(name string) *Topic {
	topics := n.topics.Load().byName
	i, ok := slices.BinarySearchFunc(topics, name, func(t *Topic, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil
	}
	return topics[i]
}

// TopicByID returns the topic of that id, nil when there is none.
func (n *Node) TopicByID(id [16]byte) *Topic { return n.topics.Load().byID[id] }

// Topics returns all topics by name. The slice must not be changed.
func (n *Node) Topics() []*Topic { return n.topics.Load().byName }

// in returns the open replicas in a folder, by topic.
func (s *topicSet) in(f *folder) iter.Seq2[*Topic, *partition.Partition] {
	return func(yield func(*Topic, *partition.Partition) bool) {
		for _, t := range s.byName {
			for i, p := range t.partitions {
				if p != nil && t.folders[i] == f && !yield(t, p) {
					return
				}
			}
		}
	}
}

// offlineIn returns the folders that have partitions which could not be opened.
func (s *topicSet) offlineIn() map[*folder]bool {
	in := make(map[*folder]bool)
	for _, t := range s.byName {
		for i, p := range t.partitions {
			if p == nil && t.folders[i] != nil {
				in[t.folders[i]] = true
			}
		}
	}
	return in
}

// closeAll closes every partition. Each close waits for the disk, so many go
// side by side.
func (s *topicSet) closeAll() error {
	var open []*partition.Partition
	for _, t := range s.byName {
		for _, p := range t.partitions {
			if p != nil {
				open = append(open, p)
			}
		}
	}
	errs := make([]error, len(open))
	work := make([]func(), len(open))
	for i, p := range open {
		work[i] = func() { errs[i] = p.Close() }
	}
	side(closers, work)
	return errors.Join(errs...)
}
