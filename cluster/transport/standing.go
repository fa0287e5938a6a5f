package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A confirmed heartbeat of a group that asks for it (Group.LetStand) stands: what the two ends of a control
// connection agree on need not be said again. While the leader's library goes on to send that heartbeat, it is
// answered here, after a while, and one pulse for all groups of the connection keeps what stands alive. An idle
// group then costs no message, and its library is woken only as often as its lease and its election timeout need.
//
// The follower's end changes what stands only by what pulses say, one after the other on one connection, so both
// ends hold the same; what is in doubt ends with the connection. A pulse is answered with those that do not stand
// any more: the group is gone, is in another term, or its main loop has not answered for AliveFor. Nothing is
// confirmed for a term that is not the follower's own at each pulse (TR-2).
//
// A pulse is a count (uint32) of what is new, for each the GroupID, the term and the library's protocol version
// (uint8), and the GroupIDs of what stands no more. Its answer is the GroupIDs of what the follower ends.
const (
	pulseInterval = 200 * time.Millisecond
	// standsFor is how old the last answered pulse may be that a heartbeat is answered by.
	standsFor = 400 * time.Millisecond
	// silentAfter is how long the library may not send a heartbeat that stands before it is withdrawn: the peer
	// is no member any more.
	silentAfter = 1500 * time.Millisecond
	// turnInterval is between two turns (Group.Stands): every third pulse, or a late one before it. One that has
	// not come after lateTurn puts its peer in doubt (Group.Sleep): with a lease of LeastLease there is time left
	// to hear of another one.
	turnInterval = 500 * time.Millisecond
	lateTurn     = 700 * time.Millisecond

	// LeastTimeout and LeastLease are the shortest with which heartbeats may stand.
	LeastTimeout = time.Second
	LeastLease   = 900 * time.Millisecond
)

// stand is a heartbeat that stands.
type stand struct {
	term    uint64
	version uint8
	number  uint64    // of all, from 1 on
	group   *Group    // the leader's
	touched time.Time // when the library last sent it
	ended   chan struct{}

	sleepers atomic.Int32 // who would send it, and does not ask (Group.Sleep)
}

// standing is the leader's end of what stands on one connection.
type standing struct {
	mu      sync.Mutex         // guards the rest; a leaf lock
	agreed  map[GroupID]*stand // what both ends know
	fresh   map[GroupID]*stand // to be told with the next pulse
	over    bool               // the connection is gone, and nothing stands on it
	since   time.Time          // when the last pulse that was answered was sent
	answers [2]chan struct{}   // closed when the next pulse is answered, and the one after that
	turn    chan struct{}      // closed with the next turn
	turned  time.Time          // when the last one was
	late    *doubt             // whether the next one is
	pulsing bool               // the goroutine runs
}

// LetStand has confirmed heartbeats of this group, as the leader, stand while leads says that it is one, unless its
// election timeout or its lease are below LeastTimeout and LeastLease. VerifyLeader then proves a leadership of
// standsFor ago only. leads is called from the transport's goroutines and must not block.
func (g *Group) LetStand(leads func() bool, timeout, lease time.Duration) {
	if timeout >= LeastTimeout && lease >= LeastLease {
		g.leads.Store(&leads)
	}
}

// Stands is above 0 when the follower at target was known, not long ago, to follow this group's leader in a term.
// While it is the same number, the follower has not been closed or opened anew. ended closes when that is over, and
// turn when another pulse has been answered after turnInterval: all groups of a connection have theirs at the same time.
func (g *Group) Stands(target raft.ServerAddress, term uint64) (number uint64, ended, turn <-chan struct{}) {
	to, err := parseTarget(target)
	if err != nil {
		return 0, nil, nil
	}
	c := g.standsOn(to)
	if c == nil {
		return 0, nil, nil
	}
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.find(g, term)
	if x == nil {
		return 0, nil, nil
	}
	return x.number, x.ended, s.turn
}

// standsOn is the connection that heartbeats to a peer may stand on, nil for none.
func (g *Group) standsOn(to identity) *conn {
	if g.leads.Load() == nil {
		return nil
	}
	p, err := g.t.peer(to)
	if err != nil {
		return nil
	}
	return p.control.live()
}

// find is a group's heartbeat that stands, nil for none. It is called with mu held.
func (s *standing) find(g *Group, term uint64) *stand {
	x := s.agreed[g.id]
	if x == nil || x.group != g || x.term != term {
		return nil
	}
	if x.touched = time.Now(); x.touched.Sub(s.since) >= standsFor {
		return nil
	}
	return x
}

// end takes away what stands of a group. It is called with mu held.
func (s *standing) end(id GroupID) {
	if x := s.agreed[id]; x != nil {
		close(x.ended)
		delete(s.agreed, id)
	}
}

// endAll ends with the connection.
func (s *standing) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.noTurn()
	for id := range s.agreed {
		s.end(id)
	}
}

// hold answers the library's heartbeat, when it stands: not at once, but after two pulses, if it still stands then.
// With the library's own pause of a tenth to a fifth of LeastTimeout it comes every 300 to 600 ms.
func (g *Group) hold(to identity, term uint64) (from identity, ok bool) {
	c := g.standsOn(to)
	if c == nil {
		return identity{}, false
	}
	s := &c.standing
	s.mu.Lock()
	x, answered := s.find(g, term), s.answers[1]
	s.mu.Unlock()
	if x == nil {
		return identity{}, false
	}
	select {
	case <-answered:
	case <-c.ctx.Done():
		return identity{}, false
	case <-g.ctx.Done():
		return identity{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.peer, s.find(g, term) != nil
}

// live is the connection there is, nil for none.
func (l *link) live() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.conn.dead() {
		return nil
	}
	return l.conn
}

// letStand notes heartbeats that were just confirmed on c.
func (c *conn) letStand(confirmed []*beat) {
	if len(confirmed) == 0 {
		return
	}
	s, now := &c.standing, time.Now()
	s.mu.Lock()
	if s.fresh == nil {
		s.agreed, s.fresh = map[GroupID]*stand{}, map[GroupID]*stand{}
		for i := range s.answers {
			s.answers[i] = make(chan struct{})
		}
		s.turn = make(chan struct{})
	}
	for _, b := range confirmed {
		if len(s.agreed)+len(s.fresh) < c.t.maxBeats()/2 { // the rest goes on to be sent
			s.fresh[b.group] = &stand{term: b.term, version: b.version, number: c.t.stands.Add(1), group: b.from, touched: now, ended: make(chan struct{})}
		}
	}
	begin := !s.pulsing && len(s.fresh) > 0
	s.pulsing = s.pulsing || begin
	if begin && !s.over {
		s.nextTurn(now, &c.t.doubts)
	}
	s.mu.Unlock()
	if begin {
		c.t.start(c.pulse) // false when the transport closes, and the connection with it
	}
}

// pulse is the goroutine that keeps what stands alive, while something does.
func (c *conn) pulse() {
	ticker := time.NewTicker(pulseInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-c.ctx.Done():
			return
		}
		frame, told, more := c.standing.nextPulse(time.Now())
		if !more {
			return
		}
		if err := c.tellStanding(frame, told); err != nil {
			c.kill(err) // who knows what the other end holds
			return
		}
	}
}

// nextPulse is the frame of the next one, and what it tells. It says false when nothing stands.
func (s *standing) nextPulse(now time.Time) (frame []byte, told map[GroupID]*stand, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told, s.fresh = s.fresh, map[GroupID]*stand{}
	frame = binary.BigEndian.AppendUint32(beginFrame(nil, kindPulse), uint32(len(told)))
	for id, x := range told {
		frame = binary.BigEndian.AppendUint64(append(frame, id[:]...), x.term)
		frame = append(frame, x.version)
	}
	withdrawn := false
	for id, x := range s.agreed {
		if told[id] == nil && !x.leads(now) {
			frame = append(frame, id[:]...)
			s.end(id)
			withdrawn = true
		}
	}
	if s.pulsing = len(told) > 0 || len(s.agreed) > 0 || withdrawn; !s.pulsing {
		for range s.answers {
			s.answered() // nobody has to wait for what will not come
		}
		s.noTurn()
	}
	return frame, told, s.pulsing
}

// answered releases those who wait for a pulse. It is called with mu held.
func (s *standing) answered() {
	close(s.answers[0])
	s.answers = [2]chan struct{}{s.answers[1], make(chan struct{})}
}

// nextTurn has the last turn be now. It is called with mu held, as noTurn is, for when there are no more.
func (s *standing) nextTurn(now time.Time, d *doubts) {
	s.noTurn()
	close(s.turn)
	s.turn, s.turned, s.late = make(chan struct{}), now, d.after(lateTurn)
}

func (s *standing) noTurn() {
	if s.late != nil {
		s.late.over()
		s.late = nil
	}
}

// leads reports whether the group still leads in that term, and the peer is sent heartbeats.
func (x *stand) leads(now time.Time) bool {
	term, leads := x.group.term.Load(), x.group.leads.Load()
	wanted := now.Sub(x.touched) < silentAfter || x.sleepers.Load() > 0
	return wanted && x.group.ctx.Err() == nil && (*leads)() && term != nil && (*term)() == x.term
}

// tellStanding sends a pulse and takes its answer.
func (c *conn) tellStanding(frame []byte, told map[GroupID]*stand) error {
	w := newPatience(c.peer.node, c.t.cfg.ControlTimeout, c.ctx.Done(), c.ctx.Err)
	defer w.stop()
	sent := time.Now()
	a, err := c.roundTrip(nil, w, net.Buffers{frame}, 0)
	if err != nil {
		return err
	}
	if a.status != statusOK || len(a.body)%groupIDBytes != 0 {
		return fmt.Errorf("%w: an answer of status %d and %d bytes to a pulse", ErrMalformed, a.status, len(a.body))
	}
	s := &c.standing
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	s.since = sent
	s.answered()
	if now := time.Now(); now.Sub(s.turned) >= turnInterval {
		s.nextTurn(now, &c.t.doubts)
	}
	for id, x := range told {
		s.end(id)
		s.agreed[id] = x
	}
	for ended := a.body; len(ended) > 0; ended = ended[groupIDBytes:] {
		s.end(GroupID(ended[:groupIDBytes]))
	}
	return nil
}
