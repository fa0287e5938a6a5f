package recordbatch

import (
	"errors"
	"fmt"
	"iter"
)

// recordFault says what is wrong with the encoding of a record.
type recordFault struct {
	reason string
}

func (e *recordFault) Error() string { return e.reason }

func faultf(format string, args ...any) error {
	return &recordFault{reason: fmt.Sprintf(format, args...)}
}

// record reads the next record:
//
//	length varint, attributes int8, timestamp delta varlong, offset delta varint,
//	key length varint, key, value length varint, value, header count varint,
//	then per header: key length varint, key, value length varint, value
func (s *scanner) record(f *fields) error {
	length, err := s.varint32()
	if err != nil {
		return err
	}
	if length < 0 {
		return faultf("a record has length %d", length)
	}
	if s.source == nil && length > s.end-s.pos {
		return errShort
	}
	if s.whole && length > s.end-s.pos {
		if err := s.more(length); err != nil {
			return err
		}
	}
	stop := s.offset() + length
	if err := s.skip(1); err != nil { // attributes: none are defined
		return err
	}
	if f.timestampDelta, err = s.varint(); err != nil {
		return err
	}
	delta, err := s.varint32()
	if err != nil {
		return err
	}
	f.offsetDelta = int32(delta)
	if f.key, err = s.bytes(stop); err != nil {
		return err
	}
	if f.value, err = s.bytes(stop); err != nil {
		return err
	}
	if err := s.headers(f, stop); err != nil {
		return err
	}
	if s.offset() != stop {
		return faultf("a record of length %d has fields of %d bytes", length, s.offset()-stop+length)
	}
	return nil
}

// bytes passes nullable bytes that end at stop at the latest.
func (s *scanner) bytes(stop int) (span, error) {
	n, err := s.varint32()
	if err != nil {
		return span{}, err
	}
	if n < -1 || n > stop-s.offset() {
		return span{}, faultf("a field has length %d with %d bytes of its record left", n, stop-s.offset())
	}
	found := span{s.pos, n}
	if n > 0 {
		err = s.skip(n)
	}
	return found, err
}

func (s *scanner) headers(f *fields, stop int) (err error) {
	if f.headers, err = s.varint32(); err != nil {
		return err
	}
	if f.headers < 0 || f.headers > MaxRecordHeaders {
		return faultf("a record has %d headers, more than %d or fewer than 0", f.headers, MaxRecordHeaders)
	}
	f.headersPos = s.pos
	for range f.headers {
		key, err := s.bytes(stop)
		if err != nil {
			return err
		}
		if key.size < 0 {
			return faultf("a header has a null key")
		}
		if _, err := s.bytes(stop); err != nil {
			return err
		}
	}
	return nil
}

// next reads a record and gives its errors their public types.
func (s *scanner) next(f *fields) error {
	err := s.record(f)
	if err == nil {
		return nil
	}
	var fault *recordFault
	if errors.As(err, &fault) {
		return &InvalidRecordError{Reason: fault.reason}
	}
	return s.failure(err)
}

func (s *scanner) slice(p span) []byte {
	if p.size < 0 {
		return nil
	}
	return s.buf[p.pos : p.pos+p.size : p.pos+p.size]
}

// Stamp is what is known of a record without its content.
type Stamp struct {
	Offset    int64
	Timestamp int64 // milliseconds
	HasKey    bool
}

// Stamps walks the records of the batch that b starts with, without
// materialising them: memory is constant whatever they decompress to, at most
// maxDecodedBytes (0 = DefaultMaxDecodedBytes). The errors are those of Records.
func Stamps(b []byte, maxDecodedBytes int) iter.Seq2[Stamp, error] {
	return func(yield func(Stamp, error) bool) {
		err := walk(b, maxDecodedBytes, false, func(h Header, s *scanner, f *fields) bool {
			return yield(Stamp{
				Offset:    h.BaseOffset + int64(f.offsetDelta),
				Timestamp: h.timestamp(f),
				HasKey:    f.key.size >= 0,
			}, nil)
		})
		if err != nil {
			yield(Stamp{}, err)
		}
	}
}

// Records walks the records of the batch that b starts with, of any codec. Key,
// Value and Headers of a record live until the next step; header keys and
// uncompressed content, which aliases b, longer. At most one record is held
// decompressed, and no more than maxDecodedBytes (0 = DefaultMaxDecodedBytes) are
// decompressed in all. An error ends the walk: *CorruptError for a header that is
// cut off or not of magic 2, *InvalidRecordError for records that do not parse,
// *TooLargeError, *UnsupportedCodecError. The CRC is not looked at.
func Records(b []byte, maxDecodedBytes int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var headers []RecordHeader
		err := walk(b, maxDecodedBytes, true, func(h Header, s *scanner, f *fields) bool {
			headers = s.appendHeaders(headers[:0], f)
			return yield(Record{
				Offset:    h.BaseOffset + int64(f.offsetDelta),
				Timestamp: h.timestamp(f),
				Key:       s.slice(f.key),
				Value:     s.slice(f.value),
				Headers:   headers,
			}, nil)
		})
		if err != nil {
			yield(Record{}, err)
		}
	}
}

func (h Header) timestamp(f *fields) int64 {
	if h.LogAppendTime() {
		return h.MaxTimestamp
	}
	return h.BaseTimestamp + f.timestampDelta
}

// appendHeaders reads the headers of a whole record again, which record has checked.
func (s *scanner) appendHeaders(dst []RecordHeader, f *fields) []RecordHeader {
	again := scanner{buf: s.buf, pos: f.headersPos, end: s.end}
	for range f.headers {
		key, _ := again.bytes(s.end)
		value, _ := again.bytes(s.end)
		dst = append(dst, RecordHeader{Key: string(again.slice(key)), Value: again.slice(value)})
	}
	return dst
}

// walk calls visit for every record until it returns false.
func walk(b []byte, limit int, whole bool, visit func(Header, *scanner, *fields) bool) error {
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	if h.Magic != Magic {
		return corruptf("record batch has magic %d, want %d", h.Magic, Magic)
	}
	if h.SizeBytes() > len(b) {
		return corruptf("record batch has %d of its %d bytes", len(b), h.SizeBytes())
	}
	if h.RecordCount == 0 {
		return nil // what compaction leaves of a batch has no records, of no codec
	}
	var s scanner
	if err := s.open(b[HeaderBytes:h.SizeBytes()], h.Codec(), limit, whole); err != nil {
		return err
	}
	defer s.release(h.Codec())
	var f fields
	for range h.RecordCount {
		if err := s.next(&f); err != nil {
			return err
		}
		if !visit(h, &s, &f) {
			return nil
		}
	}
	return nil
}
