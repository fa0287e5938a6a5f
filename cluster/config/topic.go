package config

import (
	"errors"
	"slices"
	"strings"
)

// Topic holds the values that one topic runs with.
type Topic struct {
	Delete  bool // cleanup.policy contains delete
	Compact bool // cleanup.policy contains compact

	RetentionMillis int64 // -1: for ever
	RetentionBytes  int64 // -1: no limit

	SegmentBytes        int64
	SegmentMillis       int64
	SegmentJitterMillis int64
	IndexIntervalBytes  int

	MaxMessageBytes   int // whole batch as sent
	MinInsyncReplicas int
	WriteCaching      bool  // acks=all is answered from the page cache
	FlushMessages     int64 // records between syncs with WriteCaching
	FlushMillis       int64 // time between syncs with WriteCaching

	LogAppendTime            bool
	TimestampBeforeMaxMillis int64
	TimestampAfterMaxMillis  int64

	Compression Compression
	Compaction  Compaction
}

// Compression is how batches are stored. Type is producer (as sent), uncompressed, gzip, snappy,
// lz4 or zstd.
type Compression struct {
	Type      string
	GzipLevel int
	LZ4Level  int
	ZstdLevel int
}

// Compaction bounds what happens to records of compacted topics.
type Compaction struct {
	DeleteRetentionMillis  int64 // age of a tombstone before it goes
	MinLagMillis           int64
	MaxLagMillis           int64
	MinCleanableDirtyRatio float64 // 0 to 1
}

// ResolveTopic returns what a topic with these overrides runs with on broker b. The overrides
// must have passed ValidateTopic; values that have not are reported as InvalidValueError.
func ResolveTopic(overrides map[string]string, b *Broker) (*Topic, error) {
	return resolveTopic(overrides, b.settings)
}

func resolveTopic(overrides map[string]string, s settings) (*Topic, error) {
	r := &reader{value: func(k *Key) (Setting, bool) {
		if v, ok := overrides[k.Name]; ok {
			return Setting{Value: v, Origin: FromTopic}, true
		}
		return s.inherited(k)
	}}
	policy := r.list("cleanup.policy")
	t := &Topic{
		Delete:                   slices.Contains(policy, "delete"),
		Compact:                  slices.Contains(policy, "compact"),
		RetentionMillis:          r.long("retention.ms"),
		RetentionBytes:           r.long("retention.bytes"),
		SegmentBytes:             r.long("segment.bytes"),
		SegmentMillis:            r.long("segment.ms"),
		SegmentJitterMillis:      r.long("segment.jitter.ms"),
		IndexIntervalBytes:       r.int("index.interval.bytes"),
		MaxMessageBytes:          r.int("max.message.bytes"),
		MinInsyncReplicas:        r.int("min.insync.replicas"),
		WriteCaching:             r.bool("write.caching"),
		FlushMessages:            r.long("flush.messages"),
		FlushMillis:              r.long("flush.ms"),
		LogAppendTime:            r.str("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMaxMillis: r.long("message.timestamp.before.max.ms"),
		TimestampAfterMaxMillis:  r.long("message.timestamp.after.max.ms"),
		Compression: Compression{
			Type:      r.str("compression.type"),
			GzipLevel: r.int("compression.gzip.level"),
			LZ4Level:  r.int("compression.lz4.level"),
			ZstdLevel: r.int("compression.zstd.level"),
		},
		Compaction: Compaction{
			DeleteRetentionMillis:  r.long("delete.retention.ms"),
			MinLagMillis:           r.long("min.compaction.lag.ms"),
			MaxLagMillis:           r.long("max.compaction.lag.ms"),
			MinCleanableDirtyRatio: r.double("min.cleanable.dirty.ratio"),
		},
	}
	return t, r.err
}

// ValidateTopic checks the overrides of a topic: every key known (else UnknownKeyError), every
// value allowed (else InvalidValueError), and the lags of compaction in order. All errors are
// joined, in the order of the keys.
func ValidateTopic(overrides map[string]string) error {
	var errs []error
	for _, name := range sortedNames(overrides) {
		k, ok := topicKey(name)
		if !ok {
			errs = append(errs, unknownKey(name, ScopeTopic))
			continue
		}
		if err := k.check(overrides[name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return lagsInOrder(overrides)
}

func lagsInOrder(overrides map[string]string) error {
	t, err := resolveTopic(overrides, settings{})
	if err != nil {
		return err
	}
	if t.Compaction.MinLagMillis > t.Compaction.MaxLagMillis {
		return &InvalidValueError{Key: "min.compaction.lag.ms", Value: overrides["min.compaction.lag.ms"],
			Allowed: "at most max.compaction.lag.ms"}
	}
	return nil
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
