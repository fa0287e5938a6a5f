package recordbatch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// goldenMarker pins the format: producer 11 of epoch 2 commits at offset 7, by a coordinator of epoch 5.
const goldenMarker = "0000000000000007" + "00000042" + "00000003" + "02" + "78fa542c" + "0030" +
	"00000000" + "00000000000003e8" + "00000000000003e8" + "000000000000000b" + "0002" + "ffffffff" + "00000001" +
	"20" + "00" + "00" + "00" + "08" + "00000001" + "0c" + "0000" + "00000005" + "00"

func TestMarkerGoldenBytes(t *testing.T) {
	b, err := AppendMarker(nil, goldenHeader(), Marker{Commit: true, CoordinatorEpoch: 5}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b); got != goldenMarker {
		t.Errorf("\ngot  %s\nwant %s", got, goldenMarker)
	}
	h, err := ParseHeader(b)
	if err != nil || !h.IsControl() || !h.IsTransactional() || h.NextOffset() != 8 || h.LastSequence() != -1 {
		t.Errorf("header %+v, %v", h, err)
	}
}

// TestMarkerAsOthersReadIt: franz-go finds in it what we have put there.
func TestMarkerAsOthersReadIt(t *testing.T) {
	for _, want := range []Marker{{Commit: true, CoordinatorEpoch: 7}, {CoordinatorEpoch: -1}} {
		b, err := AppendMarker(nil, goldenHeader(), want, 1000)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseMarker(b)
		if err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		for r, err := range Records(b, 0) {
			key, value := kmsg.NewControlRecordKey(), kmsg.NewEndTxnMarker()
			if err = errors.Join(err, key.ReadFrom(r.Key), value.ReadFrom(r.Value)); err != nil {
				t.Fatal(err)
			}
			commit := key.Type == kmsg.ControlRecordKeyTypeCommit
			if key.Version != 0 || value.Version != 0 || commit != want.Commit || value.CoordinatorEpoch != want.CoordinatorEpoch {
				t.Errorf("franz-go reads %+v and %+v of %+v", key, value, want)
			}
		}
	}
}

func TestParseMarkerRefuses(t *testing.T) {
	control := goldenHeader()
	control.Attributes |= attributeControl
	ok, epoch := []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 1}
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"no control batch":   mustAppend(t, goldenHeader(), CodecNone, Record{Key: ok, Value: epoch}),
		"two records":        mustAppend(t, control, CodecNone, Record{Key: ok, Value: epoch}, Record{Key: ok, Value: epoch}),
		"no key":             mustAppend(t, control, CodecNone, Record{Value: epoch}),
		"a short key":        mustAppend(t, control, CodecNone, Record{Key: ok[:3], Value: epoch}),
		"a short value":      mustAppend(t, control, CodecNone, Record{Key: ok, Value: epoch[:5]}),
		"a negative version": mustAppend(t, control, CodecNone, Record{Key: []byte{0xff, 0, 0, 1}, Value: epoch}),
		"another type":       mustAppend(t, control, CodecNone, Record{Key: []byte{0, 0, 0, 2}, Value: epoch}),
	} {
		if m, err := ParseMarker(b); err == nil {
			t.Errorf("%s: taken for %+v", name, m)
		}
	}
	later := mustAppend(t, control, CodecNone, Record{Key: append([]byte{0, 1}, 0, 1, 9), Value: append(bytes.Clone(epoch), 9)})
	if m, err := ParseMarker(later); err != nil || !m.Commit || m.CoordinatorEpoch != 1 {
		t.Errorf("a later version: %+v, %v", m, err)
	}
}
