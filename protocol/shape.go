package protocol

// A shape describes the bytes of one request type in all its versions, field by
// field in the order of the wire. It is compiled into one plan per version,
// which the guard walks.

type kind uint8

const (
	kindFixed  kind = iota // size bytes
	kindString             // int16 or uvarint length; copied by kmsg
	kindBytes              // int32 or uvarint length; aliased by kmsg
	kindArray              // int32 or uvarint count of elements
	kindStruct             // elem in place; where null is allowed, behind one byte, -1 for null
)

const maxVersion = 99

type field struct {
	name     string
	kind     kind
	size     int // kindFixed: bytes
	from, to int16
	nullable int16 // first version in which null is allowed
	tag      int   // number of a tagged field, -1 for a plain one
	elem     []field
	decoded  int // bytes of the field in kmsg's struct, without what it points to
}

// shape is one request type; flexible is its first flexible version.
type shape struct {
	key      int16
	flexible int16
	fields   []field
}

// Bytes that kmsg's structs hold per kind of field on a 64-bit machine; a test
// compares what they add up to with the real types. structBytes is what every
// struct may hold besides the fields here: its tag map and a field from below the
// API's floor.
const (
	stringBytes  = 16
	pointerBytes = 8
	sliceBytes   = 24
	structBytes  = 16
)

func fixed(name string, size int) field {
	return field{name: name, kind: kindFixed, size: size, to: maxVersion, nullable: maxVersion + 1, tag: -1, decoded: size}
}

func boolean(name string) field  { return fixed(name, 1) }
func int8s(name string) field    { return fixed(name, 1) }
func int16s(name string) field   { return fixed(name, 2) }
func int32s(name string) field   { return fixed(name, 4) }
func int64s(name string) field   { return fixed(name, 8) }
func float64s(name string) field { return fixed(name, 8) }
func uuid(name string) field     { return fixed(name, 16) }

func str(name string) field {
	return field{name: name, kind: kindString, to: maxVersion, nullable: maxVersion + 1, tag: -1, decoded: stringBytes}
}

// records is a nullable byte array.
func records(name string) field {
	return field{name: name, kind: kindBytes, to: maxVersion, tag: -1, decoded: sliceBytes}
}

// opaque is a byte array.
func opaque(name string) field {
	return field{name: name, kind: kindBytes, to: maxVersion, nullable: maxVersion + 1, tag: -1, decoded: sliceBytes}
}

// array has elements made of the given fields; a single unnamed field makes an
// array of plain values, which have no tag section.
func array(name string, elem ...field) field {
	return field{name: name, kind: kindArray, to: maxVersion, nullable: maxVersion + 1, tag: -1, elem: elem, decoded: sliceBytes}
}

// group is a struct that is not an array's element.
func group(name string, elem ...field) field {
	return field{name: name, kind: kindStruct, to: maxVersion, nullable: maxVersion + 1, tag: -1, elem: elem}
}

// since limits a field to versions from first on, only to first up to and with last.
func (f field) since(first int16) field      { f.from = first; return f }
func (f field) only(first, last int16) field { f.from, f.to = first, last; return f }

// orNull allows null from version first on. kmsg keeps such a string or struct
// behind a pointer in every version.
func (f field) orNull(first int16) field {
	f.nullable = first
	if f.kind == kindString || f.kind == kindStruct {
		f.decoded = pointerBytes
	}
	return f
}

// tagged makes f a tagged field.
func (f field) tagged(number int) field { f.tag = number; return f }

func (f field) in(version int16) bool { return version >= f.from && version <= f.to }
