package recordbatch

// Rules are the limits of a topic and what the request allows.
type Rules struct {
	MaxBytes        int  // of the batch as sent; 0 = no limit
	MaxDecodedBytes int  // of the records, decompressed; 0 = DefaultMaxDecodedBytes
	RequireKeys     bool // the topic is compacted
	// NowMillis is the broker's time. 0 switches the bounds on timestamps off.
	NowMillis int64
	// Records may be older or newer than NowMillis by this much; math.MaxInt64 =
	// no limit. Under LogAppendTime they are not looked at.
	TimestampBeforeMaxMillis int64
	TimestampAfterMaxMillis  int64
	// LogAppendTime stamps the batch with NowMillis instead.
	LogAppendTime bool
	AllowControl  bool // markers, which clients may not write
	RefuseZstd    bool // Produce below version 7 (KIP-110)
}

// maxRecordErrors bounds the records named in an error.
const maxRecordErrors = 100

// noTimestamp stands for no timestamp in a record.
const noTimestamp = -1

// Validate checks that b is one whole record batch that a broker may store, in
// the order in which Kafka's broker does: one batch and no byte more, magic 2,
// codec, base offset 0, size, CRC, counts, control bit, sequence, and then every
// record, for which compressed batches are decompressed in constant memory.
//
// Like Kafka it corrects the batch in place instead of refusing it in one case:
// under create time a max timestamp that is not the records' own. Under
// Rules.LogAppendTime it stamps the batch. Either way the CRC is renewed and the
// header returned is that of b afterwards. b is as it was when an error is
// returned, and always if neither was needed.
//
// Kafka numbers the records of compressed batches anew if their offset deltas are
// not 0, 1, 2, ...; here they are refused, since no current client sends them.
//
// Errors: *InvalidRecordError, *CorruptError, *TooLargeError, *TimestampError,
// *UnsupportedCodecError.
func Validate(b []byte, r Rules) (Header, error) {
	h, err := validateHeader(b, r)
	if err != nil {
		return h, err
	}
	highest, err := validateRecords(b, h, r)
	if err != nil {
		return h, err
	}
	switch {
	case r.LogAppendTime:
		SetLogAppendTime(b, r.NowMillis)
	case highest != h.MaxTimestamp:
		SetMaxTimestamp(b, highest)
	default:
		return h, nil
	}
	return ParseHeader(b)
}

func validateHeader(b []byte, r Rules) (Header, error) {
	if len(b) <= positionMagic {
		return Header{}, invalidf("%d bytes hold no record batch", len(b))
	}
	switch magic := int8(b[positionMagic]); {
	case magic == 0 || magic == 1:
		return Header{Magic: magic}, invalidf("record batch has magic %d, want %d", magic, Magic)
	case magic != Magic:
		return Header{Magic: magic}, corruptf("record batch has magic %d, want %d", magic, Magic)
	}
	h, err := ParseHeader(b)
	if err != nil {
		return h, err
	}
	if h.SizeBytes() > len(b) {
		return h, invalidf("record batch is cut off, %d of %d bytes are there", len(b), h.SizeBytes())
	}
	if h.SizeBytes() < len(b) {
		return h, invalidf("%d bytes follow the record batch, want exactly one batch", len(b)-h.SizeBytes())
	}
	if !h.Codec().Known() || r.RefuseZstd && h.Codec() == CodecZstd {
		return h, &UnsupportedCodecError{Codec: h.Codec()}
	}
	if h.BaseOffset != 0 {
		return h, invalidf("record batch has base offset %d, want 0", h.BaseOffset)
	}
	if r.MaxBytes > 0 && len(b) > r.MaxBytes {
		return h, &TooLargeError{SizeBytes: len(b), MaxBytes: r.MaxBytes}
	}
	if err := VerifyChecksum(b); err != nil {
		return h, err
	}
	return h, validateFields(h, r)
}

// validateFields checks what the CRC covers of a header.
func validateFields(h Header, r Rules) error {
	switch count := int64(h.LastOffsetDelta) + 1; {
	case count <= 0:
		return invalidf("record batch has last offset delta %d", h.LastOffsetDelta)
	case count != int64(h.RecordCount):
		return invalidf("record batch has %d records but last offset delta %d", h.RecordCount, h.LastOffsetDelta)
	}
	if h.IsControl() && !r.AllowControl {
		return invalidf("clients may not write control batches")
	}
	if h.IsTransactional() && h.ProducerID < 0 {
		return invalidf("a batch of a transaction has no producer id")
	}
	if h.ProducerID >= 0 && h.BaseSequence < 0 && !h.IsControl() {
		return invalidf("producer id %d comes with base sequence %d", h.ProducerID, h.BaseSequence)
	}
	return nil
}

// validateRecords checks every record and returns the highest timestamp.
func validateRecords(b []byte, h Header, r Rules) (highest int64, err error) {
	var s scanner
	if err := s.open(b[HeaderBytes:], h.Codec(), r.MaxDecodedBytes, false); err != nil {
		return 0, err
	}
	defer s.release(h.Codec())
	highest = noTimestamp
	var f fields
	var faults recordFaults
	for i := range h.RecordCount {
		if err := s.next(&f); err != nil {
			return 0, err
		}
		if f.offsetDelta != i {
			return 0, invalidf("record %d has offset delta %d", i, f.offsetDelta)
		}
		timestamp := h.BaseTimestamp + f.timestampDelta
		highest = max(highest, timestamp)
		switch {
		case r.RequireKeys && f.key.size < 0 && !h.IsControl():
			faults.add(i, "a compacted topic takes no record without a key", false)
		case h.LogAppendTime():
			faults.add(i, "a producer may not set log append time", true)
		case !r.accepts(timestamp):
			faults.add(i, "the timestamp is outside what the topic allows", true)
		}
	}
	if err := faults.err(); err != nil {
		return 0, err
	}
	end, err := s.atEnd()
	if err != nil {
		return 0, s.failure(err)
	}
	if !end {
		return 0, invalidf("bytes follow record %d, the last by the record count", h.RecordCount-1)
	}
	return highest, nil
}

// accepts reports whether a create time is within the topic's bounds.
func (r *Rules) accepts(timestamp int64) bool {
	if r.LogAppendTime || r.NowMillis == 0 || timestamp == noTimestamp {
		return true
	}
	// Unsigned differences, since the timestamp is any 64-bit number.
	if timestamp <= r.NowMillis {
		return uint64(r.NowMillis)-uint64(timestamp) <= uint64(r.TimestampBeforeMaxMillis)
	}
	return uint64(timestamp)-uint64(r.NowMillis) <= uint64(r.TimestampAfterMaxMillis)
}

// recordFaults gathers the records at fault.
type recordFaults struct {
	errors    []RecordError
	timestamp bool // at least one is at fault for its timestamp
}

func (f *recordFaults) add(index int32, message string, timestamp bool) {
	f.timestamp = f.timestamp || timestamp
	if len(f.errors) < maxRecordErrors {
		f.errors = append(f.errors, RecordError{BatchIndex: index, Message: message})
	}
}

// err is the error of the batch: a timestamp at fault outweighs a missing key.
func (f *recordFaults) err() error {
	switch {
	case len(f.errors) == 0:
		return nil
	case f.timestamp:
		return &TimestampError{Reason: "one or more records have an invalid timestamp", RecordErrors: f.errors}
	default:
		return &InvalidRecordError{Reason: "one or more records have been rejected", RecordErrors: f.errors}
	}
}
