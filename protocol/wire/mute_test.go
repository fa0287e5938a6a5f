package wire

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"weir/protocol"
)

// muting is a server whose answers to Produce mute the connection, in a bubble with a clock of its own.
func muting(t *testing.T, d time.Duration) (s *testServer, ln *pipeListener, handled func() int64) {
	ln = newPipeListener()
	s = start(t, Config{}, func(r *Request) Reply {
		r.Conn.OneByOne(true)
		if r.Header.Key == protocol.KeyProduce {
			r.Conn.Mute(d)
		}
		return echo(r)
	}, ln)
	return s, ln, s.Stats().Requests.Load
}

// The answer comes at once; the next request is handled when the mute is over, and not before.
func TestMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ln, handled := muting(t, time.Minute)
		defer s.stop()
		c := ln.dial(t, "10.0.0.1")
		c.send(produce(1, nil))
		c.expect(1, nil)
		begun := time.Now()
		go c.send(metadata(2, make([]byte, 1000)))
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		if got := handled(); got != 1 {
			t.Errorf("%d requests are handled while the connection is muted", got)
		}
		c.expect(2, make([]byte, 1000))
		if d := time.Since(begun); d != time.Minute {
			t.Errorf("muted for %v", d)
		}
		c.Close()
		synctest.Wait()
	})
}

// A mute that is longer counts, and one that is shorter does not end it; other connections are not muted.
func TestMuteAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipeListener()
		s := start(t, Config{}, func(r *Request) Reply {
			for _, d := range []time.Duration{time.Second, time.Minute, time.Millisecond} {
				if r.Header.Key == protocol.KeyProduce {
					r.Conn.Mute(d)
				}
			}
			return echo(r)
		}, ln)
		defer s.stop()
		c, other := ln.dial(t, "10.0.0.1"), ln.dial(t, "10.0.0.1")
		c.send(produce(1, nil))
		c.expect(1, nil)
		begun := time.Now()
		other.send(metadata(1, nil))
		other.expect(1, nil)
		if d := time.Since(begun); d != 0 {
			t.Errorf("another connection waited for %v", d)
		}
		go c.send(metadata(2, nil))
		c.expect(2, nil)
		if d := time.Since(begun); d != time.Minute {
			t.Errorf("muted for %v", d)
		}
		c.Close()
		other.Close()
		synctest.Wait()
	})
}

// Unmute, Shutdown and Close do not wait for the end of a mute.
func TestMuteEndsEarly(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, s *testServer, c *client){
		"unmuted": func(t *testing.T, s *testServer, c *client) {
			s.Unmute()
			c.expect(2, nil)
			c.Close()
		},
		"shutdown": func(t *testing.T, s *testServer, c *client) {
			go io.Copy(io.Discard, c)
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"close": func(t *testing.T, s *testServer, c *client) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ln, handled := muting(t, 24*time.Hour)
				defer s.stop()
				begun := time.Now()
				c := ln.dial(t, "10.0.0.1")
				c.send(produce(1, nil))
				c.expect(1, nil)
				go c.Write(metadata(2, nil))
				synctest.Wait()
				if got := handled(); got != 1 {
					t.Errorf("%d requests are handled", got)
				}
				end(t, s, c)
				synctest.Wait()
				if d := time.Since(begun); d > time.Minute {
					t.Errorf("it took %v", d)
				}
				c.Close()
			})
		})
	}
}

// A peer that goes is noticed at once, or within the idle timeout when it has left a request behind.
func TestMutedPeerGoes(t *testing.T) {
	for _, left := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, ln, _ := muting(t, 24*time.Hour)
			defer s.stop()
			c := ln.dial(t, "10.0.0.1")
			c.send(produce(1, nil))
			c.expect(1, nil)
			if left {
				go c.Write(metadata(2, nil))
				synctest.Wait()
			}
			c.Close()
			if left {
				time.Sleep(DefaultConfig().IdleTimeout + 2*sweepTickMax)
			}
			synctest.Wait()
			if n := s.Stats().ConnectionsOpen.Load(); n != 0 {
				t.Errorf("a request is left: %t; %d connections are open", left, n)
			}
		})
	}
}

// OneByOne: a request behind one that is not answered is not handled, until it is.
func TestOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		ln := newPipeListener()
		s := start(t, Config{}, func(r *Request) Reply {
			r.Conn.OneByOne(true)
			return later{r, gate}
		}, ln)
		defer s.stop()
		c := ln.dial(t, "10.0.0.1")
		go c.send(metadata(1, nil), metadata(2, nil))
		synctest.Wait()
		if got := s.Stats().Requests.Load(); got != 1 {
			t.Errorf("%d requests are handled at a time", got)
		}
		close(gate)
		c.expect(1, nil)
		c.expect(2, nil)
		c.Close()
		synctest.Wait()
	})
}
