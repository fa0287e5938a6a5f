package bench

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// seen is a record as a consumer has it.
type seen struct {
	partition int32
	key       []byte
	value     []byte
}

const testRun = 99

// sentRecord makes what producer 3 sends with a key number, or noKey.
func sentRecord(partition int32, key int32, sequence uint64) seen {
	value := make([]byte, 64)
	putStamp(value, stamp{run: testRun, producer: 3, key: key, sequence: sequence})
	if key == noKey {
		return seen{partition, nil, value}
	}
	return seen{partition, appendKey(nil, int64(key)), value}
}

// history is five records of key 0 in partition 0 and five of key 1 in partition 1.
func history() []seen {
	var h []seen
	for n := range uint64(5) {
		h = append(h, sentRecord(0, 0, n), sentRecord(1, 1, n))
	}
	return h
}

func manifestOf(keys int, sent ...uint64) *Manifest {
	return &Manifest{Run: testRun, Keys: keys, Producers: []ManifestProducer{{ID: 3, Sent: sent}}}
}

func verify(h []seen, m *Manifest) *VerifyReport {
	v := NewVerifier(testRun)
	offsets := map[int32]int64{}
	for _, r := range h {
		v.Observe(r.partition, offsets[r.partition], r.key, r.value)
		offsets[r.partition]++
	}
	return v.Finish(m)
}

// TestVerifier feeds histories with one fault each; the report must name that fault and no other.
func TestVerifier(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func([]seen) []seen
		want  VerifyReport
	}{
		"good":                   {func(h []seen) []seen { return h }, VerifyReport{Checked: 10}},
		"lost in the middle":     {func(h []seen) []seen { return append(h[:4:4], h[5:]...) }, VerifyReport{Checked: 9, Lost: 1}},
		"lost at the end":        {func(h []seen) []seen { return h[:7] }, VerifyReport{Checked: 7, Lost: 3}},
		"a whole key lost":       {func(h []seen) []seen { return every2(h) }, VerifyReport{Checked: 5, Lost: 5}},
		"all lost":               {func([]seen) []seen { return nil }, VerifyReport{Lost: 10}},
		"duplicated at once":     {func(h []seen) []seen { return append(h[:3:3], h[2:]...) }, VerifyReport{Checked: 11, Duplicated: 1}},
		"duplicated later":       {func(h []seen) []seen { return append(h, h[2]) }, VerifyReport{Checked: 11, Duplicated: 1}},
		"reordered":              {func(h []seen) []seen { h[2], h[4] = h[4], h[2]; return h }, VerifyReport{Checked: 10, Reordered: 1}},
		"late by three":          {func(h []seen) []seen { return append(append(h[:2:2], h[3:]...), h[2]) }, VerifyReport{Checked: 10, Reordered: 1}},
		"in another partition":   {func(h []seen) []seen { h[4].partition = 1; return h }, VerifyReport{Checked: 10, Misplaced: 1}},
		"payload damaged":        {func(h []seen) []seen { h[6].value[50] ^= 4; return h }, VerifyReport{Checked: 10, Corrupted: 1, Lost: 1}},
		"key of another record":  {func(h []seen) []seen { h[6].key = h[7].key; return h }, VerifyReport{Checked: 10, Corrupted: 1, Lost: 1}},
		"key gone":               {func(h []seen) []seen { h[6].key = nil; return h }, VerifyReport{Checked: 10, Corrupted: 1, Lost: 1}},
		"never sent":             {func(h []seen) []seen { return append(h, sentRecord(0, 0, 5)) }, VerifyReport{Checked: 11, Corrupted: 1}},
		"of another writer":      {func(h []seen) []seen { return append(h, seen{0, nil, []byte("hello")}) }, VerifyReport{Checked: 10, Foreign: 1}},
		"of another run":         {func(h []seen) []seen { return append(h, foreignRun()) }, VerifyReport{Checked: 10, Foreign: 1}},
		"a sequence out of size": {func(h []seen) []seen { return append(h, sentRecord(0, 0, 1<<40)) }, VerifyReport{Checked: 11, Corrupted: 1}},
	} {
		got := verify(c.spoil(history()), manifestOf(2, 5, 5))
		c.want.Complete = true
		got.Examples, c.want.Examples = nil, nil
		if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, *got, c.want)
		}
		violated := c.want.Lost+c.want.Duplicated+c.want.Reordered+c.want.Misplaced+c.want.Corrupted > 0
		if got.OK() == violated {
			t.Errorf("%s: OK is %v", name, got.OK())
		}
	}
}

func every2(h []seen) []seen {
	var out []seen
	for i := 0; i < len(h); i += 2 {
		out = append(out, h[i])
	}
	return out
}

func foreignRun() seen {
	value := make([]byte, 64)
	putStamp(value, stamp{run: testRun + 1, producer: 3, key: 0})
	return seen{0, appendKey(nil, 0), value}
}

// TestVerifierWithoutKeys: the sequence of a producer spreads over partitions and keeps its order in each.
func TestVerifierWithoutKeys(t *testing.T) {
	good := []seen{sentRecord(0, noKey, 0), sentRecord(1, noKey, 2), sentRecord(0, noKey, 1), sentRecord(1, noKey, 3)}
	if r := verify(good, manifestOf(0, 4)); !r.OK() || r.Checked != 4 {
		t.Errorf("good history: %+v", r)
	}
	swapped := []seen{good[2], good[1], good[0], good[3]}
	if r := verify(swapped, manifestOf(0, 4)); r.Reordered != 1 || r.Lost != 0 {
		t.Errorf("order broken within a partition: %+v", r)
	}
	if r := verify(good[1:], manifestOf(0, 4)); r.Lost != 1 {
		t.Errorf("first one lost: %+v", r)
	}
	if r := verify(append(good, sentRecord(0, noKey, 3)), manifestOf(0, 4)); r.Duplicated != 1 {
		t.Errorf("again in another partition: %+v", r)
	}
}

// TestVerifierWithoutManifest sees gaps, not a loss at the end, and says that it is not complete.
func TestVerifierWithoutManifest(t *testing.T) {
	v := NewVerifier(0)
	for _, n := range []uint64{0, 1, 3} {
		r := sentRecord(0, 0, n)
		v.Observe(0, int64(n), r.key, r.value)
	}
	if r := v.Finish(nil); r.Lost != 1 || r.Complete || len(r.Examples) != 1 || !strings.Contains(r.Examples[0], "sequence 2 is missing") {
		t.Errorf("got %+v", r)
	}
}

// TestVerifierExcusesFailedSends: a send that failed may be there or not.
func TestVerifierExcusesFailedSends(t *testing.T) {
	m := manifestOf(2, 5, 5)
	m.Producers[0].Unacknowledged = []SequenceName{{Key: 0, Sequence: 1}, {Key: 1, Sequence: 4}}
	h := history() // holds key 1 sequence 4 all the same
	h = append(h[:2:2], h[3:]...)
	if r := verify(h, m); !r.OK() || r.Unacknowledged != 2 {
		t.Errorf("got %+v", r)
	}
	if got := m.Acknowledged(); got != 8 {
		t.Errorf("%d acknowledged, want 8", got)
	}
}

// TestVerifierExamplesAreBounded: all violations are counted, few are spelled out.
func TestVerifierExamplesAreBounded(t *testing.T) {
	if r := verify(nil, manifestOf(1, 1000)); r.Lost != 1000 || len(r.Examples) != maxExamples {
		t.Errorf("%d lost with %d examples", r.Lost, len(r.Examples))
	}
}

func TestManifestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.json")
	want := manifestOf(2, 5, 7)
	want.Topic = "orders"
	want.Producers[0].Unacknowledged = []SequenceName{{1, 6}}
	if err := want.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadManifest(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte(`{"keys":3,"producers":[{"id":0,"sent":[1]}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadManifest(path); err == nil || !strings.Contains(err.Error(), "1 sequences, want 3") {
		t.Errorf("a manifest with too few sequences: %v", err)
	}
}

// TestBitmap compares with a map.
func TestBitmap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bitmap
		model := map[uint64]bool{}
		for _, n := range rapid.SliceOf(rapid.Uint64Range(0, 300)).Draw(t, "members") {
			if added := b.set(n); added == model[n] {
				t.Fatalf("set(%d) is %v", n, added)
			}
			model[n] = true
		}
		length := uint64(0)
		for n := range model {
			length = max(length, n+1)
		}
		if b.length() != length || b.count != uint64(len(model)) {
			t.Fatalf("length %d count %d, want %d and %d", b.length(), b.count, length, len(model))
		}
		from := rapid.Uint64Range(0, 400).Draw(t, "from")
		want := from
		for model[want] {
			want++
		}
		if got := b.firstMissing(from); got != want {
			t.Fatalf("first missing from %d: got %d, want %d", from, got, want)
		}
	})
}
