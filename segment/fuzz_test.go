package segment

import (
	"bytes"
	"errors"
	"testing"

	"weir/segment/vfs"
)

// FuzzRecover opens a folder whose last `.log` holds a header and anything.
// Whatever is accepted is valid throughout and stays so at the next open.
func FuzzRecover(f *testing.F) {
	x := newFixture(f, vfs.NewMem(), "/log", 100)
	x.fill(f, 12)
	body := x.bytes[HeaderBytes:]
	f.Add(body, uint8(0))
	f.Add(body[:len(body)-9], uint8(1))
	f.Add(append(bytes.Clone(body), make([]byte, 300)...), uint8(2))
	flipped := bytes.Clone(body)
	flipped[len(body)/2] ^= 8
	f.Add(flipped, uint8(1))
	f.Add(append(flipped, body...), uint8(2))
	end := x.end()
	x.add(f, AppendStandIn(nil, end.NextOffset, end.NextOffset+7, end.Epoch, 3))
	x.fill(f, 3)
	f.Add(x.bytes[HeaderBytes:], uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, mode uint8) {
		y := newFixture(t, vfs.NewMem(), "/log", 100)
		y.rewrite(t, append(bytes.Clone(y.bytes), body...))
		s, _, err := y.reopen(nil, Mode(mode%3))
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatal(err)
			}
			return
		}
		end := verify(t, s)
		if err := errors.Join(s.Trim(), s.Close()); err != nil {
			t.Fatal(err)
		}
		s, report, err := y.reopen(nil, RecoverProcessCrash)
		if err != nil || report.CutBytes != 0 {
			t.Fatalf("opened again: %+v, %v", report, err)
		}
		if again := verify(t, s); again != end {
			t.Fatalf("ends at %+v, before at %+v", again, end)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzIndex opens a sealed segment with anything as its index files. Readers
// get the same as with the right ones, or an error, and never a raft frame.
func FuzzIndex(f *testing.F) {
	x := newFixture(f, vfs.NewMem(), "/log", 100)
	x.fill(f, 40)
	if err := x.s.Seal(); err != nil {
		f.Fatal(err)
	}
	index, times := readFile(f, x.cfg.FS, x.path(".index")), readFile(f, x.cfg.FS, x.path(".timeindex"))
	f.Add(index, times)
	f.Add(index[:64], times[:16])
	f.Add([]byte{}, times)
	f.Add(append(bytes.Clone(index[:32]), index[64:]...), times)
	f.Fuzz(func(t *testing.T, index, times []byte) {
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll("/log", 0o755); err != nil {
			t.Fatal(err)
		}
		y := &fixture{cfg: Config{FS: fsys, Dir: "/log"}, s: OpenSealed(Config{FS: fsys, Dir: "/log"}, 100, int64(len(x.bytes)))}
		writeFile(t, fsys, y.path(".log"), x.bytes)
		writeFile(t, fsys, y.path(".index"), index)
		writeFile(t, fsys, y.path(".timeindex"), times)
		for _, fr := range x.frames {
			r, err := y.s.Read(fr.Offset, x.end().NextOffset, 3000, true)
			if err != nil {
				continue
			}
			b, err := r.AppendTo(nil)
			if err := errors.Join(err, r.Release()); err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(b); {
				got, reason := parseFrame(b[at:], r.Position+int64(at))
				if reason != "" || got.Kind != KindBatch {
					t.Fatalf("read at %d gives %+v: %s", fr.Offset, got, reason)
				}
				at += int(got.Bytes)
			}
		}
		if err := y.s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
