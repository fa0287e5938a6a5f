package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group"
	"weir/protocol/recordbatch"
)

// commitValueVersion is the version of OffsetCommitValue that is written, the first with the topic's id.
const commitValueVersion = 4

// commitRecord is the record of a committed offset.
func commitRecord(name string, tp group.TopicPartition, c group.Commit, now int64) recordbatch.Record {
	v := kmsg.NewOffsetCommitValue()
	v.Version, v.Offset, v.LeaderEpoch, v.Metadata, v.CommitTimestamp = commitValueVersion, c.Offset, c.LeaderEpoch, c.Metadata, c.Timestamp
	v.TopicID = c.TopicID
	return recordbatch.Record{Timestamp: now, Key: offsetKey(name, tp), Value: v.AppendTo(nil)}
}

func offsetKey(name string, tp group.TopicPartition) []byte {
	k := kmsg.NewOffsetCommitKey()
	k.Version, k.Group, k.Topic, k.Partition = 1, name, tp.Topic, tp.Partition
	return k.AppendTo(nil)
}

// decodeCommit reads the value of a commit's record.
func decodeCommit(b []byte) (group.Commit, error) {
	if len(b) < 2 || b[0] != 0 || b[1] > commitValueVersion || b[1] == commitValueVersion && !tagsFit(b) {
		return group.Commit{}, fmt.Errorf("an offset of %d bytes: not of a version up to %d", len(b), commitValueVersion)
	}
	var v kmsg.OffsetCommitValue
	if err := v.ReadFrom(b); err != nil {
		return group.Commit{}, err
	}
	return group.Commit{Offset: v.Offset, LeaderEpoch: v.LeaderEpoch, Metadata: v.Metadata, Timestamp: v.CommitTimestamp, TopicID: v.TopicID}, nil
}

// tagsFit says whether a value of version 4 can have as many tags as it says; kmsg would count to four billion.
func tagsFit(b []byte) bool {
	r := kbin.Reader{Src: b}
	r.Int16()               // version
	r.Int64()               // offset
	r.Int32()               // leader epoch
	r.UnsafeCompactString() // metadata
	r.Int64()               // timestamp
	const least = 2         // bytes of a tag: its number and its length
	n := r.Uvarint()
	return r.Ok() && int64(n) <= int64(len(r.Src)/least)
}
