package wire

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"weir/protocol"
)

// Replies that become ready in any order, some at once, some beside the reader
// and some never written, leave in the order of their requests.
func TestRepliesKeepRequestOrder(t *testing.T) {
	const requests = 400
	var gates [requests]chan struct{}
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	s, addr := startTCP(t, Config{ReadAheadRequests: requests}, func(r *Request) Reply {
		switch id := r.Header.CorrelationID; id % 4 {
		case 0:
			return r.Respond(Part{Bytes: echoBytes(r)})
		case 1:
			return NoReply
		default:
			return later{r, gates[id]}
		}
	})
	c := dial(t, addr)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for _, i := range rand.Perm(requests) {
			close(gates[i])
		}
	})
	wg.Go(func() {
		for i := range int32(requests) {
			c.Write(metadata(i, bytes.Repeat([]byte{byte(i)}, int(i))))
		}
	})
	for i := range int32(requests) {
		if i%4 != 1 {
			c.expect(i, bytes.Repeat([]byte{byte(i)}, int(i)))
		}
	}
	if got := s.Stats().Requests.Load(); got != requests {
		t.Errorf("requests counted: got %d, want %d", got, requests)
	}
}

// A pipeline sent in one write, across read buffer and frame boundaries.
func TestPipelineOfMixedSizes(t *testing.T) {
	_, addr := startTCP(t, Config{}, echo)
	c := dial(t, addr)
	sizes := []int{0, 1, 200, 230, 484, 485, 486, 487, 488, 500, 512, 1000, 0, 16 << 10, 70_000, 3, 300_000, 1 << 20, 2 << 20, 7}
	var frames, bodies [][]byte
	for i, n := range sizes {
		body := make([]byte, n)
		for j := range body {
			body[j] = byte(i + j*7)
		}
		frames, bodies = append(frames, produce(int32(i), body)), append(bodies, body)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.Write(bytes.Join(frames, nil)) })
	for i, body := range bodies {
		c.expect(int32(i), body)
	}
}

// ReadAheadRequests unanswered requests are read, and not one more.
func TestReadAheadIsBoundedByCount(t *testing.T) {
	const limit = 3
	synctest.Test(t, func(t *testing.T) {
		handled, gate := 0, make(chan struct{})
		ln := newPipeListener()
		s := start(t, Config{ReadAheadRequests: limit}, func(r *Request) Reply {
			handled++
			return later{r, gate}
		}, ln)
		defer s.stop()
		c := ln.dial(t, "10.0.0.1")
		defer c.Close()
		go func() {
			for i := range int32(limit + 2) {
				c.Write(metadata(i, nil))
			}
		}()
		synctest.Wait()
		if handled != limit {
			t.Errorf("handled %d requests, want %d", handled, limit)
		}
		close(gate)
		for i := range int32(limit + 2) {
			c.expect(i, nil)
		}
	})
}

// Requests of ReadAheadBytes together are read, and not one byte more; a single
// larger one is.
func TestReadAheadIsBoundedByBytes(t *testing.T) {
	const limit = 1000
	for _, tt := range []struct {
		name  string
		sizes []int // of frames, without size prefix
		want  int   // handled before the first reply
	}{
		{"at the limit", []int{400, 600}, 2},
		{"one byte more", []int{400, 601}, 1},
		{"large alone", []int{5000}, 1},
		{"small after large", []int{5000, framePlus}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handled, gate := 0, make(chan struct{})
				ln := newPipeListener()
				s := start(t, Config{ReadAheadBytes: limit}, func(r *Request) Reply {
					handled++
					return later{r, gate}
				}, ln)
				defer s.stop()
				c := ln.dial(t, "10.0.0.1")
				defer c.Close()
				go func() {
					for i, n := range tt.sizes {
						c.Write(metadata(int32(i), make([]byte, n-framePlus)))
					}
				}()
				synctest.Wait()
				if handled != tt.want {
					t.Errorf("handled %d requests, want %d", handled, tt.want)
				}
				close(gate)
				for i, n := range tt.sizes {
					c.expect(int32(i), make([]byte, n-framePlus))
				}
			})
		})
	}
}

// While a reply is parked its connection is still read, so that a peer that
// goes away ends the wait.
func TestPeerGoneEndsParkedReply(t *testing.T) {
	parked, cause := make(chan struct{}), make(chan error, 1)
	_, addr := startTCP(t, Config{}, func(r *Request) Reply {
		close(parked)
		return replyFunc(func(ctx context.Context) (Response, error) {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return Response{}, ctx.Err()
		})
	})
	c := dial(t, addr)
	c.send(metadata(1, nil))
	<-parked
	c.Close()
	if err := <-cause; !errors.Is(err, ErrPeerClosed) {
		t.Errorf("cause: got %v, want ErrPeerClosed", err)
	}
}

// replyFunc makes a Reply of a function.
type replyFunc func(context.Context) (Response, error)

func (f replyFunc) Await(ctx context.Context) (Response, error) { return f(ctx) }

// A client that closes its sending side still gets the replies it asked for.
func TestHalfClosedPeerGetsReadyReplies(t *testing.T) {
	gate := make(chan struct{})
	_, addr := startTCP(t, Config{}, func(r *Request) Reply {
		if r.Header.CorrelationID == 0 {
			return replyFunc(func(ctx context.Context) (Response, error) {
				<-gate
				return Response{Parts: []Part{{Bytes: echoBytes(r)}}}, nil
			})
		}
		return echo(r)
	})
	c := dial(t, addr)
	c.send(metadata(0, nil), metadata(1, []byte("x")))
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(gate)
	c.expect(0, nil)
	c.expect(1, []byte("x"))
	c.expectClosed()
}

// Whatever ends a connection, other connections go on, the replies before the
// failing one are written, and every part is released exactly once.
func TestFailuresCloseOneConnection(t *testing.T) {
	fails := map[string]func(r *Request) Reply{
		"panic in Handle": func(*Request) Reply { panic("boom") },
		"panic in Await": func(*Request) Reply {
			return replyFunc(func(context.Context) (Response, error) { panic("boom") })
		},
		"panic in Release": func(r *Request) Reply {
			return Ready(Response{Silent: true, Parts: []Part{{Release: func() { panic("boom") }}}})
		},
		"nil reply":   func(*Request) Reply { return nil },
		"Closed":      func(*Request) Reply { return Closed(errors.New("no")) },
		"Closed(nil)": func(*Request) Reply { return Closed(nil) },
		"error of Await": func(*Request) Reply {
			return replyFunc(func(context.Context) (Response, error) { return Response{}, errors.New("no") })
		},
		"response too large": func(*Request) Reply {
			return Ready(Response{Parts: []Part{{File: FileRange{Length: 1 << 31}}}})
		},
	}
	for name, fail := range fails {
		t.Run(name, func(t *testing.T) {
			var released counter
			s, addr := startTCP(t, Config{}, func(r *Request) Reply {
				if r.Header.CorrelationID == 1 {
					return fail(r)
				}
				return Ready(Response{Parts: []Part{
					{Bytes: echoBytes(r), Release: released.add}, {Release: released.add}}})
			})
			c, other := dial(t, addr), dial(t, addr)
			c.send(metadata(0, []byte("a")))
			c.expect(0, []byte("a"))
			c.send(metadata(1, nil))
			c.expectClosed()
			other.send(metadata(2, []byte("b")))
			other.expect(2, []byte("b"))
			other.Close()
			s.Close()
			if got := released.value(); got != 4 {
				t.Errorf("parts released: got %d, want 4", got)
			}
			wantPanics := int64(0)
			if name[:5] == "panic" {
				wantPanics = 1
				if s.log.count("stack=") != 1 {
					t.Error("no stack in the log")
				}
			}
			if got := s.Stats().HandlerPanics.Load(); got != wantPanics {
				t.Errorf("panics counted: got %d, want %d", got, wantPanics)
			}
		})
	}
}

// counter counts from several goroutines.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }
func (c *counter) value() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Replies that are queued when their connection goes are awaited and released.
func TestQueuedRepliesAreReleased(t *testing.T) {
	const requests = 20
	var handled sync.WaitGroup
	handled.Add(requests)
	var released counter
	s, addr := startTCP(t, Config{}, func(r *Request) Reply {
		handled.Done()
		return replyFunc(func(ctx context.Context) (Response, error) {
			<-ctx.Done()
			return Response{Parts: []Part{{Bytes: []byte("late"), Release: released.add}}}, ctx.Err()
		})
	})
	c := dial(t, addr)
	for i := range int32(requests) {
		c.send(metadata(i, nil))
	}
	handled.Wait()
	s.Close()
	if got := released.value(); got != requests {
		t.Errorf("parts released: got %d, want %d", got, requests)
	}
}

// A retained frame outlives its reply, keeps its bytes and its place in the
// budget, and goes with the last Release.
func TestRetainKeepsFrame(t *testing.T) {
	kept := make(chan *Request, 1)
	s, addr := startTCP(t, Config{}, func(r *Request) Reply {
		if r.Header.CorrelationID == 0 {
			r.Retain()
			kept <- r
		}
		return echo(r)
	})
	c := dial(t, addr)
	body := bytes.Repeat([]byte("keep"), 1000)
	c.send(produce(0, body))
	c.expect(0, body)
	r := <-kept
	for i := range int32(50) { // would reuse the frame if it were free
		c.send(produce(i+1, bytes.Repeat([]byte("over"), 1000)))
		c.expect(i+1, bytes.Repeat([]byte("over"), 1000))
	}
	if !bytes.Equal(r.Body, body) {
		t.Error("a retained body changed")
	}
	if got := s.Stats().InFlightBytes.Load(); got < int64(len(body)) {
		t.Errorf("budget in use: got %d bytes, want at least %d", got, len(body))
	}
	r.Release()
	defer func() {
		if recover() == nil {
			t.Error("Release of a released request did not panic")
		}
	}()
	r.Release()
}

// Requests that are refused by their header close the connection; ApiVersions
// in any version does not.
func TestUnservedRequests(t *testing.T) {
	var handled counter
	s, addr := startTCP(t, Config{}, func(r *Request) Reply {
		handled.add()
		if r.Header.Key == protocol.KeyApiVersions && r.Body != nil {
			t.Errorf("ApiVersions %d came with a body", r.Header.Version)
		}
		return echo(r)
	})
	for name, request := range map[string][]byte{
		"unknown key":         frame(999, 0, 1, nil),
		"negative key":        frame(-1, 0, 1, nil),
		"version too high":    frame(protocol.KeyMetadata, 99, 1, nil),
		"version negative":    frame(protocol.KeyMetadata, -1, 1, nil),
		"version below floor": frame(protocol.KeyProduce, 0, 1, nil),
		"client id too long":  {0, 0, 0, 10, 0, 3, 0, 5, 0, 0, 0, 1, 0x7F, 0xFF},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			c.send(request)
			c.expectClosed()
		})
	}
	c := dial(t, addr)
	c.send(frame(protocol.KeyApiVersions, 99, 7, []byte{0xFF, 0xFF}))
	c.expect(7, nil)
	c.send(metadata(8, nil))
	c.expect(8, nil)
	if got := handled.value(); got != 2 {
		t.Errorf("handler saw %d requests, want 2", got)
	}
	if s.log.count("level=WARN") != 0 {
		t.Error("refused requests are logged above debug level")
	}
}
