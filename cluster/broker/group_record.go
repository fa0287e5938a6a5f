package broker

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group"
	"weir/protocol/recordbatch"
)

// groupValueVersion is the version of GroupMetadataValue that is written, the newest that
// all of Kafka's releases since 2.3 read.
const groupValueVersion = 3

func groupKey(name string) []byte {
	k := kmsg.NewGroupMetadataKey()
	k.Version, k.Group = groupKeyVersion, name
	return k.AppendTo(nil)
}

// groupRecord is the record of a group; no value means that it is gone.
func groupRecord(name string, value []byte, now int64) recordbatch.Record {
	return recordbatch.Record{Timestamp: now, Key: groupKey(name), Value: value}
}

// encodeGroup makes the value of a group's record.
func encodeGroup(s group.Snapshot) []byte {
	v := kmsg.NewGroupMetadataValue()
	v.Version, v.ProtocolType, v.Generation, v.CurrentStateTimestamp = groupValueVersion, s.ProtocolType, s.Generation, s.StateSince
	v.Protocol, v.Leader = nullable(s.Protocol, s.Protocol == ""), nullable(s.Leader, s.Leader == "")
	for i := range s.Members {
		x := &s.Members[i]
		m := kmsg.NewGroupMetadataValueMember()
		m.MemberID, m.ClientID, m.ClientHost = x.ID, x.ClientID, x.ClientHost
		m.InstanceID = nullable(x.InstanceID, x.InstanceID == "")
		m.RebalanceTimeoutMillis, m.SessionTimeoutMillis = int32(x.Rebalance.Milliseconds()), int32(x.Session.Milliseconds())
		m.Subscription, m.Assignment = x.Subscription, x.Assignment
		v.Members = append(v.Members, m)
	}
	return v.AppendTo(nil)
}

// decodeGroup reads the value of a group's record. What it returns keeps nothing of b.
func decodeGroup(b []byte) (group.Snapshot, error) {
	if len(b) < 2 || b[0] != 0 || b[1] > groupValueVersion || !membersFit(b) {
		return group.Snapshot{}, fmt.Errorf("group metadata of %d bytes: not of a version up to %d", len(b), groupValueVersion)
	}
	var v kmsg.GroupMetadataValue
	if err := v.ReadFrom(append([]byte(nil), b...)); err != nil {
		return group.Snapshot{}, err
	}
	s := group.Snapshot{ProtocolType: v.ProtocolType, Generation: v.Generation, StateSince: v.CurrentStateTimestamp}
	s.Protocol, s.Leader = orEmpty(v.Protocol), orEmpty(v.Leader)
	for i := range v.Members {
		m := &v.Members[i]
		x := group.SnapshotMember{
			ID: m.MemberID, InstanceID: orEmpty(m.InstanceID), ClientID: m.ClientID, ClientHost: m.ClientHost,
			Session: millis(m.SessionTimeoutMillis), Rebalance: millis(m.RebalanceTimeoutMillis),
			Subscription: m.Subscription, Assignment: m.Assignment,
		}
		if m.RebalanceTimeoutMillis < 0 { // before KIP-62 there was one timeout
			x.Rebalance = x.Session
		}
		s.Members = append(s.Members, x)
	}
	return s, nil
}

// membersFit says whether a value can have as many members as it says; kmsg would make that many.
func membersFit(b []byte) bool {
	r := kbin.Reader{Src: b}
	version := r.Int16()
	r.UnsafeString()         // protocol type
	r.Int32()                // generation
	r.UnsafeNullableString() // protocol
	r.UnsafeNullableString() // leader
	if version >= 2 {
		r.Int64() // since when
	}
	const least = 18 // bytes of a member of version 0
	n := r.Int32()
	return r.Ok() && int(n) <= len(r.Src)/least
}

func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
