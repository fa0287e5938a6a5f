package floor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

const childVerb = "floor-process"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childVerb {
		if err := Main(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func serve(t *testing.T, cfg Config) (*Server, net.Conn) {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

// frame returns a produce frame of n random bytes, its size in front.
func frame(n int, correlation uint32) []byte {
	b := make([]byte, 4+n)
	rng := rand.New(rand.NewPCG(uint64(n), uint64(correlation)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	binary.BigEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint32(b[4:], 0) // produce
	binary.BigEndian.PutUint32(b[8:], correlation)
	return b
}

// TestRoundTrip: frames of many sizes, sent in one stream, are stored byte for byte and answered in
// order with the checksum of what was stored.
func TestRoundTrip(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync=%v", sync), func(t *testing.T) {
			dir := t.TempDir()
			_, c := serve(t, Config{Dir: dir, Sync: sync})
			var stream, stored []byte
			var sums []uint32
			for i, n := range []int{8, 9, 12, 4096, 1, 70_000, 8, 300_000, 100} {
				f := frame(max(n, minFrameBytes), uint32(i))
				stream, stored = append(stream, f...), append(stored, f[4:]...)
				sums = append(sums, crc32.Checksum(f[4:], castagnoli))
			}
			wrote := make(chan error, 1)
			go func() {
				_, err := io.Copy(c, &slowReader{stream})
				wrote <- err
			}()
			for i, sum := range sums {
				var ack [ackBytes]byte
				if _, err := io.ReadFull(c, ack[:]); err != nil {
					t.Fatal(err)
				}
				if want := appendAck(nil, [4]byte(binary.BigEndian.AppendUint32(nil, uint32(i))), sum); !bytes.Equal(ack[:], want) {
					t.Fatalf("answer %d is %x, want %x", i, ack, want)
				}
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "000001.floor"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(got, stored) || len(got) < preallocateBytes {
				t.Errorf("stored are %d bytes, not those that were sent in front", len(got))
			}
		})
	}
}

// slowReader hands out an odd number of bytes at a time, so that frames arrive in pieces.
type slowReader struct{ left []byte }

func (r *slowReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 4097)], r.left)
	r.left = r.left[n:]
	return n, nil
}

// TestSend: fetches get the file range by range, and start over at its end.
func TestSend(t *testing.T) {
	dir := t.TempDir()
	_, c := serve(t, Config{Dir: dir, ReadFileBytes: 2_500_000, ReadBytes: 1_000_000})
	file, err := os.ReadFile(filepath.Join(dir, "read.floor"))
	if err != nil {
		t.Fatal(err)
	}
	if len(file) != 2_500_000 {
		t.Fatalf("the file has %d bytes", len(file))
	}
	for i, from := range []int{0, 1_000_000, 0, 1_000_000} {
		f := frame(50, uint32(i))
		binary.BigEndian.PutUint16(f[4:], apiFetch)
		if _, err := c.Write(f); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 8+1_000_000)
		if _, err := io.ReadFull(c, answer); err != nil {
			t.Fatal(err)
		}
		if binary.BigEndian.Uint32(answer) != 1_000_004 || binary.BigEndian.Uint32(answer[4:]) != uint32(i) || !bytes.Equal(answer[8:], file[from:from+1_000_000]) {
			t.Errorf("fetch %d is not the range from %d", i, from)
		}
	}
}

// TestFramesOutOfSizeEndTheConnection and are an error of the server.
func TestFramesOutOfSizeEndTheConnection(t *testing.T) {
	for _, size := range []uint32{0, minFrameBytes - 1, maxFrameBytes + 1, 1 << 31} {
		s, err := Start(Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(binary.BigEndian.AppendUint32(nil, size)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("size %d: the connection stays", size)
		}
		c.Close()
		if err := s.Close(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("frame of %d bytes", size)) {
			t.Errorf("size %d: got %v", size, err)
		}
	}
}

// TestFilesRoll: a full file is followed by another, and with Sync nobody loses its file on the way.
func TestFilesRoll(t *testing.T) {
	dir := t.TempDir()
	w := fileWriter{server: &Server{cfg: Config{Dir: dir}}}
	settled := 0
	w.settle = func() { settled++ }
	for range 2 {
		if err := w.write([]byte("12345678")); err != nil {
			t.Fatal(err)
		}
		w.position = fileBytes - 4
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.floor"))
	if err != nil || len(files) != 2 || settled != 2 {
		t.Errorf("files %v, %v, settled %d times", files, err, settled)
	}
}

// TestSyncErrorEndsTheConnection: without a sync there is no answer.
func TestSyncErrorEndsTheConnection(t *testing.T) {
	s := startSyncer()
	defer s.close()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	a := startAcks(server, s)
	closed, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_ = a.add(closed, [4]byte{}, 0) // may be told already
	a.pending.Wait()
	if err := a.add(closed, [4]byte{}, 0); err == nil {
		t.Error("no error after a failed sync")
	}
	a.close()
	if len(a.ready) != 0 {
		t.Error("an answer was made")
	}
}

func TestArgsRoundTrip(t *testing.T) {
	for _, want := range []Config{{Dir: "/d"}, {Dir: "with space", Sync: true, ReadFileBytes: 1 << 33, ReadBytes: 4096}, {Dir: "d", Followers: []string{"127.0.0.1:1", "127.0.0.1:2"}}, {Dir: "d", Unsummed: true}} {
		if got, err := ParseArgs(Args(want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for _, bad := range [][]string{nil, {"d"}, {"d", "true", "0", "0"}, {"d", "x", "0", "0", "", "false"}, {"d", "true", "", "0", "", "false"}, {"d", "true", "0", "y", "", "false"}, {"d", "true", "0", "0", "", ""}} {
		if _, err := ParseArgs(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, bad := range []Config{{}, {Dir: "d", ReadFileBytes: -1}, {Dir: "d", ReadFileBytes: 10}, {Dir: "d", ReadFileBytes: 10, ReadBytes: 11}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// TestChild runs the server as a process of its own.
func TestChild(t *testing.T) {
	ch, err := StartChild([]string{os.Args[0], childVerb}, Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if ch.PID == os.Getpid() || ch.PID == 0 {
		t.Errorf("process id %d", ch.PID)
	}
	c, err := net.Dial("tcp", ch.Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(frame(100, 5)); err != nil {
		t.Fatal(err)
	}
	var ack [ackBytes]byte
	if _, err := io.ReadFull(c, ack[:]); err != nil || binary.BigEndian.Uint32(ack[4:]) != 5 {
		t.Errorf("answer %x, %v", ack, err)
	}
	c.Close()
	if err := ch.Stop(); err != nil {
		t.Error(err)
	}
}

// TestChildThatCannotStart says why.
func TestChildThatCannotStart(t *testing.T) {
	_, err := StartChild([]string{os.Args[0], childVerb}, Config{Dir: filepath.Join(t.TempDir(), "none"), ReadFileBytes: 10, ReadBytes: 1})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}
