package record

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/jsonl"
	"weir/cmd/weir/output"
)

func readAll(t *testing.T, input string, format output.Format, template string) ([]*kgo.Record, jsonl.Given, error) {
	t.Helper()
	r, err := NewReader(strings.NewReader(input), format, template)
	if err != nil {
		t.Fatal(err)
	}
	var all []*kgo.Record
	var last jsonl.Given
	for {
		rec, given, err := r.Next()
		if err == io.EOF {
			return all, last, nil
		}
		if err != nil {
			return all, last, err
		}
		all, last = append(all, rec), given
	}
}

func values(records []*kgo.Record) (v []string) {
	for _, r := range records {
		v = append(v, string(r.Value))
	}
	return v
}

func TestReadLines(t *testing.T) {
	for input, want := range map[string][]string{
		"": nil, "a": {"a"}, "a\n": {"a"}, "a\nb": {"a", "b"}, "\n\nx\r\n": {"", "", "x\r"}, "\x00\xff\n": {"\x00\xff"},
	} {
		got, given, err := readAll(t, input, Lines, "")
		if err != nil || !slices.Equal(values(got), want) || given != (jsonl.Given{}) {
			t.Errorf("%q: %q, %+v, %v", input, values(got), given, err)
		}
		for _, r := range got {
			if r.Value == nil || r.Key != nil {
				t.Errorf("%q: value %v, key %v: an empty line is an empty value, not null", input, r.Value, r.Key)
			}
		}
	}
}

func TestReadJSONL(t *testing.T) {
	got, given, err := readAll(t, `{"key":"a","value":"1","partition":3}`+"\n\n  \n"+`{"value":"2","topic":"x"}`, output.JSONL, "")
	if err != nil || !slices.Equal(values(got), []string{"1", "2"}) || given != (jsonl.Given{Topic: true}) {
		t.Errorf("%q, %+v, %v", values(got), given, err)
	}
	_, _, err = readAll(t, `{"value":"1"}`+"\n\n"+`{"valeu":"2"}`, output.JSONL, "")
	if err == nil || !strings.HasPrefix(err.Error(), "input line 3: valeu: unknown field") {
		t.Errorf("the line is not named: %v", err)
	}
}

func TestReadRaw(t *testing.T) {
	for _, input := range []string{"", "a\nb\n"} {
		got, _, err := readAll(t, input, Raw, "")
		if err != nil || len(got) != 1 || string(got[0].Value) != input {
			t.Errorf("%q: %q, %v", input, values(got), err)
		}
	}
}

func TestReadTemplate(t *testing.T) {
	got, given, err := readAll(t, "2 u1=hello\n0 u2=\n", Lines, `%p %k=%s\n`)
	if err != nil || !slices.Equal(values(got), []string{"hello", ""}) || got[0].Partition != 2 || string(got[1].Key) != "u2" {
		t.Errorf("%+v, %v", got, err)
	}
	if given != (jsonl.Given{Partition: true}) {
		t.Errorf("given %+v", given)
	}
	if _, _, err = readAll(t, "u1=a\nu2", Lines, `%k=%v\n`); err == nil || !strings.Contains(err.Error(), "input record 2: ") {
		t.Errorf("cut short: %v", err)
	}
	if _, err := NewReader(nil, Lines, "%q"); err == nil {
		t.Error("a broken template was accepted")
	}
}

func TestReadRefusesALineWithoutEnd(t *testing.T) {
	long := io.LimitReader(zeros{}, MaxInputBytes+2)
	for _, format := range []output.Format{Lines, Raw} {
		r, err := NewReader(long, format, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "longer than 64.0 MiB") {
			t.Errorf("%s: %v", format, err)
		}
		long = io.LimitReader(zeros{}, MaxInputBytes+2)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// What a Writer prints as JSONL, a Reader reads as the same records.
func TestWriterAndReaderAgree(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Options{Format: output.JSONL})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records() {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, err := readAll(t, b.String(), output.JSONL, "")
	if err != nil || len(got) != len(records()) {
		t.Fatalf("%v, %v", got, err)
	}
	for i, want := range records() {
		if a, b := jsonl.Append(nil, got[i]), jsonl.Append(nil, want); !bytes.Equal(a, b) {
			t.Errorf("%s became %s", b, a)
		}
	}
}
