package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"
)

// fakeHost serves a frameReader without a connection. It knows the keys 0..3
// and allows them limitBytes.
type fakeHost struct {
	arena      *arena
	limitBytes int
	received_  int64
	heldMax    int64 // of a lease, while it grew
	tooMuch    bool  // a lease was larger than what had arrived allows
}

func newFakeHost(limitBytes int) *fakeHost {
	stats := new(Stats)
	return &fakeHost{arena: &arena{budget: budget{limit: 1 << 40, stats: stats}, stats: stats}, limitBytes: limitBytes}
}

func (h *fakeHost) waiting()       {}
func (h *fakeHost) started()       {}
func (h *fakeHost) received(n int) { h.received_ += int64(n) }
func (h *fakeHost) limit(key int16) int {
	if key < 0 || key > 3 {
		return 0
	}
	return h.limitBytes
}
func (h *fakeHost) admit(int) error { return nil }
func (h *fakeHost) reserve(l *lease, n int64) error {
	h.arena.budget.take(l, n, nil, nil)
	h.heldMax = max(h.heldMax, l.bytes)
	// Old and new buffer side by side, each up to a quarter above its need.
	h.tooMuch = h.tooMuch || l.bytes > firstStepBytes+4*h.received_
	return nil
}

func readerOf(h *fakeHost, src io.Reader) *frameReader {
	return &frameReader{src: src, arena: h.arena}
}

// sized is a size prefix and the first bytes of a frame of key 0.
func sized(size int32, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(size)), rest...)
}

func TestFramesRefusedByFirstBytes(t *testing.T) {
	const limit = 1000
	header := make([]byte, fixedHeaderBytes)
	for _, tt := range []struct {
		name  string
		input []byte
		want  any // *FrameError, *ForeignProtocolError or error
	}{
		{"nothing", nil, io.EOF},
		{"half a size", []byte{0, 0}, io.ErrUnexpectedEOF},
		{"zero", sized(0), FrameError{Reason: "too short for a request header"}},
		{"one byte short", sized(minFrameBytes - 1), FrameError{Reason: "too short for a request header", SizeBytes: minFrameBytes - 1}},
		{"negative", sized(-1), FrameError{Reason: "negative size", SizeBytes: -1}},
		{"most negative", sized(math.MinInt32), FrameError{Reason: "negative size", SizeBytes: math.MinInt32}},
		{"2 GiB", sized(math.MaxInt32), FrameError{Reason: "too large", SizeBytes: math.MaxInt32, LimitBytes: maxFrameBytes}},
		{"one above all", sized(maxFrameBytes + 1), FrameError{Reason: "too large", SizeBytes: maxFrameBytes + 1, LimitBytes: maxFrameBytes}},
		{"one above API", sized(limit+1, header...), FrameError{Reason: "too large for its API", SizeBytes: limit + 1, LimitBytes: limit}},
		{"at API limit, cut", sized(limit, header...), io.ErrUnexpectedEOF},
		{"unknown key", sized(limit, 0, 4, 0, 0, 0, 0, 0, 0), FrameError{Reason: "unknown API key", SizeBytes: limit}},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00"), ForeignProtocolError{"TLS"}},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), ForeignProtocolError{"HTTP"}},
		{"HTTP/2", []byte("PRI * HTTP/2.0\r\n"), ForeignProtocolError{"HTTP"}},
		{"text", []byte("HELO mail\r\n"), FrameError{Reason: "too large", SizeBytes: 0x48454C4F, LimitBytes: maxFrameBytes}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost(limit)
			_, err := readerOf(h, bytes.NewReader(tt.input)).next(h)
			var frame *FrameError
			var foreign *ForeignProtocolError
			switch want := tt.want.(type) {
			case FrameError:
				if !errors.As(err, &frame) || *frame != want {
					t.Errorf("got %v, want %v", err, &want)
				}
			case ForeignProtocolError:
				if !errors.As(err, &foreign) || *foreign != want {
					t.Errorf("got %v, want %v", err, &want)
				}
			case error:
				if err != want {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			if h.heldMax > 2*smallestClassBytes {
				t.Errorf("took %d bytes for %d bytes", h.heldMax, len(tt.input))
			}
			if held := h.arena.stats.RequestsHeld.Load(); held != 0 || h.arena.budget.used != 0 {
				t.Errorf("left %d requests, %d bytes", held, h.arena.budget.used)
			}
		})
	}
}

// A large size with few bytes behind it takes KiBs; what is taken follows what
// arrives, and a connection's word counts as far as it was kept before.
func TestMemoryFollowsArrivedBytes(t *testing.T) {
	const large = 64 << 20
	head := sized(large, make([]byte, fixedHeaderBytes)...)
	for _, tt := range []struct {
		name          string
		before, after int // bytes of a whole frame before, of the cut frame after its header
		want          int64
	}{
		{"fresh connection", 0, 2, firstStepBytes},
		{"sent a little", 0, 40 << 10, 160 << 10},
		{"kept its word for 200 KiB", 200 << 10, 2, 256 << 10},
		{"kept its word for 32 MiB", 32 << 20, 2, maxTrustBytes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost(large)
			var input []byte
			if tt.before > 0 {
				input = sized(int32(tt.before), make([]byte, tt.before)...)
			}
			input = append(append(input, head...), make([]byte, tt.after)...)
			f := readerOf(h, bytes.NewReader(input))
			if tt.before > 0 {
				r, err := f.next(h)
				if err != nil {
					t.Fatal(err)
				}
				r.Release()
				h.heldMax = 0
			}
			if _, err := f.next(h); err != io.ErrUnexpectedEOF {
				t.Fatalf("got %v, want io.ErrUnexpectedEOF", err)
			}
			if h.heldMax > tt.want {
				t.Errorf("took %d bytes, want at most %d", h.heldMax, tt.want)
			}
		})
	}
}

// An error of the source comes through, and with the last bytes of a frame
// only after it.
func TestSourceErrors(t *testing.T) {
	broken := errors.New("broken")
	whole := metadata(1, make([]byte, 3000))
	for cut := range len(whole) + 1 {
		if cut > 40 && cut%97 != 0 && cut < len(whole)-2 {
			continue
		}
		h := newFakeHost(1 << 20)
		f := readerOf(h, io.MultiReader(bytes.NewReader(whole[:cut]), iotest.ErrReader(broken)))
		r, err := f.next(h)
		if cut == len(whole) {
			if err != nil {
				t.Fatalf("whole frame: %v", err)
			}
			r.Release()
			_, err = f.next(h)
		}
		if err != broken {
			t.Errorf("cut at %d: got %v, want the source's error", cut, err)
		}
	}
	h := newFakeHost(1 << 20)
	f := readerOf(h, iotest.DataErrReader(bytes.NewReader(whole)))
	if r, err := f.next(h); err != nil {
		t.Errorf("error with the last bytes: %v", err)
	} else {
		r.Release()
	}
}

// chunked reads at most a few bytes at a time, in a pattern made of seed.
type chunked struct {
	src  *bytes.Reader
	seed uint64
}

func (c *chunked) Read(b []byte) (int, error) {
	c.seed = c.seed*6364136223846793005 + 1442695040888963407
	most := 1 << (c.seed >> 60) // 1 .. 32768
	return c.src.Read(b[:min(len(b), most)])
}

// cutFrames is what the frame reader should make of input.
func cutFrames(input []byte, limit int) (frames [][]byte, failed bool) {
	for len(input) > 0 {
		if len(input) < sizePrefixBytes+fixedHeaderBytes {
			return frames, true
		}
		size := int64(int32(binary.BigEndian.Uint32(input)))
		key := binary.BigEndian.Uint16(input[4:])
		if size < minFrameBytes || size > int64(limit) || key > 3 || size > int64(len(input)-4) {
			return frames, true
		}
		frames = append(frames, input[4:4+size])
		input = input[4+size:]
	}
	return frames, false
}

// FuzzFrameReader compares the reader with cutFrames, however the bytes
// arrive, and checks that memory never runs ahead of them.
func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add(metadata(1, []byte("body")), uint64(1))
	f.Add(append(metadata(1, make([]byte, 600)), produce(2, make([]byte, 40_000))...), uint64(7))
	f.Add(append(produce(1, make([]byte, 20_000)), sized(1<<19, make([]byte, 100)...)...), uint64(3))
	f.Add(sized(-5, 1, 2, 3), uint64(0))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), uint64(0))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), uint64(0))
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		const limit = 1 << 19
		h := newFakeHost(limit)
		want, wantFailed := cutFrames(input, limit)
		r := readerOf(h, &chunked{bytes.NewReader(input), seed})
		for i := 0; ; i++ {
			got, err := r.next(h)
			if err != nil {
				if i != len(want) || (err == io.EOF) == wantFailed {
					t.Fatalf("after %d frames of %d: %v, want failure %v", i, len(want), err, wantFailed)
				}
				break
			}
			if i >= len(want) || !bytes.Equal(got.frame.b[:got.frameSize], want[i]) {
				t.Fatalf("frame %d of %d differs", i, len(want))
			}
			if got.parse() == nil {
				echo(got).Await(context.Background())
			}
			got.Release()
		}
		if h.tooMuch {
			t.Error("memory ran ahead of the bytes that had arrived")
		}
		if held := h.arena.stats.RequestsHeld.Load(); held != 0 || h.arena.budget.used != 0 {
			t.Errorf("left %d requests, %d bytes", held, h.arena.budget.used)
		}
	})
}
