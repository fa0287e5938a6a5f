package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"weir/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handlerFunc makes a Handler of a function.
type handlerFunc func(*Request) Reply

func (f handlerFunc) Handle(r *Request) Reply { return f(r) }

// echo answers with the correlation id and the body.
func echo(r *Request) Reply { return r.Respond(Part{Bytes: echoBytes(r)}) }

func echoBytes(r *Request) []byte {
	b := r.Buffer(4 + len(r.Body))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Header.CorrelationID))
	return append(b, r.Body...)
}

// later is a Reply that is ready when its channel is closed, or ends with ctx.
type later struct {
	r    *Request
	gate <-chan struct{}
}

func (l later) Await(ctx context.Context) (Response, error) {
	select {
	case <-l.gate:
		return Response{Parts: []Part{{Bytes: echoBytes(l.r)}}}, nil
	case <-ctx.Done():
		return Response{}, context.Cause(ctx)
	}
}

// testServer is a Server on some listener that is checked for leaks at the end.
type testServer struct {
	*Server
	t      testing.TB
	log    *logBuffer
	served chan error
}

// start serves ln with h until the end of the test, or until stop.
func start(t testing.TB, cfg Config, h handlerFunc, ln net.Listener) *testServer {
	t.Helper()
	log := new(logBuffer)
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := &testServer{Server: NewServer(cfg, h, logger), t: t, log: log, served: make(chan error, 1)}
	go func() { s.served <- s.Serve(ln) }()
	return s
}

// startTCP serves on a free loopback port and stops at the end of the test.
func startTCP(t testing.TB, cfg Config, h handlerFunc) (*testServer, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, cfg, h, ln)
	t.Cleanup(s.stop)
	return s, ln.Addr().String()
}

// stop closes the server and checks that nothing is held any more.
func (s *testServer) stop() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Errorf("Close: %v", err)
	}
	if err := <-s.served; err != ErrServerClosed {
		s.t.Errorf("Serve: got %v, want ErrServerClosed", err)
	}
	if n := s.Stats().RequestsHeld.Load(); n != 0 {
		s.t.Errorf("%d requests not released", n)
	}
	if n := s.Stats().InFlightBytes.Load(); n != 0 {
		s.t.Errorf("%d bytes of the budget not given back", n)
	}
	if n := s.Stats().ConnectionsOpen.Load(); n != 0 {
		s.t.Errorf("%d connections open", n)
	}
}

// logBuffer is a log that tests read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(text))
}

// client is the other end of a connection.
type client struct {
	net.Conn
	t testing.TB
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &client{nc, t}
}

// frame is a request of 14 + len(body) bytes with its size prefix.
func frame(key, version int16, correlation int32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(framePlus+len(body)))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = binary.BigEndian.AppendUint16(b, 4)
	b = append(b, "test"...)
	return append(b, body...)
}

const framePlus = 14

// produce and metadata are frames of versions whose header has no tags.
func produce(correlation int32, body []byte) []byte {
	return frame(protocol.KeyProduce, 7, correlation, body)
}

func metadata(correlation int32, body []byte) []byte {
	return frame(protocol.KeyMetadata, 5, correlation, body)
}

func (c *client) send(frames ...[]byte) {
	c.t.Helper()
	if _, err := c.Write(bytes.Join(frames, nil)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// receive reads one response.
func (c *client) receive() (correlation int32, body []byte) {
	c.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatalf("receive %d bytes: %v", len(b), err)
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:]
}

// expect reads one response and compares it.
func (c *client) expect(correlation int32, body []byte) {
	c.t.Helper()
	gotID, got := c.receive()
	if gotID != correlation || !bytes.Equal(got, body) {
		c.t.Fatalf("got response %d of %d bytes, want %d of %d bytes", gotID, len(got), correlation, len(body))
	}
}

// expectClosed checks that the server closes without another byte.
func (c *client) expectClosed() {
	c.t.Helper()
	var b [1]byte
	if n, err := c.Read(b[:]); n != 0 || err == nil {
		c.t.Fatalf("got a byte (%v), want a closed connection", err)
	}
}

// pipeListener hands out in-memory connections, for tests in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// addressed is a pipe end with a remote address.
type addressed struct {
	net.Conn
	remote net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }

func (l *pipeListener) dial(t testing.TB, ip string) *client {
	near, far := net.Pipe()
	l.conns <- addressed{far, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1000}}
	return &client{near, t}
}
