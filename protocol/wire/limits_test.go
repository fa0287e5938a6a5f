package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/protocol"
)

// The largest frame that is allowed passes; one byte more closes the
// connection; the limit of the server goes before that of the API.
func TestRequestSizeLimits(t *testing.T) {
	apiLimit := func(key int16) int {
		api, ok := protocol.Lookup(key)
		if !ok {
			t.Fatalf("key %d is not served", key)
		}
		return api.MaxRequestBytes
	}
	const serverLimit = 3 << 20
	for _, tt := range []struct {
		name  string
		key   int16
		limit int
	}{
		{"Metadata by its API", protocol.KeyMetadata, apiLimit(protocol.KeyMetadata)},
		{"ApiVersions by its API", protocol.KeyApiVersions, apiLimit(protocol.KeyApiVersions)},
		{"Produce by the server", protocol.KeyProduce, serverLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, addr := startTCP(t, Config{MaxRequestBytes: serverLimit}, func(r *Request) Reply {
				return r.Respond(Part{Bytes: append(r.Buffer(4), 0, 0, 0, byte(r.Header.CorrelationID))})
			})
			version := map[int16]int16{protocol.KeyMetadata: 5, protocol.KeyApiVersions: 1, protocol.KeyProduce: 7}[tt.key]
			c := dial(t, addr)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { c.Write(frame(tt.key, version, 1, make([]byte, tt.limit-framePlus))) })
			c.expect(1, nil)
			c.send(frame(tt.key, version, 2, make([]byte, tt.limit+1-framePlus))[:sizePrefixBytes+fixedHeaderBytes])
			c.expectClosed()
		})
	}
}

// A limit may depend on the connection: this one allows little before a first
// request.
func TestRequestLimitOfConnection(t *testing.T) {
	cfg := Config{RequestLimit: func(c *Conn, key int16) int {
		if c.State == nil {
			return 100
		}
		return 1 << 20
	}}
	_, addr := startTCP(t, cfg, func(r *Request) Reply {
		r.Conn.State = true
		return echo(r)
	})
	c := dial(t, addr)
	c.send(metadata(1, nil))
	c.expect(1, nil)
	c.send(metadata(2, make([]byte, 100)))
	c.expect(2, make([]byte, 100))
	stranger := dial(t, addr)
	stranger.send(metadata(3, make([]byte, 101-framePlus)))
	stranger.expectClosed()
}

// MaxConnections and MaxConnectionsPerIP connections are served and not one
// more; a closed one makes room.
func TestConnectionLimits(t *testing.T) {
	type step struct {
		ip     string
		served bool
	}
	for _, tt := range []struct {
		name  string
		cfg   Config
		steps []step
	}{
		{"in all", Config{MaxConnections: 2},
			[]step{{"10.0.0.1", true}, {"10.0.0.2", true}, {"10.0.0.3", false}}},
		{"per address", Config{MaxConnectionsPerIP: 2},
			[]step{{"10.0.0.1", true}, {"10.0.0.1", true}, {"10.0.0.1", false}, {"10.0.0.2", true}, {"::ffff:10.0.0.1", false}}},
		{"per IPv6 network", Config{MaxConnectionsPerIP: 1},
			[]step{{"2001:db8::1", true}, {"2001:db8::2", false}, {"2001:db8:0:1::1", true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := newPipeListener()
				s := start(t, tt.cfg, echo, ln)
				defer s.stop()
				refused := int64(0)
				var first *client
				for i, step := range tt.steps {
					c := ln.dial(t, step.ip)
					defer c.Close()
					if !step.served {
						refused++
						c.expectClosed()
						continue
					}
					c.send(metadata(int32(i), nil))
					c.expect(int32(i), nil)
					if first == nil {
						first = c
					}
				}
				if got := s.Stats().ConnectionsRejected.Load(); got != refused {
					t.Errorf("rejected: got %d, want %d", got, refused)
				}
				if got := s.log.count("connection refused"); got != 1 {
					t.Errorf("refusals logged within a minute: got %d, want 1", got)
				}
				first.Close()
				synctest.Wait()
				again := ln.dial(t, tt.steps[0].ip)
				defer again.Close()
				again.send(metadata(9, nil))
				again.expect(9, nil)
			})
		})
	}
}

// The warning gate lets one through per interval and says how many it kept.
func TestWarningsAreRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipeListener()
		s := start(t, Config{}, echo, ln)
		defer s.stop()
		foreign := func() {
			c := ln.dial(t, "10.0.0.1")
			defer c.Close()
			c.send([]byte("GET / HTTP/1.1\r\n"))
			c.expectClosed()
			synctest.Wait()
		}
		for range 3 {
			foreign()
		}
		if s.log.count("first bytes are HTTP") != 1 {
			t.Error("want one warning")
		}
		time.Sleep(gateInterval + 2*sweepTickMax)
		foreign()
		if s.log.count("first bytes are HTTP") != 2 || s.log.count("suppressed=2") != 1 {
			t.Error("want a second warning that counts the two before it")
		}
	})
}

// Timeouts, on fake time: each is kept to within a tick, and each wait that is
// not the peer's fault is spared.
func TestTimeouts(t *testing.T) {
	cfg := Config{IdleTimeout: 10 * time.Minute, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute}
	const tick = sweepTickMax
	// closedAfter waits for the server to close and returns how long it took.
	closedAfter := func(c *client) time.Duration {
		begin := time.Now()
		c.expectClosed()
		return time.Since(begin).Round(tick)
	}
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, c *client)
	}{
		{"idle from the start", func(t *testing.T, c *client) {
			if got := closedAfter(c); got < cfg.IdleTimeout || got > cfg.IdleTimeout+2*tick {
				t.Errorf("closed after %v", got)
			}
		}},
		{"idle after a request", func(t *testing.T, c *client) {
			for i := range int32(3) {
				time.Sleep(cfg.IdleTimeout - 2*tick)
				c.send(metadata(i, nil))
				c.expect(i, nil)
			}
			if got := closedAfter(c); got < cfg.IdleTimeout || got > cfg.IdleTimeout+2*tick {
				t.Errorf("closed after %v", got)
			}
		}},
		{"a byte at a time", func(t *testing.T, c *client) {
			begin := time.Now()
			for _, b := range metadata(1, make([]byte, 100)) {
				if _, err := c.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(time.Second)
			}
			if got := time.Since(begin); got < cfg.ReadTimeout || got > cfg.ReadTimeout+3*tick {
				t.Errorf("closed after %v", got)
			}
		}},
		{"half a size", func(t *testing.T, c *client) {
			c.send([]byte{0, 0})
			if got := closedAfter(c); got < cfg.ReadTimeout || got > cfg.ReadTimeout+2*tick {
				t.Errorf("closed after %v", got)
			}
		}},
		{"half a large body", func(t *testing.T, c *client) {
			c.send(produce(1, make([]byte, 100_000))[:50_000])
			if got := closedAfter(c); got < cfg.ReadTimeout || got > cfg.ReadTimeout+2*tick {
				t.Errorf("closed after %v", got)
			}
		}},
		{"response not taken", func(t *testing.T, c *client) {
			c.send(metadata(1, make([]byte, 1000)))
			time.Sleep(cfg.WriteTimeout + 2*tick)
			synctest.Wait()
			c.expectClosed()
		}},
		{"response taken slowly", func(t *testing.T, c *client) {
			c.send(produce(1, make([]byte, 5*copyBufferBytes)))
			b := make([]byte, copyBufferBytes)
			for i := range 5 {
				time.Sleep(cfg.WriteTimeout - 2*tick) // each write is taken just in time
				if _, err := io.ReadFull(c, b); err != nil {
					t.Fatalf("after %d KiB: %v", i*copyBufferBytes>>10, err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := newPipeListener()
				s := start(t, cfg, echo, ln)
				defer s.stop()
				c := ln.dial(t, "10.0.0.1")
				defer c.Close()
				tt.run(t, c)
			})
		})
	}
}

// A connection with a parked reply is not idle, however long it takes, and its
// idle time begins with the reply.
func TestParkedReplyIsNotIdle(t *testing.T) {
	cfg := Config{IdleTimeout: time.Minute}
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		ln := newPipeListener()
		s := start(t, cfg, func(r *Request) Reply { return later{r, gate} }, ln)
		defer s.stop()
		c := ln.dial(t, "10.0.0.1")
		defer c.Close()
		c.send(metadata(1, nil))
		time.Sleep(10 * cfg.IdleTimeout)
		close(gate)
		c.expect(1, nil)
		time.Sleep(cfg.IdleTimeout - 2*sweepTickMax)
		c.send(metadata(2, nil))
		c.expect(2, nil)
	})
}

// Time spent waiting for the server's memory or read-ahead is not the peer's.
func TestReadTimeoutSparesOurWaits(t *testing.T) {
	for name, cfg := range map[string]Config{
		"memory":     {MemoryBytes: 600},
		"read-ahead": {ReadAheadRequests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				ln := newPipeListener()
				s := start(t, cfg, func(r *Request) Reply { return later{r, gate} }, ln)
				defer s.stop()
				c := ln.dial(t, "10.0.0.1")
				defer c.Close()
				c.send(metadata(1, nil), metadata(2, nil))
				time.Sleep(10 * DefaultConfig().ReadTimeout)
				close(gate)
				c.expect(1, nil)
				c.expect(2, nil)
			})
		})
	}
}

// Frames of all connections together stay within MemoryBytes; readers at the
// bound wait, are woken in order, and give up their place with their peer.
func TestMemoryBudgetAcrossConnections(t *testing.T) {
	const conns, body = 10, 40_000
	_, each := classOf(body + framePlus)
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var handled counter
		ln := newPipeListener()
		s := start(t, Config{MemoryBytes: int64(3 * each)}, func(r *Request) Reply {
			handled.add()
			return later{r, gate}
		}, ln)
		defer s.stop()
		var clients []*client
		for i := range int32(conns) {
			c := ln.dial(t, "10.0.0.1")
			defer c.Close()
			go c.Write(produce(i, make([]byte, body)))
			clients = append(clients, c)
		}
		synctest.Wait()
		// One more than fits: one frame at a time may overdraw. Its old and new
		// buffer count side by side while it grows.
		if got := handled.value(); got < 1 || got > 4 {
			t.Errorf("handled %d requests, want 1 to 4", got)
		}
		if got, most := s.Stats().InFlightBytes.Load(), int64(3*each+2*each); got > most {
			t.Errorf("in flight: %d bytes, want at most %d", got, most)
		}
		close(gate)
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Go(func() {
				if id, got := c.receive(); id != int32(i) || len(got) != body {
					t.Errorf("got response %d of %d bytes, want %d", id, len(got), i)
				}
			})
		}
		wg.Wait()
	})
}

// dropping is later for a reply that has dropped its frame before it waits.
type dropping struct{ later }

func (d dropping) Await(ctx context.Context) (Response, error) {
	d.r.DropFrame()
	d.r.DropFrame() // of nothing
	return d.later.Await(ctx)
}

// Replies that have dropped their frames wait beside any number of others, and are written as always. A frame that
// somebody retains stays.
func TestDroppedFrames(t *testing.T) {
	const conns, body = 20, 40_000
	_, each := classOf(body + framePlus)
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var handled counter
		ln := newPipeListener()
		retained := make(chan *Request, 1)
		var kept *Request
		s := start(t, Config{MemoryBytes: int64(3 * each)}, func(r *Request) Reply {
			if handled.add(); r.Header.CorrelationID == 0 {
				r.Retain()
				retained <- r
			}
			return dropping{later{r, gate}}
		}, ln)
		defer s.stop()
		var clients []*client
		for i := range int32(conns) {
			c := ln.dial(t, "10.0.0.1")
			defer c.Close()
			go c.Write(produce(i, bytes.Repeat([]byte{7}, body)))
			clients = append(clients, c)
			if i == 0 { // beside others it could hold the right to overdraw, which half of them wait for
				kept = <-retained
			}
		}
		synctest.Wait()
		if got, held := handled.value(), s.Stats().InFlightBytes.Load(); got != conns || held != kept.lease.bytes {
			t.Errorf("%d requests are handled and hold %d bytes, want %d and those of one, %d", got, held, conns, kept.lease.bytes)
		}
		if len(kept.Body) != body || kept.Body[body-1] != 7 {
			t.Error("a frame is gone that is retained")
		}
		kept.Release()
		close(gate)
		for i, c := range clients {
			want := 0
			if i == 0 {
				want = body
			}
			if id, got := c.receive(); id != int32(i) || len(got) != want {
				t.Errorf("got response %d of %d bytes, want %d of %d", id, len(got), i, want)
			}
		}
	})
}

// A reader that waits for memory when the server shuts down or closes ends.
func TestMemoryWaitEndsWithServer(t *testing.T) {
	for _, stop := range []string{"Shutdown", "Close"} {
		t.Run(stop, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				ln := newPipeListener()
				s := start(t, Config{MemoryBytes: 600}, func(r *Request) Reply { return later{r, gate} }, ln)
				defer s.stop()
				first, second := ln.dial(t, "10.0.0.1"), ln.dial(t, "10.0.0.1")
				defer first.Close()
				defer second.Close()
				first.send(metadata(1, nil))
				synctest.Wait()
				second.send(metadata(2, nil))
				synctest.Wait()
				if stop == "Close" {
					s.Close()
					first.expectClosed()
				} else {
					go s.Shutdown(t.Context())
					synctest.Wait()
					close(gate)
					first.expect(1, nil)
				}
				second.expectClosed()
			})
		})
	}
}

// failingListener fails to accept a number of times, then is closed.
type failingListener struct {
	*pipeListener
	err   error
	fails int
	at    []time.Time
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.at = append(l.at, time.Now())
	if l.fails--; l.fails >= 0 {
		return nil, &net.OpError{Op: "accept", Err: l.err}
	}
	return l.pipeListener.Accept()
}

// Running out of descriptors is waited out with growing pauses and one log
// line; other errors of Accept end Serve.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &failingListener{pipeListener: newPipeListener(), err: syscall.EMFILE, fails: 12}
		s := start(t, Config{}, echo, ln)
		defer s.stop()
		time.Sleep(30 * time.Second)
		c := ln.dial(t, "10.0.0.1")
		defer c.Close()
		c.send(metadata(1, nil))
		c.expect(1, nil)
		synctest.Wait()
		for i := 2; i < 13; i++ {
			got, before := ln.at[i].Sub(ln.at[i-1]), ln.at[i-1].Sub(ln.at[i-2])
			if got < min(2*before, acceptPauseMax) {
				t.Errorf("pause %d: got %v after %v", i, got, before)
			}
		}
		if got := s.log.count("accepting connections fails"); got != 1 {
			t.Errorf("logged %d times, want once", got)
		}
	})
	broken := errors.New("broken")
	ln := &failingListener{pipeListener: newPipeListener(), err: broken, fails: 1}
	s := start(t, Config{}, echo, ln)
	if err := <-s.served; !errors.Is(err, broken) {
		t.Errorf("Serve: got %v, want the listener's error", err)
	}
	s.Close()
}

// Shutdown during the pause after a failed Accept ends it.
func TestShutdownEndsAcceptPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &failingListener{pipeListener: newPipeListener(), err: syscall.EMFILE, fails: 1 << 30}
		s := start(t, Config{}, echo, ln)
		synctest.Wait()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		s.stop()
	})
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for name, cfg := range map[string]Config{
		"MaxRequestBytes":     {MaxRequestBytes: maxFrameBytes + 1},
		"MemoryBytes":         {MemoryBytes: -1},
		"MaxConnectionsPerIP": {MaxConnectionsPerIP: -1},
		"WriteTimeout":        {WriteTimeout: -1},
	} {
		if err := cfg.Validate(); err == nil || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
