package record

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/output"
)

var when = time.Date(2026, 11, 23, 9, 41, 7, 412e6, time.UTC)

func TestFilter(t *testing.T) {
	r := &kgo.Record{Key: []byte("u1"), Value: []byte("order paid: 5=5"), Headers: []kgo.RecordHeader{
		{Key: "type", Value: []byte("test")}, {Key: "type", Value: []byte("real")}, {Key: "none"}}}
	tombstone := &kgo.Record{Key: []byte("u2")}
	for filter, want := range map[string][2]bool{ // of r, of the tombstone
		"key=u1": {true, false}, "key!=u1": {false, true}, "key:u": {true, true}, "key~^u[1-9]$": {true, true},
		"value:paid": {true, false}, "value!:paid": {false, true}, "value:paid: 5=5": {true, false}, "value~": {true, false},
		"header.type=real": {true, false}, "header.type=fake": {false, false}, "header.none=": {false, false},
		"header.type!=real": {false, true}, "header.gone!=x": {true, true}, "header.type~^t|^r": {true, false},
	} {
		f, err := ParseFilter([]string{filter})
		if err != nil {
			t.Errorf("%s: %v", filter, err)
		} else if got := [2]bool{f.Match(r), f.Match(tombstone)}; got != want {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
	}
	both, err := ParseFilter([]string{"key=u1", "value:gone"})
	if err != nil || both.Match(r) {
		t.Errorf("all conditions must hold: %v", err)
	}
	if !Filter(nil).Match(r) {
		t.Error("no condition refuses")
	}
	for _, bad := range []string{"", "paid", "offset=5", "header=5", "header.=5", "key~(", "ke!y=5"} {
		if _, err := ParseFilter([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func records() []*kgo.Record {
	return []*kgo.Record{
		{Topic: "orders", Partition: 2, Offset: 0, Timestamp: when, Key: []byte("u1"), Value: []byte("hello")},
		{Topic: "orders", Partition: 0, Offset: 17, Timestamp: when.AddDate(0, 0, -1), Value: []byte("a\nb"),
			Headers: []kgo.RecordHeader{{Key: "t", Value: []byte("1")}, {Key: "t"}}},
		{Topic: "orders", Partition: 0, Offset: 18, Timestamp: when, Key: []byte{}},
	}
}

func write(t *testing.T, o Options, records ...*kgo.Record) string {
	t.Helper()
	o.Now = when
	var b bytes.Buffer
	w, err := NewWriter(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	for want, o := range map[string]Options{
		"orders[2]@0  09:41:07.412  u1  hello\n" +
			"orders[0]@17  2026-11-22T09:41:07.412Z  -  \"a\\nb\"  {t:1, t:<null>}\n" +
			"orders[0]@18  09:41:07.412  \"\"  <null>\n": {Format: Text},
		"orders[2]@0  09:41:07.412  key 2 B  value 5 B  0 headers\n" +
			"orders[0]@17  2026-11-22T09:41:07.412Z  key null  value 3 B  2 headers\n" +
			"orders[0]@18  09:41:07.412  key 0 B  value null  0 headers\n": {Format: Text, Meta: true},
		"helloa\nb":       {Format: Raw},
		"hello\na\nb\n\n": {Format: Value},
		"orders[2]@0  2026-11-23T09:41:07.412Z  7531  68656c6c6f\n" +
			"orders[0]@17  2026-11-22T09:41:07.412Z  -  610a62\n" +
			"orders[0]@18  2026-11-23T09:41:07.412Z  \"\"  -\n": {Format: Hex},
		"TOPIC   PARTITION  OFFSET  TIMESTAMP                 KEY  VALUE   HEADERS\n" +
			"orders  2          0       2026-11-23T09:41:07.412Z  u1   hello   -\n" +
			"orders  0          17      2026-11-22T09:41:07.412Z  -    \"a\\nb\"  {t:1, t:<null>}\n" +
			"orders  0          18      2026-11-23T09:41:07.412Z  \"\"   <null>  -\n": {Format: output.Table},
		"2/0 u1=hello 5%s\n0/17 =a\nb 3%s\n0/18 = 0%s\n": {Template: `%p/%o %k=%s %S%%s\n`},
	} {
		if got := write(t, o, records()...); got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", o, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	for n, meta := range []bool{true, false, true, false} {
		var list []map[string]any
		text := write(t, Options{Format: output.JSON, Meta: meta}, records()[:n]...)
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != n {
			t.Errorf("%d records: %v\n%s", n, err, text)
		}
	}
	lines := write(t, Options{Format: output.JSONL}, records()...)
	if got := strings.Count(lines, "\n"); got != 3 {
		t.Errorf("%d lines:\n%s", got, lines)
	}
	if meta := write(t, Options{Format: output.JSONL, Meta: true}, records()...); strings.Contains(meta, "hello") {
		t.Errorf("content in meta data: %s", meta)
	}
}

func TestLongTable(t *testing.T) {
	many := make([]*kgo.Record, 2500)
	for i := range many {
		many[i] = &kgo.Record{Topic: "t", Offset: int64(i), Timestamp: when, Value: bytes.Repeat([]byte("é"), 100)}
	}
	text := write(t, Options{Format: output.Table}, many...)
	if n := strings.Count(text, "\n"); n != 2501 || strings.Count(text, "OFFSET") != 1 {
		t.Errorf("%d lines, %d titles", n, strings.Count(text, "OFFSET"))
	}
	if !strings.Contains(text, strings.Repeat("é", cellRunes-1)+"…  ") {
		t.Error("a long value is not cut")
	}
	if got := write(t, Options{Format: output.Table}); !strings.HasPrefix(got, "TOPIC") {
		t.Errorf("no record, no title: %q", got)
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, o := range []Options{{Format: "xml"}, {Format: Raw, Meta: true}, {Format: Hex, Meta: true}, {Template: "%"}, {Template: "%q"}} {
		if _, err := NewWriter(nil, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestKcatAliases(t *testing.T) {
	for layout, want := range map[string]string{
		"%s %S": "%v %V", "%%s": "%%s", `\%s`: `\%s`, "%": "%", "%d{strftime[%S]} %s": "%d{strftime[%S]} %v", "%h{%k=%v }%s": "%h{%k=%v }%v",
	} {
		if got, _ := kcatAliases(layout); got != want {
			t.Errorf("%s: %s, want %s", layout, got, want)
		}
	}
}
