//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"weir/interop/job"
)

// namedRecord is a record with the name under which a client may say that it cannot send it.
type namedRecord struct {
	name   string
	record job.Record
}

// cases are the shapes a record can have. Each is distinct from every other of every run, so that a
// client that does not say where a record went can still be checked: id is part of a key or of a value.
func cases(id string) []namedRecord {
	key, value := []byte("key of "+id), []byte("value of "+id)
	header := func(headers ...job.Header) job.Record { return job.Record{Key: key, Value: value, Headers: headers} }
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	noise := make([]byte, 20_000)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(noise)
	records := []namedRecord{
		{"plain", job.Record{Key: key, Value: value}},
		{"unicode", job.Record{
			Key: []byte("ключ Ω 鍵"), Value: []byte("naïve 🌊 значение " + id),
			Headers: []job.Header{{Name: "заголовок", Value: []byte("värde")}},
		}},
		{"null key", job.Record{Value: value}},
		{"tombstone", job.Record{Key: key}},
		{"empty value", job.Record{Key: key, Value: []byte{}}},
		{"empty key", job.Record{Key: []byte{}, Value: value}},
		{"null key and value", job.Record{}},
		{"null key and empty value", job.Record{Value: []byte{}}},
		{"one header", header(job.Header{Name: "trace", Value: []byte("00-4bf9-01")})},
		{"repeated header", header(
			job.Header{Name: "a", Value: []byte("1")}, job.Header{Name: "a", Value: []byte("2")},
			job.Header{Name: "b", Value: []byte("3")})},
		{"empty header value", header(job.Header{Name: "empty", Value: []byte{}})},
		{"null header value", header(job.Header{Name: "null"})},
		{"binary header", header(job.Header{Name: "bytes", Value: everyByte})},
		{"binary", job.Record{Key: everyByte, Value: slices.Concat(value, everyByte)}},
		{"compressible", job.Record{Key: key, Value: bytes.Repeat(slices.Concat(value, []byte{' '}), 4000)}},
		{"incompressible", job.Record{Key: key, Value: slices.Concat(value, noise)}},
	}
	for i := range 60 {
		records = append(records, namedRecord{"in order", job.Record{
			Key: fmt.Appendf(nil, "account-%d", i%6), Value: fmt.Appendf(nil, "%s, number %d", id, i),
		}})
	}
	return records
}

// runs are what one client produces: each codec without idempotence, then with it, as far as it can.
// Timestamps ascend by 10 ms from firstTimestamp over all of them.
func runs(c *client, firstTimestamp int64) []job.Run {
	var result []job.Run
	timestamp := firstTimestamp
	for _, idempotent := range []bool{false, true} {
		if idempotent && c.notIdempotent {
			continue
		}
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			run := job.Run{Codec: codec, Idempotent: idempotent}
			for _, named := range cases(fmt.Sprintf("%s %s %t", c.name, codec, idempotent)) {
				if slices.Contains(c.cannotSend, named.name) {
					continue
				}
				named.record.Timestamp = timestamp
				timestamp += 10
				run.Records = append(run.Records, named.record)
			}
			result = append(result, run)
		}
	}
	return result
}

// sameContent compares what a producer decides: key, value and headers, null apart from empty.
func sameContent(want, got job.Record) bool {
	if !sameBytes(want.Key, got.Key) || !sameBytes(want.Value, got.Value) {
		return false
	}
	if got.HeaderText != nil {
		return *got.HeaderText == headerText(want.Headers)
	}
	return slices.EqualFunc(want.Headers, got.Headers, func(a, b job.Header) bool {
		return a.Name == b.Name && sameBytes(a.Value, b.Value)
	})
}

func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// headerText is how kcat prints headers: it stops a value at its first zero byte.
func headerText(headers []job.Header) string {
	var parts []string
	for _, h := range headers {
		value := "NULL"
		if h.Value != nil {
			value, _, _ = strings.Cut(string(h.Value), "\x00")
		}
		parts = append(parts, h.Name+"="+value)
	}
	return strings.Join(parts, ",")
}

// describe shortens a record for a failure's text.
func describe(r job.Record) string {
	short := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%.60q (%d bytes)", b, len(b))
	}
	headers := fmt.Sprintf("%.200q", r.Headers)
	if r.HeaderText != nil {
		headers = fmt.Sprintf("%.200q", *r.HeaderText)
	}
	return fmt.Sprintf("%d@%d at %d key %s value %s headers %s",
		r.Partition, r.Offset, r.Timestamp, short(r.Key), short(r.Value), headers)
}
