package record

import (
	"encoding/binary"
	"fmt"
	"time"

	"weir/cluster/fields"
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
	e := fields.Encoder{B: []byte{0, valueVersion}}
	switch f := fact.(type) {
	case group.GroupFact:
		e.Int32(f.Epoch)
		e.Tags(fields.Tag{Number: 0, Is: f.Hash != 0, Field: func(e *fields.Encoder) { e.Int64(int64(f.Hash)) }})
	case group.MemberFact:
		appendMember(&e, f)
	case group.TargetFact:
		e.Int32(f.Epoch)
		e.Tags()
	case assignor.Assignment:
		appendAssignment(&e, f)
		e.Tags()
	case group.CurrentFact:
		e.Int32(f.Epoch)
		e.Int32(f.Previous)
		e.B = append(e.B, byte(f.State))
		appendAssignment(&e, f.Assigned)
		appendAssignment(&e, f.Revoking)
		e.Tags()
	case group.PatternFact:
		e.Texts(f.Topics)
		e.Int64(0) // of the metadata that were matched, by a count that is not kept here
		e.Int64(f.Timestamp)
		e.Tags()
	default:
		panic(fmt.Sprintf("record: %T is no fact", fact))
	}
	return e.B
}

// ParseValue reads what Value has made for a fact of this kind. What it returns keeps nothing of b, and
// takes no more than 32 bytes for each of b.
func ParseValue(k group.FactKind, b []byte) (any, error) {
	d := fields.Decoder{B: b}
	if v := d.Int16(); d.Err == nil && v != valueVersion {
		return nil, fmt.Errorf("record: a value of version %d, want %d", v, valueVersion)
	}
	var fact any
	switch k {
	case group.FactGroup:
		f := group.GroupFact{Epoch: d.Int32()}
		d.Tags(func(n uint64, d *fields.Decoder) {
			if n == 0 {
				f.Hash = uint64(d.Int64())
			}
		})
		fact = f
	case group.FactMember:
		fact = readMember(&d)
	case group.FactTarget:
		fact = group.TargetFact{Epoch: d.Int32()}
		d.Tags(nil)
	case group.FactTargetMember:
		fact = readAssignment(&d)
		d.Tags(nil)
	case group.FactCurrent:
		f := group.CurrentFact{Epoch: d.Int32(), Previous: d.Int32(), State: group.MemberState(d.Int8())}
		if f.State < group.MemberStable || f.State > group.MemberUnreleased {
			d.Fail()
		}
		f.Assigned, f.Revoking = readAssignment(&d), readAssignment(&d)
		d.Tags(nil)
		fact = f
	case group.FactPattern:
		f := group.PatternFact{Topics: d.Texts()}
		d.Int64()
		f.Timestamp = d.Int64()
		d.Tags(nil)
		fact = f
	default:
		return nil, fmt.Errorf("record: no fact is of kind %d", k)
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	return fact, nil
}

func appendMember(e *fields.Encoder, f group.MemberFact) {
	e.Nullable(f.InstanceID)
	e.Nullable(f.Rack)
	e.Text(f.ClientID)
	e.Text(f.ClientHost)
	e.Texts(f.Topics)
	e.Nullable(f.Regex)
	e.Int32(int32(f.Rebalance.Milliseconds()))
	e.Nullable(f.Assignor)
	e.Tags(fields.Tag{Number: 0, Is: f.Classic != nil, Field: func(e *fields.Encoder) {
		e.B = append(e.B, 1) // it is not null
		e.Int32(int32(f.Classic.Session.Milliseconds()))
		e.Count(len(f.Classic.Protocols))
		for _, p := range f.Classic.Protocols {
			e.Text(p.Name)
			e.Text(string(p.Metadata))
			e.Tags()
		}
		e.Tags()
	}})
}

func readMember(d *fields.Decoder) group.MemberFact {
	f := group.MemberFact{
		InstanceID: d.Text(), Rack: d.Text(), ClientID: d.Text(), ClientHost: d.Text(), Topics: d.Texts(), Regex: d.Text(),
		Rebalance: time.Duration(max(d.Int32(), 0)) * time.Millisecond, Assignor: d.Text(),
	}
	d.Tags(func(n uint64, d *fields.Decoder) {
		if n == 0 && d.Int8() == 1 {
			f.Classic = readClassic(d)
		}
	})
	return f
}

func readClassic(d *fields.Decoder) *group.ClassicFact {
	f := &group.ClassicFact{Session: time.Duration(max(d.Int32(), 0)) * time.Millisecond}
	for range d.Count() {
		f.Protocols = append(f.Protocols, group.Protocol{Name: d.Text(), Metadata: []byte(d.Text())})
		if d.Tags(nil); d.Err != nil {
			break
		}
	}
	d.Tags(nil)
	return f
}

func appendAssignment(e *fields.Encoder, a assignor.Assignment) {
	e.Count(len(a))
	for _, id := range a.Topics() {
		e.B = append(e.B, id[:]...)
		e.Count(len(a[id]))
		for _, p := range a[id] {
			e.Int32(p)
		}
		e.Tags()
	}
}

func readAssignment(d *fields.Decoder) assignor.Assignment {
	a := make(assignor.Assignment)
	for range d.Count() {
		var id assignor.TopicID
		copy(id[:], d.Bytes(len(id)))
		var partitions []int32
		for range d.Count() {
			p := d.Bytes(4)
			if d.Err != nil {
				return a
			}
			partitions = append(partitions, int32(binary.BigEndian.Uint32(p)))
		}
		if d.Tags(nil); d.Err != nil {
			return a
		}
		a[id] = append(a[id], partitions...)
	}
	return assignor.Normal(a)
}
