package wire

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Shutdown answers every request that the handler has seen and reads no other.
func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var handled counter
		ln := newPipeListener()
		s := start(t, Config{}, func(r *Request) Reply {
			handled.add()
			return later{r, gate}
		}, ln)
		parked, idle, half := ln.dial(t, "10.0.0.1"), ln.dial(t, "10.0.0.1"), ln.dial(t, "10.0.0.1")
		for i := range int32(5) {
			parked.send(metadata(i, nil))
		}
		half.send(metadata(1, nil)[:9])
		synctest.Wait()

		done := make(chan error, 1)
		go func() { done <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		idle.expectClosed()
		half.expectClosed()
		go parked.Write(metadata(99, nil)) // too late: not read
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Shutdown returned %v before the replies", err)
		default:
		}
		close(gate)
		for i := range int32(5) {
			parked.expect(i, nil)
		}
		parked.expectClosed()
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if got := handled.value(); got != 5 {
			t.Errorf("handled %d requests, want 5", got)
		}
		s.stop()
	})
}

// Over TCP too: a client that goes on sending gets its last replies, not a
// reset.
func TestShutdownUnderLoad(t *testing.T) {
	s, addr := startTCP(t, Config{}, echo)
	var wg sync.WaitGroup
	var answered counter
	for range 4 {
		c := dial(t, addr)
		c.send(metadata(0, nil)) // accepted: Shutdown resets what is not
		c.expect(0, nil)
		answered.add()
		wg.Go(func() {
			for i := int32(1); ; i++ {
				if _, err := c.Write(metadata(i, nil)); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			defer c.Close()
			var b [8 << 10]byte
			for {
				n, err := c.Read(b[:])
				for range n / 8 { // responses have 4 + 4 bytes
					answered.add()
				}
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Errorf("reading replies: %v", err)
					return
				}
			}
		})
	}
	for s.Stats().Requests.Load() < 1000 {
		runtime.Gosched()
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wg.Wait()
	// Reads may split a response, and count it less.
	if got, want := int64(answered.value()), s.Stats().Requests.Load(); got > want || s.Stats().BytesOut.Load() != 8*want {
		t.Errorf("answered %d of %d requests with %d bytes", got, want, s.Stats().BytesOut.Load())
	}
}

// TestShutdownResetsTheNew: who has just connected, or asked no more than which APIs there are, is not shown an
// orderly end, which means something else before the first answer.
func TestShutdownResetsTheNew(t *testing.T) {
	for _, asked := range []string{"", "\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"} { // ApiVersions 0
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, Config{}, func(r *Request) Reply { return NoReply }, ln)
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(asked)); err != nil {
			t.Fatal(err)
		}
		for s.Stats().ConnectionsOpen.Load() == 0 || asked != "" && s.Stats().Requests.Load() == 0 {
			runtime.Gosched()
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("asked %q: got %v, want a reset", asked, err)
		}
		s.stop()
	}
}

// When its context ends first, Shutdown closes what is left.
func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipeListener()
		s := start(t, Config{}, func(r *Request) Reply { return later{r, nil} }, ln)
		c := ln.dial(t, "10.0.0.1")
		defer c.Close()
		c.send(metadata(1, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: got %v, want the context's error", err)
		}
		if got := time.Since(begin); got != time.Minute {
			t.Errorf("returned after %v", got)
		}
		c.expectClosed()
		s.stop()
	})
}

// Close ends parked replies with ErrServerClosed as their cause, may be called
// again and beside Shutdown, and nothing is served after it.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := make(chan error, 1)
		ln := newPipeListener()
		s := start(t, Config{}, func(r *Request) Reply {
			return replyFunc(func(ctx context.Context) (Response, error) {
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return Response{}, ctx.Err()
			})
		}, ln)
		c := ln.dial(t, "10.0.0.1")
		c.send(metadata(1, nil))
		synctest.Wait()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { s.Close() })
			wg.Go(func() { s.Shutdown(t.Context()) })
		}
		wg.Wait()
		c.expectClosed()
		if err := <-cause; !errors.Is(err, ErrServerClosed) {
			t.Errorf("cause: got %v, want ErrServerClosed", err)
		}
		if err := s.Serve(newPipeListener()); !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve after Close: got %v", err)
		}
		s.stop()
	})
}

// Two listeners of one server; each connection knows its own.
func TestSeveralListeners(t *testing.T) {
	s, first := startTCP(t, Config{}, func(r *Request) Reply {
		c := r.Conn
		if c.RemoteAddr() == nil || c.LocalAddr().String() != c.ListenerAddr().String() || c.NetConn() == nil || c.ID() == 0 || c.Context().Err() != nil {
			t.Errorf("addresses: remote %v, local %v, listener %v", c.RemoteAddr(), c.LocalAddr(), c.ListenerAddr())
		}
		return r.Respond(Part{Bytes: append(r.Buffer(64), "1234"+c.ListenerAddr().String()...)})
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	for _, addr := range []string{first, ln.Addr().String()} {
		c := dial(t, addr)
		c.send(metadata(1, nil))
		if _, got := c.receive(); string(got) != addr {
			t.Errorf("listener: got %s, want %s", got, addr)
		}
	}
	s.Close()
	if err := <-served; !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// Garbage closes its connection; a proper client beside it is served.
func TestGarbage(t *testing.T) {
	s, addr := startTCP(t, Config{}, echo)
	proper := dial(t, addr)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range int32(200) {
		garbage := make([]byte, rng.IntN(2000))
		for j := range garbage {
			garbage[j] = byte(rng.Uint32())
		}
		if i%2 == 0 { // a plausible frame around it
			garbage = append(sized(int32(minFrameBytes+rng.IntN(1000)), 0, byte(rng.IntN(20)), 0, byte(rng.IntN(15))), garbage...)
		}
		c := dial(t, addr)
		c.Write(garbage)
		c.Conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
		proper.send(metadata(i, garbage))
		proper.expect(i, garbage)
	}
	if s.Stats().HandlerPanics.Load() != 0 {
		t.Error("garbage made the server panic")
	}
}

// idleConnectionBytes is what an idle connection may cost the server: heap,
// stacks and the client's end of it in this process. Measured: 4.4 KiB.
const idleConnectionBytes = 12 << 10

// 5,000 connections that have each had an answer and went idle cost little,
// and one more is served.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections = 5000
	s, addr := startTCP(t, Config{}, echo)
	before := memoryInUse()
	var open []net.Conn
	t.Cleanup(func() {
		for _, c := range open {
			c.Close()
		}
	})
	for i := range int32(connections) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, nc)
		c := client{nc, t}
		c.send(produce(i, make([]byte, 2000)))
		c.expect(i, make([]byte, 2000))
	}
	after := memoryInUse()
	each := (int64(after) - int64(before)) / connections
	t.Logf("%d bytes per idle connection", each)
	if each > idleConnectionBytes {
		t.Errorf("an idle connection costs %d bytes, want at most %d", each, idleConnectionBytes)
	}
	c := dial(t, addr)
	c.send(metadata(1, nil))
	c.expect(1, nil)
	if got := s.Stats().ConnectionsOpen.Load(); got != connections+1 {
		t.Errorf("connections open: got %d, want %d", got, connections+1)
	}
}

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC() // the second empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// 1,000 connections that announce 64 MiB each and send ten bytes hold KiBs.
func TestAnnouncedBytesTakeNoMemory(t *testing.T) {
	const connections = 1000
	s, addr := startTCP(t, Config{}, echo)
	before := memoryInUse()
	for range connections {
		c := dial(t, addr)
		c.send(sized(64<<20, make([]byte, fixedHeaderBytes+2)...))
	}
	for s.Stats().BytesIn.Load() < connections*(sizePrefixBytes+fixedHeaderBytes+2) {
		runtime.Gosched()
	}
	if each := (int64(memoryInUse()) - int64(before)) / connections; each > firstStepBytes+idleConnectionBytes {
		t.Errorf("a connection that announced 64 MiB holds %d bytes", each)
	}
	if got := s.Stats().InFlightBytes.Load(); got > connections*firstStepBytes {
		t.Errorf("in flight: %d bytes", got)
	}
}
