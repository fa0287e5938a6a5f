package record

import (
	"encoding/binary"
	"fmt"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// valueVersion is the only version of values.
const valueVersion = 0

// Value makes the value of a fact's record; nil, the tombstone, of nil.
func Value(fact any) []byte {
	if fact == nil {
		return nil
	}
	e := encoder{b: []byte{0, valueVersion}}
	switch f := fact.(type) {
	case group.GroupFact:
		e.int32(f.Epoch)
		e.tag(0, f.Hash != 0, func(e *encoder) { e.int64(int64(f.Hash)) })
	case group.MemberFact:
		e.member(f)
	case group.TargetFact:
		e.int32(f.Epoch)
		e.noTags()
	case assignor.Assignment:
		e.assignment(f)
		e.noTags()
	case group.CurrentFact:
		e.int32(f.Epoch)
		e.int32(f.Previous)
		e.b = append(e.b, byte(f.State))
		e.assignment(f.Assigned)
		e.assignment(f.Revoking)
		e.noTags()
	case group.PatternFact:
		e.strings(f.Topics)
		e.int64(0) // of the metadata that were matched, by a count that is not kept here
		e.int64(f.Timestamp)
		e.noTags()
	default:
		panic(fmt.Sprintf("record: %T is no fact", fact))
	}
	return e.b
}

// ParseValue reads what Value has made for a fact of this kind. What it returns keeps nothing of b, and
// takes no more than 32 bytes for each of b.
func ParseValue(k group.FactKind, b []byte) (any, error) {
	d := decoder{b: b}
	if v := d.int16(); d.err == nil && v != valueVersion {
		return nil, fmt.Errorf("record: a value of version %d, want %d", v, valueVersion)
	}
	var fact any
	switch k {
	case group.FactGroup:
		f := group.GroupFact{Epoch: d.int32()}
		d.tags(func(n uint64, d *decoder) {
			if n == 0 {
				f.Hash = uint64(d.int64())
			}
		})
		fact = f
	case group.FactMember:
		fact = d.member()
	case group.FactTarget:
		fact = group.TargetFact{Epoch: d.int32()}
		d.tags(nil)
	case group.FactTargetMember:
		fact = d.assignment()
		d.tags(nil)
	case group.FactCurrent:
		f := group.CurrentFact{Epoch: d.int32(), Previous: d.int32(), State: group.MemberState(d.int8())}
		if f.State < group.MemberStable || f.State > group.MemberUnreleased {
			d.fail()
		}
		f.Assigned, f.Revoking = d.assignment(), d.assignment()
		d.tags(nil)
		fact = f
	case group.FactPattern:
		f := group.PatternFact{Topics: d.strings()}
		d.int64()
		f.Timestamp = d.int64()
		d.tags(nil)
		fact = f
	default:
		return nil, fmt.Errorf("record: no fact is of kind %d", k)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return fact, nil
}

func (e *encoder) member(f group.MemberFact) {
	e.nullable(f.InstanceID)
	e.nullable(f.Rack)
	e.string(f.ClientID)
	e.string(f.ClientHost)
	e.strings(f.Topics)
	e.nullable(f.Regex)
	e.int32(int32(f.Rebalance.Milliseconds()))
	e.nullable(f.Assignor)
	e.tag(0, f.Classic != nil, func(e *encoder) {
		e.b = append(e.b, 1) // it is not null
		e.int32(int32(f.Classic.Session.Milliseconds()))
		e.count(len(f.Classic.Protocols))
		for _, p := range f.Classic.Protocols {
			e.string(p.Name)
			e.string(string(p.Metadata))
			e.noTags()
		}
		e.noTags()
	})
}

func (d *decoder) member() group.MemberFact {
	f := group.MemberFact{
		InstanceID: d.string(), Rack: d.string(), ClientID: d.string(), ClientHost: d.string(), Topics: d.strings(), Regex: d.string(),
		Rebalance: time.Duration(max(d.int32(), 0)) * time.Millisecond, Assignor: d.string(),
	}
	d.tags(func(n uint64, d *decoder) {
		if n == 0 && d.int8() == 1 {
			f.Classic = d.classic()
		}
	})
	return f
}

func (d *decoder) classic() *group.ClassicFact {
	f := &group.ClassicFact{Session: time.Duration(max(d.int32(), 0)) * time.Millisecond}
	for range d.count() {
		f.Protocols = append(f.Protocols, group.Protocol{Name: d.string(), Metadata: []byte(d.string())})
		if d.tags(nil); d.err != nil {
			break
		}
	}
	d.tags(nil)
	return f
}

func (e *encoder) assignment(a assignor.Assignment) {
	e.count(len(a))
	for _, id := range a.Topics() {
		e.b = append(e.b, id[:]...)
		e.count(len(a[id]))
		for _, p := range a[id] {
			e.int32(p)
		}
		e.noTags()
	}
}

func (d *decoder) assignment() assignor.Assignment {
	a := make(assignor.Assignment)
	for range d.count() {
		var id assignor.TopicID
		copy(id[:], d.bytes(len(id)))
		var partitions []int32
		for range d.count() {
			p := d.bytes(4)
			if d.err != nil {
				return a
			}
			partitions = append(partitions, int32(binary.BigEndian.Uint32(p)))
		}
		if d.tags(nil); d.err != nil {
			return a
		}
		a[id] = append(a[id], partitions...)
	}
	return assignor.Normal(a)
}
