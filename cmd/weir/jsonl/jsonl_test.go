package jsonl

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// nullable draws null, empty, text and arbitrary bytes, all of them often.
func nullable() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.Just([]byte(nil)),
		rapid.Just([]byte{}),
		rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
		rapid.SliceOfN(rapid.Byte(), 1, 40),
		rapid.SampledFrom([][]byte{[]byte("null"), []byte("\x00\x1f\x7f\"\\/<>&\u2028\ufffd\U0001f600"), {0xff}, {0xed, 0xa0, 0x80}}),
	)
}

func drawRecord(t *rapid.T) *kgo.Record {
	r := &kgo.Record{
		Topic:     rapid.StringMatching(`[a-zA-Z0-9._-]{1,30}`).Draw(t, "topic"),
		Partition: rapid.Int32().Draw(t, "partition"),
		Offset:    rapid.Int64().Draw(t, "offset"),
		Timestamp: time.UnixMilli(rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1<<42),
			rapid.SampledFrom([]int64{-1, 0, math.MaxInt64, math.MinInt64, minTime, minTime - 1, maxTime, maxTime - 1}),
		).Draw(t, "millis")),
		Key:   nullable().Draw(t, "key"),
		Value: nullable().Draw(t, "value"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		r.Headers = append(r.Headers, kgo.RecordHeader{
			Key: string(nullable().Draw(t, "header key")), Value: nullable().Draw(t, "header value")})
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		line := Append([]byte("prefix"), want)[len("prefix"):]
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' || !json.Valid(line) {
			t.Fatalf("not one line of JSON: %q", line)
		}
		got, given, err := Parse(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if given != (Given{Topic: true, Partition: true, Timestamp: true}) {
			t.Fatalf("given = %+v", given)
		}
		checkSame(t, got, want)
	})
}

type fataler interface{ Fatalf(string, ...any) }

func checkSame(t fataler, got, want *kgo.Record) {
	if got.Topic != want.Topic || got.Partition != want.Partition || got.Offset != want.Offset ||
		got.Timestamp.UnixMilli() != want.Timestamp.UnixMilli() ||
		!same(got.Key, want.Key) || !same(got.Value, want.Value) || len(got.Headers) != len(want.Headers) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	for i, h := range want.Headers {
		if got.Headers[i].Key != h.Key || !same(got.Headers[i].Value, h.Value) {
			t.Fatalf("header %d: got %+v, want %+v", i, got.Headers[i], h)
		}
	}
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestAppend(t *testing.T) {
	when := time.Date(2026, 11, 23, 9, 41, 7, 412e6, time.FixedZone("", 3600))
	for want, r := range map[string]*kgo.Record{
		`{"topic":"orders","partition":2,"offset":7,"timestamp":"2026-11-23T08:41:07.412Z","key":"u1","value":"h\"i"}`: {
			Topic: "orders", Partition: 2, Offset: 7, Timestamp: when, Key: []byte("u1"), Value: []byte(`h"i`)},
		`{"topic":"t","partition":0,"offset":0,"timestamp":"2026-11-23T08:41:07.412Z","key":null,"value":""}`: {
			Topic: "t", Timestamp: when, Value: []byte{}},
		`{"topic":"t","partition":0,"offset":0,"timestamp":253402300800000,"key_b64":"/w==","value":"\u007f","headers":[{"key":"a","value":null},{"key_b64":"/w==","value_b64":"gA=="}]}`: {
			Topic: "t", Timestamp: time.UnixMilli(maxTime), Key: []byte{0xff}, Value: []byte{0x7f},
			Headers: []kgo.RecordHeader{{Key: "a"}, {Key: "\xff", Value: []byte{0x80}}}},
	} {
		if got := string(Append(nil, r)); got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}

func TestAppendMeta(t *testing.T) {
	r := &kgo.Record{Topic: "t", Partition: 1, Offset: 5, Timestamp: time.UnixMilli(0), Value: []byte("abc"),
		Headers: make([]kgo.RecordHeader, 2)}
	want := `{"topic":"t","partition":1,"offset":5,"timestamp":"1970-01-01T00:00:00.000Z","key_bytes":-1,"value_bytes":3,"header_count":2}` + "\n"
	if got := string(AppendMeta(nil, r)); got != want {
		t.Errorf("got %s", got)
	}
	if _, _, err := Parse(AppendMeta(nil, r)); err == nil {
		t.Error("a line without content was read as a record")
	}
}

func TestParseByHand(t *testing.T) {
	for line, want := range map[string]kgo.Record{
		`{}`:                               {},
		`{"value":{"a": [1]} }`:            {Value: []byte(`{"a": [1]}`)},
		`{"key":5,"value":true}`:           {Key: []byte("5"), Value: []byte("true")},
		`{"key_b64":"","value_b64":null}`:  {Key: []byte{}},
		`{"value":"\ud83d\ude00\b\f\/"}`:   {Value: []byte("\U0001f600\b\f/")},
		`{"headers":null}`:                 {},
		`{"headers":{"b":"1","a":null}}`:   {Headers: []kgo.RecordHeader{{Key: "b", Value: []byte("1")}, {Key: "a"}}},
		`{"headers":[["b","1"],["b",""]]}`: {Headers: []kgo.RecordHeader{{Key: "b", Value: []byte("1")}, {Key: "b", Value: []byte{}}}},
		`{"timestamp":5,"partition":3,"topic":"x","timestamp_type":"create","offset":1}`: {Topic: "x", Partition: 3, Offset: 1},
	} {
		got, given, err := Parse([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if given.Timestamp {
			want.Timestamp = time.UnixMilli(5)
		}
		checkSame(t, got, &want)
	}
	if _, given, _ := Parse([]byte(`{"timestamp":null}`)); given != (Given{}) {
		t.Errorf("nothing was given, got %+v", given)
	}
	r, _, err := Parse([]byte(`{"timestamp":"2026-11-23T09:41:07.4129+01:00"}`))
	if err != nil || r.Timestamp.UnixMilli() != time.Date(2026, 11, 23, 8, 41, 7, 412e6, time.UTC).UnixMilli() {
		t.Errorf("a time with a zone and more than milliseconds: %v, %v", r, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for line, hint := range map[string]string{
		``:                             "no end",
		`{`:                            "no end",
		`{"value"`:                     "no end",
		`{"value":`:                    "no end",
		`[]`:                           "want a JSON object",
		`{"value":"a"`:                 "no end",
		`{"value":"a"} x`:              "text after",
		`{"value":"a"}{"value":"b"}`:   "text after",
		"{\"value\":\"\xff\"}":         "not valid UTF-8",
		`{"val":"a"}`:                  "val: unknown field",
		`{"value":"a","value_b64":""}`: "value_b64: given beside value",
		`{"key":"a","key":"b"}`:        "key: given twice",
		`{"value_b64":"?"}`:            "value_b64: illegal base64",
		`{"value_b64":"/x=="}`:         "value_b64: illegal base64", // bits that would be lost
		`{"value_b64":5}`:              "not a string",
		`{"value":"\ud800"}`:           "surrogate",
		`{"value":"\ud800\u0041"}`:     "surrogate",
		`{"value":"\ude00\ud83d"}`:     "surrogate",
		`{"partition":2147483648}`:     "partition: 2147483648 is not",
		`{"partition":1.5}`:            "not a whole number",
		`{"timestamp":"soon"}`:         "timestamp: want RFC 3339",
		`{"timestamp":{}}`:             "not a whole number",
		`{"topic":5}`:                  "topic: 5 is not a string",
		`{"headers":[{"value":"x"}]}`:  "headers: header 1: a header needs a key",
		`{"headers":[["a"]]}`:          `want {"key"`,
		`{"headers":"a"}`:              "want a list",
		`{"headers":[{"name":"x"}]}`:   "name: unknown field",
	} {
		if _, _, err := Parse([]byte(line)); err == nil || err == io.EOF || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: error %v, want one with %q", line, err, hint)
		}
	}
}

func TestParseKeepsNothingOfTheLine(t *testing.T) {
	line := []byte(`{"key":"u1","value":{"a":1},"headers":[{"key":"h","value":5}]}`)
	r, _, err := Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	clear(line)
	if string(r.Key) != "u1" || string(r.Value) != `{"a":1}` || string(r.Headers[0].Value) != "5" {
		t.Fatalf("changed with the line: %+v", r)
	}
}

// Whatever Parse accepts, Append writes in a form that means the same record.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"topic":"t","partition":1,"timestamp":"2026-11-23T09:41:07.412Z","key":"k","value":{"a":1}}`))
	f.Add([]byte(`{"key_b64":"/w==","value":null,"headers":[{"key":"a","value":null},["b","\ud83d\ude00"]]}`))
	f.Add([]byte(`{"headers":{"x":"1","x":"2"},"timestamp":-1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, _, err := Parse(line)
		if err != nil {
			return
		}
		again, _, err := Parse(Append(nil, r))
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, again, r)
	})
}
