package links

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestCutIsOneWay has broker 1 send to broker 0 and be answered, while either direction is cut.
func TestCutIsOneWay(t *testing.T) {
	l, called := newLinks(t)
	caller, err := net.Dial("tcp", l.Address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	say(t, caller, greetingOf(2))
	callee := <-called
	defer callee.Close()
	hears(t, callee, greetingOf(2))

	l.Cut(1, 0)
	say(t, caller, []byte("held"))
	say(t, callee, []byte("passes"))
	hears(t, caller, []byte("passes"))
	hearsNothing(t, callee)
	l.Heal()
	hears(t, callee, []byte("held"))

	l.Mute(0)
	say(t, callee, []byte("held"))
	say(t, caller, []byte("passes"))
	hears(t, callee, []byte("passes"))
	hearsNothing(t, caller)
	l.Heal()
	hears(t, caller, []byte("held"))
}

// TestIsolatedAreNotReached lets a connection arrive only when the link is whole.
func TestIsolatedAreNotReached(t *testing.T) {
	l, called := newLinks(t)
	l.Isolate(0)
	caller, err := net.Dial("tcp", l.Address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	say(t, caller, greetingOf(2))
	select {
	case <-called:
		t.Fatal("a connection came through")
	case <-time.After(shortly):
	}
	l.Heal()
	callee := <-called
	defer callee.Close()
	hears(t, callee, greetingOf(2))
}

func TestGreetingOfNobodyIsDropped(t *testing.T) {
	l, _ := newLinks(t)
	caller, err := net.Dial("tcp", l.Address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	say(t, caller, make([]byte, preambleBytes)) // that nothing follows
	if _, err := caller.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
}

// newLinks are between two brokers, the first of which tells of the connections that it is given.
func newLinks(t *testing.T) (*Links, <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	l, err := New(listener.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	called := make(chan net.Conn)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			called <- c
		}
	}()
	return l, called
}

// greetingOf is as much of one as says from which node it comes.
func greetingOf(node int32) []byte {
	b := append([]byte("weirpeer"), 0, 1, 0, fromEndBytes, 1)
	return binary.BigEndian.AppendUint32(b, uint32(node))
}

func say(t *testing.T, to net.Conn, what []byte) {
	t.Helper()
	if _, err := to.Write(what); err != nil {
		t.Fatal(err)
	}
}

func hears(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != string(want) {
		t.Fatalf("hears %q, %v, want %q", got, err, want)
	}
}

const shortly = 50 * time.Millisecond // in which what is not held back would be there

func hearsNothing(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(shortly)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("hears %d bytes, %v", n, err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}
