package broker

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
	"time"

	"weir/cluster/group"
	"weir/protocol/recordbatch"
)

// TestRecordsThatLie: counts that a record's bytes cannot bear out are refused before anything is made of them.
func TestRecordsThatLie(t *testing.T) {
	commit := commitRecord("g", group.TopicPartition{Topic: "t"}, group.Commit{Offset: 7, Metadata: "m"}, 0)
	if c, err := decodeCommit(commit.Value); err != nil || c.Offset != 7 || c.Metadata != "m" {
		t.Fatalf("%+v, %v", c, err)
	}
	id := commitRecord("g", group.TopicPartition{Topic: "t"}, group.Commit{TopicID: [16]byte{1, 15: 2}}, 0)
	if c, err := decodeCommit(id.Value); err != nil || c.TopicID != [16]byte{1, 15: 2} {
		t.Fatalf("%+v, %v", c, err)
	}
	tags := slices.Clone(commit.Value)
	tags = append(tags[:len(tags)-1], 0xff, 0xff, 0xff, 0xff, 0x0f) // four billion of them
	newer := slices.Clone(commit.Value)
	newer[1] = commitValueVersion + 1
	for name, value := range map[string][]byte{"tags": tags, "newer": newer, "nothing": {}, "cut": commit.Value[:len(commit.Value)-1]} {
		if c, err := decodeCommit(value); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	members := encodeGroup(group.Snapshot{ProtocolType: "consumer"})
	members = append(members[:len(members)-4], 0x7f, 0, 0, 0)
	if s, err := decodeGroup(append(members, make([]byte, 1000)...)); err == nil {
		t.Errorf("members: %+v", s)
	}
}

// FuzzOffsetsRecord: whatever is in the offsets topic, loading it takes time and memory by its size, and what comes of
// it is a group that lives.
func FuzzOffsetsRecord(f *testing.F) {
	commit := commitRecord("g", group.TopicPartition{Topic: "t", Partition: 3}, group.Commit{Offset: 7, Metadata: "m", TopicID: [16]byte{1}}, 0)
	f.Add(commit.Key, commit.Value)
	f.Add(commit.Key, bytes.Clone(commit.Value[:20]))
	value := encodeGroup(group.Snapshot{ProtocolType: group.ConsumerType, Protocol: "range", Generation: 4, Leader: "m", Members: []group.SnapshotMember{
		{ID: "m", ClientID: "c", ClientHost: "/h", Session: time.Second, Rebalance: time.Second, Subscription: []byte{0, 0, 0, 0, 0, 0}, Assignment: []byte{0}},
		{ID: "n", InstanceID: "i"},
	}})
	f.Add(groupKey("g"), value)
	f.Add(groupKey("g"), value[:30])
	f.Add([]byte{0, 3, 0, 1, 'g'}, []byte{0, 0, 0, 0, 0, 1, 0})
	limits := group.Limits{Size: 100, ProtocolBytes: maxProtocolBytes, MemberBytes: maxMemberBytes, GroupBytes: maxGroupBytes}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := &shard{}
		s.clear()
		_ = s.applyRecord(recordbatch.Header{}, recordbatch.Record{Key: key, Value: value})
		now := time.Unix(1_700_000_000, 0)
		for _, stored := range s.stored {
			snapshot, err := decodeGroup(stored)
			if err != nil {
				t.Fatalf("stored, and then not read: %v", err)
			}
			g := group.Restore(&limits, snapshot, now)
			g.Expire(now.Add(time.Hour))
			g.Subscribed()
		}
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+100*(len(key)+len(value))); got > most {
			t.Errorf("%d bytes made the process allocate %d", len(key)+len(value), got)
		}
	})
}
