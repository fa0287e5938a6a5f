package protocol

import "slices"

// plan is a shape compiled for one version: what the guard does per struct.
type plan struct {
	flexible bool
	steps    []step
	tags     []taggedStep
	decoded  int // bytes of the struct in kmsg
	minBytes int // least bytes on the wire
}

// step is one field; neighbouring fields of fixed size share one.
type step struct {
	name     string
	kind     kind
	nullable bool
	size     int   // kindFixed: bytes on the wire
	plain    *step // kindArray of values
	elem     *plan // kindArray of structs, kindStruct
	decoded  int   // kindArray: bytes of an element in kmsg
	minBytes int   // kindArray: least bytes of an element on the wire
}

type taggedStep struct {
	number uint32
	step   step
}

// plans holds the plans by key, then by version; versions that are not served are nil.
var plans = compilePlans()

// flexibleFrom holds the first flexible version by key.
var flexibleFrom = func() map[int16]int16 {
	m := make(map[int16]int16)
	for _, s := range allShapes() {
		m[s.key] = s.flexible
	}
	return m
}()

// flexible reports whether a version of a served API has compact lengths and tags.
func flexible(key, version int16) bool {
	first, ok := flexibleFrom[key]
	return ok && version >= first
}

// planOf is the plan of a served version, else nil.
func planOf(key, version int16) *plan {
	versions := plans[key]
	if version < 0 || int(version) >= len(versions) {
		return nil
	}
	return versions[version]
}

func allShapes() []shape {
	return slices.Concat(dataShapes, transactionShapes, groupShapes, adminShapes)
}

func compilePlans() map[int16][]*plan {
	m := make(map[int16][]*plan)
	for _, s := range allShapes() {
		api, ok := Lookup(s.key)
		if !ok {
			continue
		}
		m[s.key] = make([]*plan, api.Max+1)
		for v := api.Floor; v <= api.Max; v++ {
			m[s.key][v] = compile(s.fields, v, v >= s.flexible)
		}
	}
	return m
}

func compile(fields []field, version int16, flexible bool) *plan {
	p := &plan{flexible: flexible, decoded: structBytes}
	for _, f := range fields {
		p.decoded += (f.decoded + 7) &^ 7 // kmsg's structs have the fields of all versions
		if !f.in(version) {
			continue
		}
		s := compileField(f, version, flexible)
		if f.tag >= 0 {
			p.tags = append(p.tags, taggedStep{uint32(f.tag), s})
			continue
		}
		p.minBytes += s.wireBytes(flexible)
		if n := len(p.steps); n > 0 && s.kind == kindFixed && p.steps[n-1].kind == kindFixed {
			p.steps[n-1].size += s.size
			continue
		}
		p.steps = append(p.steps, s)
	}
	if flexible {
		p.minBytes++
	}
	return p
}

func compileField(f field, version int16, flexible bool) step {
	s := step{name: f.name, kind: f.kind, size: f.size, nullable: version >= f.nullable}
	switch {
	case f.kind == kindArray && len(f.elem) == 1 && f.elem[0].name == "":
		plain := compileField(f.elem[0], version, flexible)
		s.plain = &plain
		s.decoded, s.minBytes = f.elem[0].decoded, plain.wireBytes(flexible)
	case f.kind == kindArray:
		s.elem = compile(f.elem, version, flexible)
		s.decoded, s.minBytes = s.elem.decoded, s.elem.minBytes
	case f.kind == kindStruct:
		s.elem = compile(f.elem, version, flexible)
		if !s.nullable {
			s.decoded = 0
		} else {
			s.decoded = s.elem.decoded
		}
	}
	return s
}

// wireBytes is the least a field takes on the wire.
func (s step) wireBytes(flexible bool) int {
	switch {
	case s.kind == kindFixed:
		return s.size
	case s.kind == kindStruct && s.nullable:
		return 1
	case s.kind == kindStruct:
		return s.elem.minBytes
	case flexible:
		return 1
	case s.kind == kindString:
		return 2
	default:
		return 4
	}
}
