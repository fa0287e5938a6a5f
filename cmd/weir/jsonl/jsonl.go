// Package jsonl writes records as lines of JSON and reads them back without losing a bit: what
// `weir consume -o jsonl` prints, `weir produce -i jsonl` turns into the same records.
//
//	{"topic":"orders","partition":2,"offset":0,"timestamp":"2026-11-23T09:41:07.412Z",
//	 "key":"u1","value":"hello","headers":[{"key":"trace","value":"1"},{"key":"trace","value":null}]}
//
// Bytes that are valid UTF-8 are a JSON string; others are base64 in a field whose name ends in _b64
// (key_b64, value_b64, also within a header). null and "" differ. Headers keep their order and their
// duplicates. A timestamp that RFC 3339 cannot write (years outside 0-9999) is a number of
// milliseconds since 1970.
package jsonl

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

const timeLayout = "2006-01-02T15:04:05.000Z"

// The first instants before and after what timeLayout can write.
var (
	minTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	maxTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
)

// Append appends r as one line, with the newline, and returns the extended slice.
func Append(dst []byte, r *kgo.Record) []byte {
	dst = appendPlace(dst, r)
	dst = appendBytes(append(dst, ','), "key", r.Key)
	dst = appendBytes(append(dst, ','), "value", r.Value)
	if len(r.Headers) > 0 {
		dst = append(dst, `,"headers":[`...)
		for i, h := range r.Headers {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendBytes(append(dst, '{'), "key", []byte(h.Key)) // a header's key is never null
			dst = appendBytes(append(dst, ','), "value", h.Value)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, '}', '\n')
}

// AppendMeta appends where r is, when it was written and how large it is, without its content, as one
// line. Sizes are in bytes, -1 for null. Parse does not read such lines.
func AppendMeta(dst []byte, r *kgo.Record) []byte {
	dst = appendPlace(dst, r)
	dst = append(dst, `,"key_bytes":`...)
	dst = strconv.AppendInt(dst, size(r.Key), 10)
	dst = append(dst, `,"value_bytes":`...)
	dst = strconv.AppendInt(dst, size(r.Value), 10)
	dst = append(dst, `,"header_count":`...)
	dst = strconv.AppendInt(dst, int64(len(r.Headers)), 10)
	return append(dst, '}', '\n')
}

func size(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}

func appendPlace(dst []byte, r *kgo.Record) []byte {
	dst = append(dst, `{"topic":`...)
	dst = appendString(dst, []byte(r.Topic))
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = appendTime(dst, r.Timestamp)
	if r.Attrs.TimestampType() == 1 {
		dst = append(dst, `,"timestamp_type":"log_append"`...)
	}
	return dst
}

func appendTime(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < minTime || ms >= maxTime {
		return strconv.AppendInt(dst, ms, 10)
	}
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

func appendBytes(dst []byte, name string, b []byte) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	switch {
	case b == nil:
		return append(dst, `":null`...)
	case utf8.Valid(b):
		return appendString(append(dst, `":`...), b)
	}
	dst = append(dst, `_b64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// appendString writes valid UTF-8 as a JSON string. Only what JSON demands is escaped, and DEL, so that
// a line never moves a terminal's cursor.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
