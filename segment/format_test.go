package segment

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"weir/segment/vfs"
)

func TestHeaderRoundTrip(t *testing.T) {
	want := testHeader(4096)
	b := AppendHeader(nil, want)
	if len(b) != HeaderBytes {
		t.Fatalf("%d bytes", len(b))
	}
	if got, err := ParseHeader(b); err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// Every single flipped bit of a header is noticed.
func TestHeaderFlips(t *testing.T) {
	b := AppendHeader(nil, testHeader(4096))
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := ParseHeader(b); err == nil {
			t.Errorf("bit %d flipped: accepted", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestHeaderVersion(t *testing.T) {
	b := AppendHeader(nil, testHeader(4096))
	binary.BigEndian.PutUint16(b[22:], 3)
	stampCRC(b, 0)
	var version *VersionError
	if _, err := ParseHeader(b); !errors.As(err, &version) || version.Version != 3 {
		t.Errorf("version 3: %v", err)
	}
	if _, err := ParseHeader(b[:HeaderBytes-1]); err == nil {
		t.Error("a header cut short is accepted")
	}
}

func TestParseFrameRefuses(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), "/log", 4096)
	batch := f.batch(t, 1, 5, "value")
	raft := f.raft(KindNoop, "data")
	change := func(b []byte, at int, to ...byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[at:], to)
		return b
	}
	for _, tc := range []struct {
		name, want string
		frame      []byte
	}{
		{"nothing", "cut short", nil},
		{"20 bytes", "cut short", batch[:20]},
		{"batch header cut", "batch header cut short", batch[:60]},
		{"raft frame cut", "raft frame cut short", raft[:RaftFrameBytes-1]},
		{"zeros", "magic 0", make([]byte, 61)},
		{"magic 1", "magic 1", change(batch, 16, 1)},
		{"negative offset", "negative", change(batch, 0, 0xff)},
		{"negative epoch", "negative", change(batch, 12, 0xff)},
		{"negative length", "too small for a batch", change(batch, 8, 0xff)},
		{"length 48", "too small for a batch", change(batch, 8, 0, 0, 0, 48)},
		{"raft length 23", "too small for a raft frame", change(raft, 8, 0, 0, 0, 23)},
		{"negative delta", "delta", change(batch, 23, 0xff)},
		{"offset overflow", "delta", change(batch, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{"kind 0", "kind 0", change(raft, 21, 0)},
		{"kind 4", "kind 4", change(raft, 21, 4)},
		{"segment header within", "kind 255", change(raft, 21, 255)},
		{"two epochs", "epoch differs", change(raft, 35, 9)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, reason := parseFrame(tc.frame, 0); !strings.Contains(reason, tc.want) {
				t.Errorf("reason %q, want %q", reason, tc.want)
			}
		})
	}
	for _, frame := range [][]byte{batch, raft} {
		if got, reason := parseFrame(frame, 7); reason != "" || got.Bytes != int64(len(frame)) || got.Position != 7 {
			t.Errorf("sound frame: %q, %+v", reason, got)
		}
	}
}

// Every single flipped bit of an index entry is noticed, those of the flags
// above all: a lost raft flag would show a raft frame to consumers.
func TestEntryFlips(t *testing.T) {
	o := offsetEntry{relativeOffset: 7, position: 4200, relativeRaftIndex: 9, flags: flagRaft}.append(nil)
	e := timeEntry{maxTimestamp: 1_700_000_000_000, position: 4200}.append(nil)
	if len(o) != entryBytes || len(e) != entryBytes {
		t.Fatalf("entries of %d and %d bytes", len(o), len(e))
	}
	for bit := range entryBytes * 8 {
		o[bit/8] ^= 1 << (bit % 8)
		e[bit/8] ^= 1 << (bit % 8)
		if got, ok := parseOffsetEntry(o, 0); ok {
			t.Errorf("bit %d of an index entry flipped: %+v", bit, got)
		}
		if got, ok := parseTimeEntry(e, 0); ok {
			t.Errorf("bit %d of a time entry flipped: %+v", bit, got)
		}
		o[bit/8] ^= 1 << (bit % 8)
		e[bit/8] ^= 1 << (bit % 8)
	}
	if _, ok := parseOffsetEntry(o, 1); ok {
		t.Error("an index entry in another's place is accepted")
	}
	if _, ok := parseTimeEntry(e, 1); ok {
		t.Error("a time entry in another's place is accepted")
	}
	var zeros [entryBytes]byte
	if _, ok := parseOffsetEntry(zeros[:], 0); ok {
		t.Error("an index entry of zeros is accepted")
	}
	if _, ok := parseTimeEntry(zeros[:], 0); ok {
		t.Error("a time entry of zeros is accepted")
	}
}

func TestRoom(t *testing.T) {
	h := testHeader(1)
	for _, tc := range []struct {
		name        string
		position, n int64
		next        int64
		nextRaft    uint64
		want        bool
	}{
		{"little", 96, 100, 200, 50, true},
		{"last position", 1<<32 - 101, 100, 200, 50, true},
		{"position too far", 1<<32 - 100, 100, 200, 50, false},
		{"last offset", 96, 100, 100 + 1<<32 - 1, 50, true},
		{"offset too far", 96, 100, 100 + 1<<32, 50, false},
		{"last raft index", 96, 100, 200, 41 + 1<<32 - 1, true},
		{"raft index too far", 96, 100, 200, 41 + 1<<32, false},
	} {
		if got := h.room(tc.position, tc.n, tc.next, tc.nextRaft); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
