package group

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Subscription is what a consumer says of itself in the metadata of its protocols.
type Subscription struct {
	Version int16
	Topics  []string
	Owned   map[string][]int32 // partitions that it has, by topic; empty unless it rebalances cooperatively
}

// ParseSubscription reads a consumer's metadata; false if they are none. What comes behind the owned
// partitions is not looked at. These may be left out: kafka-go says version 1 and writes version 0.
func ParseSubscription(b []byte) (s Subscription, ok bool) {
	d := embedded{b: b}
	s.Version, s.Topics = d.topics()
	if d.skip(max(int(d.int32()), 0)); s.Version >= 1 && len(d.b) > 0 {
		s.Owned = d.partitions()
	}
	return s, !d.failed && s.Version >= 0
}

// ParseAssignment reads what a consumer was assigned, by topic; false if it is none. Nothing at all is an
// empty one.
func ParseAssignment(b []byte) (partitions map[string][]int32, ok bool) {
	if len(b) == 0 {
		return nil, true
	}
	d := embedded{b: b}
	version := d.int16()
	partitions = d.partitions()
	return partitions, !d.failed && version >= 0
}

// AppendAssignment writes what ParseAssignment reads.
func AppendAssignment(b []byte, version int16, partitions map[string][]int32) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(len(partitions)))
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
		b = append(b, topic...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(partitions[topic])))
		for _, p := range partitions[topic] {
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		}
	}
	return binary.BigEndian.AppendUint32(b, 1<<32-1) // no user data
}

// embedded reads consumers' own formats. Once it has failed everything is zero.
type embedded struct {
	b      []byte
	failed bool
}

func (d *embedded) skip(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.b, d.failed = nil, true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *embedded) int16() int16 {
	if b := d.skip(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *embedded) int32() int32 {
	if b := d.skip(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// topics is what every version of a subscription begins with.
func (d *embedded) topics() (version int16, names []string) {
	version = d.int16()
	for range d.count(2) {
		names = append(names, d.string())
	}
	return version, names
}

// count is how many elements follow, of at least so many bytes each; null is 0.
func (d *embedded) count(bytes int) int {
	n := int(d.int32())
	if n < -1 || n > len(d.b)/bytes {
		d.b, d.failed = nil, true
		return 0
	}
	return max(n, 0)
}

func (d *embedded) string() string { return string(d.skip(int(d.int16()))) }

func (d *embedded) partitions() map[string][]int32 {
	out := make(map[string][]int32)
	for range d.count(6) {
		topic := d.string()
		for range d.count(4) {
			out[topic] = append(out[topic], d.int32())
		}
	}
	return out
}
