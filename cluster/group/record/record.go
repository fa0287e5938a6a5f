// Package record turns what is stored of groups of the consumer protocol into records of the offsets
// topic, in Kafka's formats, and back. The schemas are those of ConsumerGroupMetadata (key version 3),
// ConsumerGroupMemberMetadata (5), ConsumerGroupTargetAssignmentMetadata (6) and -Member (7),
// ConsumerGroupCurrentMemberAssignment (8) and ConsumerGroupRegularExpression (16), each with values of
// version 0. ConsumerGroupPartitionMetadata (4), which Kafka has given up for the hash in 3, is not written.
package record

import (
	"encoding/binary"
	"fmt"

	"weir/cluster/fields"
	"weir/cluster/group"
)

// Key makes the key of a fact's record.
func Key(groupName string, k group.FactKey) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(k.Kind))
	b = appendString16(b, groupName)
	if named(k.Kind) {
		b = appendString16(b, k.Name)
	}
	return b
}

// ParseKey reads what Key has made. Keys of other kinds are an error.
func ParseKey(b []byte) (groupName string, k group.FactKey, err error) {
	d := fields.Decoder{B: b}
	k.Kind = group.FactKind(d.Int16())
	if !Known(k.Kind) {
		return "", k, fmt.Errorf("record: no fact has a key of version %d", k.Kind)
	}
	groupName = d.Text16()
	if named(k.Kind) {
		k.Name = d.Text16()
	}
	return groupName, k, d.End()
}

// Known says whether records with keys of this version are facts.
func Known(k group.FactKind) bool {
	return named(k) || k == group.FactGroup || k == group.FactTarget
}

// named says that a group has a fact of this kind for each of several names.
func named(k group.FactKind) bool {
	switch k {
	case group.FactMember, group.FactTargetMember, group.FactCurrent, group.FactPattern:
		return true
	}
	return false
}

func appendString16(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s))) // names and expressions are bounded by far less
	return append(b, s...)
}
