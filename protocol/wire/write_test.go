package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tempFile is a file of size bytes in a pattern without short periods.
func tempFile(t testing.TB, size int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, size)
	rng := mrand.New(mrand.NewPCG(1, uint64(size)))
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	name := filepath.Join(t.TempDir(), "segment")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, content
}

// rangeOf is [from, to) of f, by descriptor or only by ReadAt.
func rangeOf(f *os.File, from, to int, byFd bool) FileRange {
	r := FileRange{Reader: f, Position: int64(from), Length: int64(to - from)}
	if byFd {
		r.Fd, r.HasFd = f.Fd(), true
	}
	return r
}

// transport starts a server that writes over one kind of connection.
type transport struct {
	name string
	dial func(t *testing.T, h handlerFunc) *client
}

var transports = []transport{
	{"TCP", func(t *testing.T, h handlerFunc) *client {
		_, addr := startTCP(t, Config{}, h)
		return dial(t, addr)
	}},
	{"pipe", func(t *testing.T, h handlerFunc) *client {
		ln := newPipeListener()
		s := start(t, Config{}, h, ln)
		t.Cleanup(s.stop)
		c := ln.dial(t, "10.0.0.1")
		t.Cleanup(func() { c.Close() })
		return c
	}},
	{"TLS", func(t *testing.T, h handlerFunc) *client {
		server, clientConfig := tlsConfigs(t)
		ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, Config{}, h, ln)
		t.Cleanup(s.stop)
		c := dial(t, ln.Addr().String())
		c.Conn = tls.Client(c.Conn, clientConfig)
		return c
	}},
}

// tlsConfigs are those of a server with a fresh certificate and its client.
func tlsConfigs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// Responses of bytes and file ranges of all sizes arrive byte for byte, over
// every kind of connection, with and without a descriptor, and every part is
// released once.
func TestFileParts(t *testing.T) {
	f, content := tempFile(t, 6<<20)
	type piece struct{ head, from, to int }
	many := make([]piece, 200)
	for i := range many {
		many[i] = piece{head: i % 3 * 20, from: i * 1000, to: i*1000 + i%7*5000}
	}
	responses := map[string][]piece{
		"no part":                  {},
		"empty part":               {{0, 0, 0}},
		"bytes only":               {{100, 0, 0}, {70_000, 0, 0}},
		"one byte of file":         {{0, 77, 78}},
		"at the small limit":       {{10, 1, 1 + 16<<10}},
		"above the small limit":    {{10, 1, 2 + 16<<10}},
		"ends with a head":         {{10, 0, 100_000}, {33, 0, 0}},
		"ends with an empty part":  {{10, 0, 100_000}, {0, 5, 5}},
		"large between small":      {{9, 0, 500}, {9, 500, 300_000}, {9, 9, 12}},
		"several large":            {{8, 0, 1 << 20}, {8, 1 << 20, 3 << 20}, {8, 17, 999_999}},
		"beyond the socket buffer": {{8, 0, 6 << 20}},
		"more parts than iovecs":   many,
	}
	for _, transport := range transports {
		for _, byFd := range []bool{true, false} {
			name := transport.name + map[bool]string{true: " by descriptor", false: " by ReadAt"}[byFd]
			t.Run(name, func(t *testing.T) {
				var released counter
				next := make(chan []piece, 1)
				c := transport.dial(t, func(r *Request) Reply {
					pieces := <-next
					parts := []Part{{Bytes: echoBytes(r), Release: released.add}}
					for _, p := range pieces {
						parts = append(parts, Part{Bytes: content[:p.head], Release: released.add,
							File: rangeOf(f, p.from, p.to, byFd)})
					}
					return Ready(Response{Parts: parts})
				})
				parts := 0
				for name, pieces := range responses {
					next <- pieces
					c.send(metadata(5, nil))
					var want []byte
					for _, p := range pieces {
						want = append(append(want, content[:p.head]...), content[p.from:p.to]...)
					}
					if id, got := c.receive(); id != 5 || !bytes.Equal(got, want) {
						t.Fatalf("%s: response %d of %d bytes differs from the %d wanted", name, id, len(got), len(want))
					}
					parts += 1 + len(pieces)
				}
				next <- nil // one more round trip, after which the others are released
				c.send(metadata(6, nil))
				c.expect(6, nil)
				if got := released.value(); got < parts || got > parts+1 {
					t.Errorf("released %d parts, want %d", got, parts)
				}
			})
		}
	}
	if pos, err := f.Seek(0, io.SeekCurrent); pos != 0 || err != nil {
		t.Errorf("the file's own position moved to %d (%v)", pos, err)
	}
}

// A file that is shorter than promised closes the connection, with the bytes
// that there are and no others in their place.
func TestShortFileCloses(t *testing.T) {
	f, content := tempFile(t, 100_000)
	for _, transport := range transports {
		for _, byFd := range []bool{true, false} {
			for _, from := range []int{0, len(content) - 100, len(content), len(content) + 5} {
				var released counter
				c := transport.dial(t, func(r *Request) Reply {
					file := rangeOf(f, from, len(content)+1000, byFd)
					return Ready(Response{Parts: []Part{{File: file, Release: released.add}}})
				})
				c.send(metadata(1, nil))
				got, err := io.ReadAll(c)
				if err != nil && transport.name != "TLS" {
					t.Errorf("%s from %d: %v", transport.name, from, err)
				}
				want := append([]byte{0, 0, 0, 0}, content[min(from, len(content)):]...)
				if len(got) > len(want) || len(got) > 4 && !bytes.Equal(got[4:], want[4:len(got)]) {
					t.Errorf("%s from %d: got %d bytes that are not a start of the %d there are",
						transport.name, from, len(got), len(want))
				}
				c.Close()
				if got := released.value(); got != 1 {
					t.Errorf("%s from %d: released %d times", transport.name, from, got)
				}
			}
		}
	}
}

// failingFile fails to read, or reads nothing without saying why.
type failingFile struct{ err error }

func (f failingFile) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestFailingFileCloses(t *testing.T) {
	for _, transport := range transports {
		for _, fails := range []error{errors.New("input/output error"), nil, io.EOF} {
			c := transport.dial(t, func(r *Request) Reply {
				return Ready(Response{Parts: []Part{{File: FileRange{Reader: failingFile{fails}, Length: 10}}}})
			})
			c.send(metadata(1, nil))
			if b, _ := io.ReadAll(c); len(b) > 4 {
				t.Errorf("%s, %v: got %d bytes", transport.name, fails, len(b))
			}
			c.Close()
		}
	}
}

// A descriptor that sendfile refuses is read instead.
func TestSendfileRefused(t *testing.T) {
	dir, err := os.Open(t.TempDir()) // EINVAL: a directory is no source for sendfile
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	fd := dir.Fd()
	f, content := tempFile(t, 300_000)
	_, addr := startTCP(t, Config{}, func(req *Request) Reply {
		file := rangeOf(f, 0, len(content), true)
		file.Fd = fd
		return Ready(Response{Parts: []Part{{Bytes: echoBytes(req)}, {File: file}}})
	})
	c := dial(t, addr)
	c.send(metadata(1, nil))
	c.expect(1, content)
}

// A peer that goes away in the middle of a range ends the transfer and the
// range is released; the others are served.
func TestPeerGoneMidTransfer(t *testing.T) {
	f, content := tempFile(t, 6<<20)
	for _, byFd := range []bool{true, false} {
		released := make(chan struct{})
		_, addr := startTCP(t, Config{}, func(r *Request) Reply {
			if r.Header.CorrelationID == 1 {
				parts := []Part{{Release: func() { close(released) }}}
				for range 10 {
					parts = append(parts, Part{File: rangeOf(f, 0, len(content), byFd)})
				}
				return Ready(Response{Parts: parts})
			}
			return echo(r)
		})
		c, other := dial(t, addr), dial(t, addr)
		c.send(metadata(1, nil))
		if _, err := io.CopyN(io.Discard, c, 100_000); err != nil {
			t.Fatal(err)
		}
		c.Close()
		<-released
		other.send(metadata(2, nil))
		other.expect(2, nil)
	}
}

// A peer that takes nothing of a large range is closed by the write timeout,
// which parks no thread and releases the range.
func TestWriteTimeoutInSendfile(t *testing.T) {
	f, content := tempFile(t, 6<<20)
	writing, released := make(chan struct{}), make(chan struct{})
	s, addr := startTCP(t, Config{}, func(r *Request) Reply {
		var parts []Part
		for range 20 {
			parts = append(parts, Part{File: rangeOf(f, 0, len(content), true)})
		}
		parts[0].Release = func() { close(released) }
		close(writing)
		return Ready(Response{Parts: parts})
	})
	c := dial(t, addr)
	c.send(metadata(1, nil))
	<-writing
	// The sweeper is told of later and later times until it finds the write
	// that no longer moves; the wait for it is not synchronisation but load.
	for elapsed := time.Hour; ; elapsed += time.Hour {
		s.sweep(elapsed)
		select {
		case <-released:
			s.Close()
			if s.log.count(errWriteTimeout.Error()) != 1 {
				t.Error("closed for another reason")
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Close in the middle of a transfer does not wait for the peer.
func TestCloseMidTransfer(t *testing.T) {
	f, content := tempFile(t, 6<<20)
	writing := make(chan struct{})
	s, addr := startTCP(t, Config{}, func(r *Request) Reply {
		var parts []Part
		for range 20 {
			parts = append(parts, Part{File: rangeOf(f, 0, len(content), true)})
		}
		close(writing)
		return Ready(Response{Parts: parts})
	})
	c := dial(t, addr)
	c.send(metadata(1, nil))
	<-writing
	s.Close()
}

// A TLS client that does not finish its handshake is closed in time.
func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, _ := tlsConfigs(t)
		ln := newPipeListener()
		s := start(t, Config{}, echo, tls.NewListener(ln, server))
		defer s.stop()
		c := ln.dial(t, "10.0.0.1")
		defer c.Close()
		begin := time.Now()
		c.send([]byte{0x16, 3, 1})
		io.Copy(io.Discard, c)
		if got := time.Since(begin); got != DefaultConfig().HandshakeTimeout {
			t.Errorf("closed after %v", got)
		}
	})
}

// Several connections fetch from one descriptor at once: positions are not
// shared.
func TestConnectionsShareDescriptor(t *testing.T) {
	f, content := tempFile(t, 2<<20)
	_, addr := startTCP(t, Config{}, func(r *Request) Reply {
		at := int(r.Header.CorrelationID) * 1000
		return replyFunc(func(context.Context) (Response, error) {
			return Response{Parts: []Part{{Bytes: echoBytes(r)}, {File: rangeOf(f, at, at+1<<20, true)}}}, nil
		})
	})
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 8 {
		c := dial(t, addr)
		wg.Go(func() {
			for i := range int32(30) {
				c.Write(metadata(i, nil))
				if id, got := c.receive(); id != i || !bytes.Equal(got, content[i*1000:i*1000+1<<20]) {
					t.Errorf("range %d differs", i)
					return
				}
			}
		})
	}
}
