package segment

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"weir/segment/vfs"
)

// reopen opens the fixture's file as the last segment.
func (f *fixture) reopen(from *RecoveryPoint, mode Mode) (*Segment, Report, error) {
	return OpenActive(f.cfg, 100, from, nil, mode, func(Frame) {})
}

func TestRecoverVerdicts(t *testing.T) {
	const frames = 30
	// damage changes a whole log file of that many frames; the fixture knows
	// where they lie.
	for _, tc := range []struct {
		name        string
		damage      func(f *fixture, b []byte) []byte
		keep        int // frames after power loss, and after the death of a process
		processKeep int // -1: refused
	}{
		{"nothing", func(f *fixture, b []byte) []byte { return b }, frames, frames},
		{"zeros behind", func(f *fixture, b []byte) []byte { return append(b, make([]byte, 5000)...) }, frames, frames},
		{"last frame torn", func(f *fixture, b []byte) []byte { return b[:len(b)-5] }, frames - 1, frames - 1},
		{"last frame torn, then zeros", func(f *fixture, b []byte) []byte {
			return append(b[:len(b)-5], make([]byte, 5000)...)
		}, frames - 1, frames - 1},
		{"three bytes of a frame", func(f *fixture, b []byte) []byte {
			return append(b[:f.frames[frames-1].Position+3], make([]byte, 700)...)
		}, frames - 1, frames - 1},
		{"flip in a frame's content", func(f *fixture, b []byte) []byte {
			b[f.frames[20].End()-1] ^= 4
			return b
		}, 20, -1},
		{"flip in a length", func(f *fixture, b []byte) []byte {
			b[f.frames[20].Position+10] ^= 1
			return b
		}, 20, -1},
		{"length that covers all that follows", func(f *fixture, b []byte) []byte {
			n := len(b) - int(f.frames[20].Position) - 12 + 900
			copy(b[f.frames[20].Position+8:], []byte{0, 0, byte(n >> 8), byte(n)})
			return append(b, make([]byte, 2000)...)
		}, 20, -1},
		{"flip in an offset", func(f *fixture, b []byte) []byte {
			b[f.frames[20].Position+7] ^= 1
			return b
		}, 20, -1},
		{"epoch goes back", func(f *fixture, b []byte) []byte {
			b[f.frames[20].Position+15] = 0
			return b
		}, 20, -1},
		{"a frame of zeros in the middle", func(f *fixture, b []byte) []byte {
			clear(b[f.frames[20].Position:f.frames[20].End()])
			return b
		}, 20, -1},
		{"flip in the last frame", func(f *fixture, b []byte) []byte {
			b[len(b)-1] ^= 1
			return b
		}, frames - 1, frames - 1},
		{"a batch within the value of a torn one", func(f *fixture, b []byte) []byte {
			inner := f.batch(t, 2, 9, "inner")
			outer := f.batch(t, 1, 9, string(inner)+"and more after it")
			return append(b, outer[:len(outer)-4]...)
		}, frames, frames},
		{"garbage behind", func(f *fixture, b []byte) []byte {
			return append(b, bytes.Repeat([]byte("garbage!"), 100)...)
		}, frames, frames},
	} {
		for _, mode := range []Mode{RecoverPowerLoss, RecoverProcessCrash, RecoverClean} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, mode), func(t *testing.T) {
				f := newFixture(t, vfs.NewMem(), "/log", 200)
				f.fill(t, frames)
				damaged := tc.damage(f, bytes.Clone(f.bytes))
				f.rewrite(t, damaged)
				keep := tc.keep
				if mode != RecoverPowerLoss {
					keep = tc.processKeep
				}
				f.verdict(t, damaged, keep, mode)
			})
		}
	}
}

// verdict opens a damaged file and expects the first keep frames, or with -1 a
// refusal that leaves the file alone.
func (f *fixture) verdict(t *testing.T, damaged []byte, keep int, mode Mode) {
	t.Helper()
	s, report, err := f.reopen(nil, mode)
	if keep < 0 {
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Position != f.frames[20].Position || corrupt.Path != f.s.Path() {
			t.Fatalf("got %v, want a refusal at position %d", err, f.frames[20].Position)
		}
		if !bytes.Equal(readFile(t, f.cfg.FS, f.s.Path()), damaged) {
			t.Fatal("a refused file has been changed")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if end := verify(t, s); end != f.ends[keep-1] {
		t.Fatalf("ends at %+v, want %+v", end, f.ends[keep-1])
	}
	want := f.bytes[:f.ends[keep-1].Position]
	if got := readFile(t, f.cfg.FS, f.s.Path()); !bytes.Equal(got, want) {
		t.Fatalf("file of %d bytes, want %d", len(got), len(want))
	}
	data := len(bytes.TrimRight(damaged, "\x00")) - len(want)
	if report.CutBytes < int64(max(data, 0)) || report.CutBytes > int64(len(damaged)) || (report.CutBytes > 0) != (report.Reason != "") {
		t.Fatalf("report %+v, want %d bytes cut", report, data)
	}
}

// pointAfter is a recovery point after frame i, as a checkpoint states it.
func (f *fixture) pointAfter(t *testing.T, i int) *RecoveryPoint {
	t.Helper()
	offsets, times, err := f.s.SyncIndex(f.ends[i])
	if err != nil {
		t.Fatal(err)
	}
	return &RecoveryPoint{Base: 100, State: f.ends[i], OffsetEntries: offsets, TimeEntries: times}
}

func TestRecoverBelowThePoint(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), "/log", 200)
	f.fill(t, 30)
	point := f.pointAfter(t, 20)
	whole := bytes.Clone(f.bytes)

	t.Run("file ends below it", func(t *testing.T) {
		f.rewrite(t, whole[:point.State.Position-1])
		var corrupt *CorruptError
		if _, _, err := f.reopen(point, RecoverPowerLoss); !errors.As(err, &corrupt) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("only what is above is read", func(t *testing.T) {
		damaged := bytes.Clone(whole)
		damaged[f.frames[10].End()-1] ^= 1 // a CRC nobody looks at
		f.rewrite(t, damaged)
		s, report, err := f.reopen(point, RecoverProcessCrash)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if want := int64(len(whole)) - point.State.Position; report.ScannedBytes != want || report.IndexRemade {
			t.Fatalf("report %+v, want %d bytes scanned", report, want)
		}
		if end, err := s.End(); err != nil || end != f.end() {
			t.Fatalf("ends at %+v (%v), want %+v", end, err, f.end())
		}
	})
	t.Run("cut down to it", func(t *testing.T) {
		f.rewrite(t, whole[:point.State.Position+10])
		s, report, err := f.reopen(point, RecoverPowerLoss)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if end := verify(t, s); end != point.State || report.CutBytes == 0 || report.CutBytes > 10 {
			t.Fatalf("ends at %+v, %+v; want %+v", end, report, point.State)
		}
	})
}

// TestRecoverWritesAgain: after the death of a process what lies past the recovery point is written over itself, the
// header too where there is no point; otherwise nothing is.
func TestRecoverWritesAgain(t *testing.T) {
	for _, tc := range []struct {
		name    string
		mode    Mode
		point   int // after this frame, -1: none
		written bool
	}{
		{"process crash", RecoverProcessCrash, 200, true},
		{"process crash, no point", RecoverProcessCrash, -1, true},
		{"process crash, all below the point", RecoverProcessCrash, 3999, false},
		{"power loss", RecoverPowerLoss, 200, false},
		{"clean", RecoverClean, 200, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem, inj := vfs.NewMem(), vfs.NewInjector()
			f := newFixture(t, mem, "/log", 200)
			f.fill(t, 4000) // more than is written at once
			var from *RecoveryPoint
			begin := int64(0)
			if tc.point >= 0 {
				from = f.pointAfter(t, tc.point)
				begin = from.State.Position
			}
			f.rewrite(t, f.bytes)
			f.cfg.FS = vfs.Inject(mem, inj)
			s, _, err := f.reopen(from, tc.mode)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			end := begin
			for _, op := range inj.Trace() {
				if op.Kind == vfs.OpWrite && op.Path == f.s.Path() {
					if op.Offset != end || op.Length > scanBytes {
						t.Errorf("%d bytes written at %d, after %d", op.Length, op.Offset, end)
					}
					end = op.Offset + op.Length
				}
			}
			want := begin
			if tc.written {
				want = f.end().Position
			}
			if end != want {
				t.Errorf("written up to %d from %d, want %d", end, begin, want)
			}
			if got := readFile(t, mem, f.s.Path()); !bytes.Equal(got, f.bytes) {
				t.Error("the content has changed")
			}
		})
	}
}

// Index files that are missing, short, of another log, or damaged are made
// again equal.
func TestIndexRemade(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		for _, tc := range []struct {
			name   string
			damage func(index, times []byte) ([]byte, []byte)
		}{
			{"missing", func(_, _ []byte) ([]byte, []byte) { return nil, nil }},
			{"one missing", func(a, _ []byte) ([]byte, []byte) { return a, nil }},
			{"cut", func(a, b []byte) ([]byte, []byte) { return a[:len(a)/2], b }},
			{"cut within an entry", func(a, b []byte) ([]byte, []byte) { return a[:len(a)-7], b }},
			{"last entry damaged", func(a, b []byte) ([]byte, []byte) { a[len(a)-1] ^= 1; return a, b }},
			{"last time damaged", func(a, b []byte) ([]byte, []byte) { b[len(b)-1] ^= 1; return a, b }},
			{"zeros", func(a, b []byte) ([]byte, []byte) { clear(a); clear(b); return a, b }},
			{"too long", func(a, b []byte) ([]byte, []byte) { return append(a, a...), b }},
		} {
			t.Run(fmt.Sprintf("sealed=%v/%s", sealed, tc.name), func(t *testing.T) {
				f := newFixture(t, vfs.NewMem(), "/log", 200)
				f.fill(t, 60)
				point := f.pointAfter(t, 59)
				finish := f.s.Trim
				if sealed {
					finish = f.s.Seal
				}
				if err := errors.Join(finish(), f.s.Close()); err != nil {
					t.Fatal(err)
				}
				index, times := readFile(t, f.cfg.FS, f.path(".index")), readFile(t, f.cfg.FS, f.path(".timeindex"))
				a, b := tc.damage(bytes.Clone(index), bytes.Clone(times))
				writeFile(t, f.cfg.FS, f.path(".index"), a)
				writeFile(t, f.cfg.FS, f.path(".timeindex"), b)

				s := OpenSealed(f.cfg, 100, int64(len(f.bytes)))
				if !sealed {
					var err error
					if s, _, err = f.reopen(point, RecoverClean); err != nil {
						t.Fatal(err)
					}
				}
				verify(t, s)
				if !sealed {
					if err := s.Trim(); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(readFile(t, f.cfg.FS, f.path(".index")), index) || !bytes.Equal(readFile(t, f.cfg.FS, f.path(".timeindex")), times) {
					t.Fatal("the index made again differs")
				}
			})
		}
	}
}

// A flipped bit in the middle of an index never changes what a reader gets, and
// the file is made again at the next open.
func TestIndexFlipIsHarmless(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), "/log", 100)
	f.fill(t, 80)
	if err := errors.Join(f.s.Seal(), f.s.Close()); err != nil {
		t.Fatal(err)
	}
	index := readFile(t, f.cfg.FS, f.path(".index"))
	times := readFile(t, f.cfg.FS, f.path(".timeindex"))
	for at := 0; at < len(index)-entryBytes; at += 5 {
		damagedIndex, damagedTimes := bytes.Clone(index), bytes.Clone(times)
		damagedIndex[at] ^= 1 << (at % 8)
		damagedTimes[at%(len(times)-entryBytes)] ^= 1 << (at % 8)
		writeFile(t, f.cfg.FS, f.path(".index"), damagedIndex)
		writeFile(t, f.cfg.FS, f.path(".timeindex"), damagedTimes)
		s := OpenSealed(f.cfg, 100, int64(len(f.bytes)))
		f.compareReads(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// compareReads reads from every frame and asks for every timestamp.
func (f *fixture) compareReads(t *testing.T, s *Segment) {
	t.Helper()
	end := f.end()
	for i, fr := range f.frames {
		got, _, release, err := s.Entry(fr.RaftIndex)
		if err != nil || got != fr {
			t.Fatalf("entry %d is %+v (%v), want %+v", fr.RaftIndex, got, err, fr)
		}
		release()
		if fr.Kind.Raft() {
			continue
		}
		r, err := s.Read(fr.Offset, end.NextOffset, 4000, true)
		if err != nil {
			t.Fatal(err)
		}
		want := i
		for want < len(f.frames) && !f.frames[want].Kind.Raft() && f.frames[want].End()-fr.Position <= 4000 {
			want++
		}
		if r.Position != fr.Position || int64(r.Bytes) != f.frames[want-1].End()-fr.Position {
			t.Fatalf("read at %d gives %+v, want up to frame %d of %+v", fr.Offset, r, want, f.frames[want-1])
		}
		if err := r.Release(); err != nil {
			t.Fatal(err)
		}
		f.compareTime(t, s, fr.MaxTimestamp)
	}
}

func (f *fixture) compareTime(t *testing.T, s *Segment, ts int64) {
	t.Helper()
	for _, fr := range f.frames {
		if fr.MaxTimestamp >= ts {
			if got, ok, err := s.FirstAtOrAfter(ts, 0, f.end().NextOffset); err != nil || !ok || got.Position != fr.Position {
				t.Fatalf("first at or after %d is %+v %v (%v), want %+v", ts, got, ok, err, fr)
			}
			return
		}
	}
}
