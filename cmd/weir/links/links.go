// Package links stands between the brokers of a cluster on loopback, and holds back, or delays, what they send each
// other: what tests cut where there is no network to be cut. Clients do not pass here.
package links

import (
	"net"
	"sync"
	"time"
)

// Links are between brokers, numbered from 0 on, each of which has the node id that comes after its number.
type Links struct {
	behind    []string // where each broker listens for its peers
	listeners []net.Listener
	running   sync.WaitGroup

	mu    sync.Mutex // guards the rest
	gates [][]gate   // from, to
	ended bool
	moved chan struct{} // closed when a gate changes
	conns map[net.Conn]bool
}

// gate is what happens to bytes from one broker to another.
type gate struct {
	shut  bool
	delay time.Duration
	rate  int // bytes a second, 0 for any
}

// New begins with whole links between brokers that listen for their peers at these addresses, and have to tell them
// those of Address. Errors: those of listening.
func New(behind ...string) (*Links, error) {
	l := &Links{behind: behind, moved: make(chan struct{}), conns: map[net.Conn]bool{}}
	for to := range behind {
		l.gates = append(l.gates, make([]gate, len(behind)))
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			l.Close()
			return nil, err
		}
		l.listeners = append(l.listeners, listener)
		l.running.Go(func() { l.accept(to, listener) })
	}
	return l, nil
}

// Address is where its peers reach a broker.
func (l *Links) Address(broker int) string { return l.listeners[broker].Addr().String() }

// Cut holds back what one broker sends to another, in this direction only, until Heal. Connections stay open.
func (l *Links) Cut(from, to int) { l.set(from, to, gate{shut: true}) }

// Isolate cuts a broker off all others, both ways.
func (l *Links) Isolate(broker int) {
	l.Mute(broker)
	l.Deafen(broker)
}

// Mute has nobody hear a broker, which hears them.
func (l *Links) Mute(broker int) {
	for other := range l.gates {
		if other != broker {
			l.Cut(broker, other)
		}
	}
}

// Deafen has a broker hear nobody, though they hear it.
func (l *Links) Deafen(broker int) {
	for other := range l.gates {
		if other != broker {
			l.Cut(other, broker)
		}
	}
}

// Slow delays what a broker and the others send each other, and lets so many bytes a second pass, 0 for any.
func (l *Links) Slow(broker int, delay time.Duration, rate int) {
	for other := range l.gates {
		if other != broker {
			l.set(broker, other, gate{delay: delay, rate: rate})
			l.set(other, broker, gate{delay: delay, rate: rate})
		}
	}
}

// Heal makes all links whole; what was held back arrives.
func (l *Links) Heal() {
	for from := range l.gates {
		for to := range l.gates {
			l.set(from, to, gate{})
		}
	}
}

// Close ends all connections, and waits until nothing passes any more.
func (l *Links) Close() {
	l.mu.Lock()
	l.ended = true
	close(l.moved)
	l.moved = make(chan struct{})
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	for _, listener := range l.listeners {
		listener.Close()
	}
	l.running.Wait()
}

func (l *Links) set(from, to int, g gate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gates[from][to] = g
	close(l.moved)
	l.moved = make(chan struct{})
}

func (l *Links) gate(from, to int) gate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gates[from][to]
}

// open waits until bytes may pass; false at the end.
func (l *Links) open(from, to int) bool {
	for {
		l.mu.Lock()
		g, moved, ended := l.gates[from][to], l.moved, l.ended
		l.mu.Unlock()
		if ended {
			return false
		}
		if !g.shut {
			return true
		}
		<-moved
	}
}
