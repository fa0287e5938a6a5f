package recordbatch

import "encoding/binary"

// Marker is what a control batch says (KIP-98): how its producer's transaction ended in
// this partition.
type Marker struct {
	Commit           bool
	CoordinatorEpoch int32 // of the transaction coordinator that wrote it
}

// The one record of a marker, big endian; what follows in later versions is passed over.
//
//	key    version int16 = 0, type int16
//	value  version int16 = 0, coordinator epoch int32
const (
	markerKeyBytes   = 4
	markerValueBytes = 6

	markerAbort  = 0
	markerCommit = 1
)

// AppendMarker appends the control batch of m to dst. It takes one offset. Of h it takes the
// base offset, leader epoch, producer id and epoch; millis is its timestamp.
func AppendMarker(dst []byte, h Header, m Marker, millis int64) ([]byte, error) {
	h.Attributes, h.BaseSequence = attributeTransactional|attributeControl, -1
	kind := uint16(markerAbort)
	if m.Commit {
		kind = markerCommit
	}
	key := binary.BigEndian.AppendUint16(make([]byte, 2, markerKeyBytes), kind)
	value := binary.BigEndian.AppendUint32(make([]byte, 2, markerValueBytes), uint32(m.CoordinatorEpoch))
	return AppendBatch(dst, h, CodecNone, []Record{{Timestamp: millis, Key: key, Value: value}})
}

// ParseMarker reads the control batch b. Errors: those of Records, and *InvalidRecordError
// for a batch that is no marker.
func ParseMarker(b []byte) (Marker, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Marker{}, err
	}
	if !h.IsControl() || h.RecordCount != 1 {
		return Marker{}, invalidf("a batch of attributes %#x and %d records is no marker", h.Attributes, h.RecordCount)
	}
	var m Marker
	for r, err := range Records(b, 0) {
		if err == nil {
			m, err = MarkerOf(r)
		}
		if err != nil {
			return Marker{}, err
		}
	}
	return m, nil
}

// MarkerOf reads the record of a control batch: *InvalidRecordError for one that is no marker's.
func MarkerOf(r Record) (Marker, error) {
	be := binary.BigEndian
	if len(r.Key) < markerKeyBytes || len(r.Value) < markerValueBytes || int16(be.Uint16(r.Key)) < 0 || int16(be.Uint16(r.Value)) < 0 {
		return Marker{}, invalidf("a control record has key %x and value %x", r.Key, r.Value)
	}
	kind := be.Uint16(r.Key[2:])
	if kind != markerAbort && kind != markerCommit {
		return Marker{}, invalidf("a control record has type %d, want %d or %d", kind, markerAbort, markerCommit)
	}
	return Marker{Commit: kind == markerCommit, CoordinatorEpoch: int32(be.Uint32(r.Value[2:]))}, nil
}
