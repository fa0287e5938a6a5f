package transport

import (
	"fmt"
	"sync"
	"time"
)

const (
	// relayInterval is between two heartbeats that pulses put into a group's queue; relayHeard where the group
	// is told that its leader is heard (Group.SetHeard). Both are less than AliveFor.
	relayInterval = 500 * time.Millisecond
	relayHeard    = 3 * time.Second
	// silence is how long no pulse may come before the leaders at the other end are not heard any more.
	silence = 3 * pulseInterval
)

// followed is the follower's end of what stands: what the leader at the other end is heard for.
type followed struct {
	term    uint64
	version uint8
}

// following is what is followed on one connection.
type following struct {
	mu    sync.Mutex // guards the rest; before Group.mu
	of    map[GroupID]followed
	last  time.Time   // when the last pulse came
	quiet *time.Timer // runs out with silence
}

// SetHeard has f told with each pulse that the transport hears the group's leader, and when it does so no more, and
// at what time it last did. While f says that this is enough, heartbeats reach raft every relayHeard only, instead of
// every relayInterval. f is called with locks of the transport held: it must not block, nor call the group.
func (g *Group) SetHeard(f func(heard bool, at time.Time) (enough bool)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tellHeard = f
}

// hear notes that a leader's heartbeats stand on a connection, and returns how often raft is to be told. It is called
// with mu held.
func (g *Group) hear(on *conn, at time.Time) (relay time.Duration) {
	if g.tellHeard == nil {
		return relayInterval
	}
	if g.heardOn = on; g.tellHeard(true, at) {
		return relayHeard
	}
	return relayInterval
}

// unhear notes that they do so no more.
func (g *Group) unhear(on *conn, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.heardOn == on {
		g.heardOn = nil
		g.tellHeard(false, at)
	}
}

const pulseEntryBytes = groupIDBytes + 8 + 1

// takePulse changes what stands as a pulse says, and returns what stands no more.
func takePulse(stands map[GroupID]followed, body []byte) (ended []GroupID, err error) {
	d := decoder{rest: body}
	for range d.count(pulseEntryBytes) {
		id := GroupID(d.take(groupIDBytes))
		stands[id] = followed{term: d.uint64(), version: d.uint8()}
	}
	if d.err != nil || len(d.rest)%groupIDBytes != 0 {
		return ended, fmt.Errorf("%w: a pulse of %d bytes", ErrMalformed, len(body))
	}
	for ; len(d.rest) > 0; d.rest = d.rest[groupIDBytes:] {
		id := GroupID(d.rest[:groupIDBytes])
		delete(stands, id)
		ended = append(ended, id)
	}
	return ended, nil
}

// servePulse runs on the connection's reader.
func (c *conn) servePulse(h frameHeader) error {
	body, err := c.readControl(h)
	if err != nil {
		return err
	}
	answer, err := c.following.pulse(c, body, time.Now())
	if err != nil {
		return err
	}
	return c.answerFrame(answer, h.id)
}

// pulse takes one, and says in the answer what does not stand any more.
func (f *following) pulse(c *conn, body []byte, now time.Time) (answer []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[GroupID]followed{}
		f.quiet = time.AfterFunc(silence, func() { f.unhear(c) })
	}
	f.quiet.Reset(silence)
	f.last = now
	ended, err := takePulse(f.of, body)
	for _, id := range ended {
		c.unhear(id, now)
	}
	if err != nil {
		return nil, err
	}
	leader := []byte(Address(c.peer.node, c.peer.directory))
	answer = append(beginFrame(nil, kindAnswer), byte(statusOK))
	for id, x := range f.of {
		if g := c.t.group(id); g != nil && g.confirm(x.term, x.version, leader, now, c) {
			continue
		}
		delete(f.of, id)
		c.unhear(id, now)
		answer = append(answer, id[:]...)
	}
	return answer, nil
}

// unhear is for a connection that has ended, or fallen silent. The next pulse would have all heard again.
func (f *following) unhear(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.of {
		c.unhear(id, f.last)
	}
}

func (f *following) end(c *conn) {
	f.unhear(c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.quiet != nil {
		f.quiet.Stop()
	}
}

func (c *conn) unhear(id GroupID, at time.Time) {
	if g := c.t.group(id); g != nil {
		g.unhear(c, at)
	}
}
