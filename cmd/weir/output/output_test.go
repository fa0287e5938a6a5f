package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type thing struct {
	Name string `json:"name"`
	Size int64  `json:"size_bytes"`
}

var columns = []Column[thing]{
	{Name: "NAME", Cell: func(t thing) string { return t.Name }},
	{Name: "SIZE", Cell: func(t thing) string { return Bytes(t.Size) }},
	{Name: "RAW", Wide: true, Cell: func(t thing) string { return Count(t.Size) }},
}

func TestList(t *testing.T) {
	items := []thing{{"orders", 1536}, {"", 0}}
	for f, want := range map[Format]string{
		Table: "NAME    SIZE\norders  1.5 KiB\n-       0 B\n",
		Wide:  "NAME    SIZE     RAW\norders  1.5 KiB  1,536\n-       0 B      0\n",
		JSON:  "[\n  {\n    \"name\": \"orders\",\n    \"size_bytes\": 1536\n  },\n  {\n    \"name\": \"\",\n    \"size_bytes\": 0\n  }\n]\n",
		JSONL: `{"name":"orders","size_bytes":1536}` + "\n" + `{"name":"","size_bytes":0}` + "\n",
		Name:  "orders\n\n",
	} {
		var b bytes.Buffer
		if err := List(&b, f, items, columns); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%q\nwant\n%q", f, err, b.String(), want)
		}
	}
	for f, want := range map[Format]string{Table: "NAME  SIZE\n", JSON: "[]\n", JSONL: "", Name: ""} {
		var b bytes.Buffer
		if err := List(&b, f, nil, columns); err != nil || b.String() != want {
			t.Errorf("empty %s: %v %q, want %q", f, err, b.String(), want)
		}
	}
}

func TestOne(t *testing.T) {
	table := func(w io.Writer) error { _, err := io.WriteString(w, "as a table"); return err }
	for f, want := range map[Format]string{
		JSON: "{\n  \"name\": \"<a>\",\n  \"size_bytes\": 1\n}\n", JSONL: `{"name":"<a>","size_bytes":1}` + "\n",
		Table: "as a table",
	} {
		var b bytes.Buffer
		if err := One(&b, f, thing{"<a>", 1}, table); err != nil || b.String() != want {
			t.Errorf("%s: %v %q, want %q", f, err, b.String(), want)
		}
	}
}

func TestParseFormat(t *testing.T) {
	allowed := []Format{Table, JSON}
	if f, err := ParseFormat("json", allowed); f != JSON || err != nil {
		t.Errorf("json: %v, %v", f, err)
	}
	if _, err := ParseFormat("xml", allowed); err == nil || !strings.Contains(err.Error(), "table, json") {
		t.Errorf("xml: %v", err)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB",
		1288490189: "1.2 GiB", 1 << 40: "1.0 TiB", math.MaxInt64: "8.0 EiB", -2048: "-2.0 KiB", math.MinInt64: "-8.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestCountKeepsTheDigits(t *testing.T) {
	if got := Count(38112); got != "38,112" {
		t.Errorf("Count(38112) = %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		back := json.Number(strings.ReplaceAll(Count(n), ",", ""))
		if v, err := back.Int64(); err != nil || v != n {
			t.Fatalf("Count(%d) = %q", n, Count(n))
		}
		for i, group := range strings.Split(strings.TrimPrefix(Count(n), "-"), ",") {
			if len(group) != 3 && (i > 0 || len(group) > 3) {
				t.Fatalf("Count(%d) = %q", n, Count(n))
			}
		}
	})
}

func TestTimesAndRates(t *testing.T) {
	for got, want := range map[string]string{
		Time(time.Date(2026, 11, 23, 10, 41, 7, 412_900_000, time.FixedZone("", 3600))): "2026-11-23T09:41:07.412Z",
		Millis(-1): "", Millis(0): "1970-01-01T00:00:00.000Z",
		Rate(38112, time.Second, "msg"): "38,112 msg/s", Rate(1, 0, "msg"): "-", Rate(3, 2*time.Second, "msg"): "2 msg/s",
		Plural(1, "record"): "1 record", Plural(2000, "record"): "2,000 records",
		Span(850 * time.Millisecond): "850ms", Span(12300 * time.Millisecond): "12s", Span(200 * time.Second): "3m20s",
		Span(125 * time.Minute): "2h05m", Span(76 * time.Hour): "3d04h",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestText(t *testing.T) {
	for want, b := range map[string][]byte{
		"<null>": nil, `""`: {}, "hello, wörld": []byte("hello, wörld"), `"a\nb"`: []byte("a\nb"),
		`"\x1b[2J"`: []byte("\x1b[2J"), `"\xff"`: {0xff}, `"\u202ex"`: []byte("\u202ex"),
	} {
		if got := Text(b); got != want {
			t.Errorf("Text(%q) = %q, want %q", b, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	clock := time.Unix(1000, 0)
	var b bytes.Buffer
	p := NewProgress(&b, "replay", "record", 1000, func() time.Time { return clock })
	clock = clock.Add(time.Second)
	p.Set(250)
	want := "\rreplay [######..................]  25%  250 of 1,000 records  250 record/s  ETA 3s"
	if b.String() != want {
		t.Fatalf("got %q, want %q", b.String(), want)
	}
	clock = clock.Add(progressEvery - 1)
	p.Set(300)
	if b.String() != want {
		t.Fatalf("drawn again too early: %q", b.String())
	}
	clock = clock.Add(1)
	p.Set(1000)
	p.Clear()
	if got := b.String(); !strings.Contains(got, "100%") || !strings.HasSuffix(got, " \r") {
		t.Fatalf("the end: %q", got)
	}
	var none *Progress
	none.Set(5)
	none.Clear()
}

func TestStreamIsAList(t *testing.T) {
	for _, n := range []int{0, 1, 2, streamRows - 1, streamRows, 2*streamRows + 1} {
		items := make([]thing, n)
		for i := range items {
			items[i] = thing{"<same width>", 1536}
		}
		for _, f := range []Format{Table, Wide, JSONL, JSON} {
			var streamed, listed bytes.Buffer
			s := NewStream(&streamed, f, columns)
			for _, item := range items {
				if err := s.Add(item); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := List(&listed, f, items, columns); err != nil {
				t.Fatal(err)
			}
			got, want := streamed.String(), listed.String()
			if f == JSON { // the same value, laid out on fewer lines
				var a, b []thing
				if err := errors.Join(json.Unmarshal(streamed.Bytes(), &a), json.Unmarshal(listed.Bytes(), &b)); err != nil || !slices.Equal(a, b) {
					t.Errorf("%d items as JSON: %v\n%s", n, err, got)
				}
			} else if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") || strings.Count(got, "\n") != strings.Count(want, "\n") {
				t.Errorf("%d items as %s: %d bytes, want %d", n, f, len(got), len(want))
			}
		}
	}
}
