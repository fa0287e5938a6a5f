//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A frame of heartbeats is a count (uint32) and, for each, the GroupID, the term and the library's protocol
// version (uint8); the leader is who sent it. A frame of their answers is a count and, for each, the id of
// the frame asked in, the place in it (uint32), a status and a body (byte string). The answers to one frame
// may come in several, and one frame may have answers to several.
const (
	beatBytes       = groupIDBytes + 8 + 1
	beatAnswerBytes = 8 + 4 + 1 + 4
)

// beat is a heartbeat that waits for its answer.
type beat struct {
	from    *Group
	group   GroupID
	term    uint64
	version uint8
	done    chan answer // one slot
}

// finish answers it, once.
func (b *beat) finish(a answer) {
	select {
	case b.done <- a:
	default:
	}
}

// beatQueue gathers the heartbeats to one peer.
type beatQueue struct {
	signal chan struct{} // one slot: something waits

	mu      sync.Mutex // guards waiting
	waiting []*beat
}

func (q *beatQueue) add(b *beat, limit int) bool {
	q.mu.Lock()
	if len(q.waiting) >= limit {
		q.mu.Unlock()
		return false
	}
	q.waiting = append(q.waiting, b)
	q.mu.Unlock()
	select {
	case q.signal <- struct{}{}:
	default:
	}
	return true
}

func (q *beatQueue) take() []*beat {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = nil
	return taken
}

// maxBeats is how many heartbeats may wait for one peer; it bounds their frame, too.
func (t *Transport) maxBeats() int { return int(t.cfg.MaxControlBytes) / beatBytes }

// isHeartbeat reports what the library's own heartbeat looks like.
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return r.Term > 0 && len(r.Entries) == 0 && r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && r.LeaderCommitIndex == 0
}

// coalesces reports whether a heartbeat says no more than a frame of them carries: that the sender of
// the frame leads.
func (t *Transport) coalesces(r *raft.AppendEntriesRequest) bool {
	self := string(t.address)
	return r.ProtocolVersion >= 0 && r.ProtocolVersion <= 255 && string(r.ID) == self && string(r.Addr) == self && string(r.Leader) == self
}

// sendHeartbeats is the goroutine of one peer that sends what was gathered: at once after a silence of
// HeartbeatInterval, else when it has passed.
func (p *peer) sendHeartbeats() {
	t := p.t
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	var last time.Time
	for {
		select {
		case <-p.beats.signal:
		case <-t.ctx.Done():
			fail(p.beats.take(), ErrClosed)
			return
		}
		if wait := t.cfg.HeartbeatInterval - time.Since(last); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-t.ctx.Done():
				fail(p.beats.take(), ErrClosed)
				return
			}
		}
		last = time.Now()
		if batch := p.beats.take(); len(batch) > 0 {
			if err := p.sendBatch(batch); err != nil {
				fail(batch, err)
			}
		}
	}
}

func fail(batch []*beat, err error) {
	for _, b := range batch {
		b.finish(answer{err: err})
	}
}

// sendBatch writes one frame. After an error none of the batch is waited for by the connection.
func (p *peer) sendBatch(batch []*beat) error {
	w := newPatience(p.to.node, p.t.cfg.ControlTimeout, p.t.ctx.Done(), func() error { return ErrClosed })
	defer w.stop()
	c, err := p.control.get(w)
	if err != nil {
		return err
	}
	frame := beginFrame(make([]byte, 0, frameHeaderBytes+4+len(batch)*beatBytes), kindHeartbeats)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(batch)))
	now := time.Now()
	for _, b := range batch {
		frame = append(frame, b.group[:]...)
		frame = binary.BigEndian.AppendUint64(frame, b.term)
		frame = append(frame, b.version)
	}
	id, err := c.begin(&request{beats: append([]*beat(nil), batch...)})
	if err != nil {
		return err
	}
	c.expireBeats(id, now)
	endFrame(frame, id, 0)
	p.t.counters.heartbeatFramesSent.Add(1)
	p.t.counters.heartbeatsSent.Add(uint64(len(batch)))
	if err := c.write(nil, w, net.Buffers{frame}); err != nil {
		c.forget(id)
		return err
	}
	return nil
}

// beatFrame is a frame of heartbeats and when nobody waits for it any more.
type beatFrame struct {
	id       uint64
	obsolete time.Time
}

// expireBeats notes a new frame and forgets those whose callers have all given up, so that a group that
// never answers leaves nothing behind.
func (c *conn) expireBeats(id uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	for len(c.beats) > 0 && now.After(c.beats[0].obsolete) {
		delete(c.pending, c.beats[0].id)
		c.beats = c.beats[1:]
	}
	c.beats = append(c.beats, beatFrame{id, now.Add(c.t.cfg.ControlTimeout)})
}

// takeBeatAnswers hands out a frame of answers.
func (c *conn) takeBeatAnswers(body []byte) error {
	d := decoder{rest: body}
	n := d.count(beatAnswerBytes)
	var stand []*beat
	defer func() { c.letStand(stand) }() // when mu is free
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		id, place, s, text := d.uint64(), d.uint32(), status(d.uint8()), d.bytes()
		if d.err != nil {
			break
		}
		r := c.pending[id]
		if r == nil || int64(place) >= int64(len(r.beats)) {
			continue // nobody waits
		}
		if b := r.beats[place]; b != nil {
			r.beats[place] = nil
			if s == statusConfirmed && b.from.leads.Load() != nil {
				stand = append(stand, b)
			}
			b.finish(answer{status: s, body: text})
		}
	}
	return d.finish()
}

// decodeBeatAnswer turns an answer into raft's response.
func (g *Group) decodeBeatAnswer(from identity, b *beat, a answer, resp *raft.AppendEntriesResponse) error {
	switch a.status {
	case statusConfirmed:
		d := decoder{rest: a.body}
		term := d.uint64()
		if err := d.finish(); err != nil {
			return err
		}
		if term != b.term {
			return fmt.Errorf("%w: term %d confirmed where %d was asked about", ErrMalformed, term, b.term)
		}
		*resp = confirmation(from, term, raft.ProtocolVersion(b.version))
		return nil
	case statusOK:
		return decodeAppendEntriesResponse(a.body, resp)
	}
	return answerError(from.node, a.status, a.body)
}

func confirmation(from identity, term uint64, version raft.ProtocolVersion) raft.AppendEntriesResponse {
	who := []byte(Address(from.node, from.directory))
	return raft.AppendEntriesResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: version, ID: who, Addr: who}, Term: term, Success: true}
}

// heartbeatRequest is the library's own heartbeat.
func heartbeatRequest(term uint64, version uint8, leader []byte) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersion(version), ID: leader, Addr: leader},
		Term:      term, Leader: leader,
	}
}

// heartbeat sends one heartbeat among others, unless one of before stands.
func (g *Group) heartbeat(to identity, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if from, ok := g.hold(to, args.Term); ok {
		*resp = confirmation(from, args.Term, args.ProtocolVersion)
		return nil
	}
	p, err := g.t.peer(to)
	if err != nil {
		return err
	}
	w := g.patience(to.node, g.t.cfg.ControlTimeout)
	defer w.stop()
	b := &beat{from: g, group: g.id, term: args.Term, version: uint8(args.ProtocolVersion), done: make(chan answer, 1)}
	if g.ctx.Err() != nil {
		return g.cause()
	}
	if !p.beats.add(b, g.t.maxBeats()) {
		return fmt.Errorf("heartbeats to node %d: %w", to.node, ErrBusy)
	}
	select {
	case a := <-b.done:
		if a.err != nil {
			return a.err
		}
		return g.decodeBeatAnswer(to, b, a, resp)
	case <-w.timer.C:
		p.control.suspect(time.Now().Add(-w.limit))
		return w.expired("answer")
	case <-w.quit:
		return w.cause()
	}
}

// suspect passes a doubt on to the connection there is.
func (l *link) suspect(since time.Time) {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c != nil {
		c.suspect(since)
	}
}

// serveHeartbeats answers what can be answered at once in one frame; raft's own answers follow.
func (c *conn) serveHeartbeats(h frameHeader) error {
	body, err := c.readControl(h)
	if err != nil {
		return err
	}
	d := decoder{rest: body}
	n := d.count(beatBytes)
	if d.err != nil || n*beatBytes != len(d.rest) {
		return fmt.Errorf("%w: %d heartbeats in %d bytes", ErrMalformed, n, h.length)
	}
	leader := []byte(Address(c.peer.node, c.peer.directory))
	now := time.Now()
	answers := beginFrame(make([]byte, 0, frameHeaderBytes+4+n*(beatAnswerBytes+8)), kindHeartbeatAnswers)
	answers = append(answers, 0, 0, 0, 0)
	count := uint32(0)
	for place := range uint32(n) {
		var id GroupID
		copy(id[:], d.take(groupIDBytes))
		term, version := d.uint64(), d.uint8()
		confirmed, response, err := c.t.takeBeat(id, term, version, leader, now)
		switch {
		case err != nil:
			c.t.counters.requestsRefused.Add(1)
			answers = appendBeatAnswer(answers, h.id, place, refusalStatus(err), nil)
			count++
		case confirmed:
			answers = appendBeatAnswer(answers, h.id, place, statusConfirmed, binary.BigEndian.AppendUint64(nil, term))
			count++
		default:
			c.t.wg.Go(func() { c.awaitBeat(h.id, place, response) })
		}
	}
	if count == 0 {
		return nil
	}
	binary.BigEndian.PutUint32(answers[frameHeaderBytes:], count)
	return c.answerFrame(answers, 0)
}

func appendBeatAnswer(b []byte, frame uint64, place uint32, s status, body []byte) []byte {
	if s != statusOK {
		body = body[:min(len(body), maxErrorBytes)]
	}
	b = binary.BigEndian.AppendUint64(b, frame)
	b = binary.BigEndian.AppendUint32(b, place)
	b = append(b, byte(s))
	return appendBytes(b, body)
}

// takeBeat has a heartbeat confirmed, or queues it for raft's own answer.
func (t *Transport) takeBeat(id GroupID, term uint64, version uint8, leader []byte, now time.Time) (confirmed bool, response *rpcAnswer, err error) {
	g := t.group(id)
	if g == nil {
		return false, nil, ErrUnknownGroup
	}
	if g.confirm(term, version, leader, now, nil) {
		t.counters.heartbeatsConfirmed.Add(1)
		return true, nil, nil
	}
	response = newRPCAnswer(g)
	if err := g.deliver(raft.RPC{Command: heartbeatRequest(term, version, leader), RespChan: response.ch}, false); err != nil {
		return false, nil, err
	}
	t.counters.heartbeatsQueued.Add(1)
	return false, response, nil
}

// awaitBeat is a goroutine for a heartbeat whose answer is raft's.
func (c *conn) awaitBeat(frame uint64, place uint32, response *rpcAnswer) {
	s, body, _ := response.wait()
	c.late.mu.Lock()
	c.late.answers = appendBeatAnswer(c.late.answers, frame, place, s, body)
	c.late.count++
	if c.late.sending {
		c.late.mu.Unlock()
		return
	}
	c.late.sending = true
	for c.late.count > 0 {
		answers := binary.BigEndian.AppendUint32(beginFrame(make([]byte, 0, frameHeaderBytes+4+len(c.late.answers)), kindHeartbeatAnswers), c.late.count)
		answers = append(answers, c.late.answers...)
		c.late.answers, c.late.count = c.late.answers[:0], 0
		c.late.mu.Unlock()
		err := c.answerFrame(answers, 0)
		c.late.mu.Lock()
		if err != nil {
			c.late.answers, c.late.count = nil, 0
		}
	}
	c.late.sending = false
	c.late.mu.Unlock()
}

// lateBeats gathers raft's answers while one frame of them is being written.
type lateBeats struct {
	mu      sync.Mutex // guards all
	answers []byte
	count   uint32
	sending bool
}

// refusalStatus is how an error of this package travels.
func refusalStatus(err error) status {
	for s, refusal := range refusals {
		if errors.Is(err, refusal) {
			return s
		}
	}
	return statusError
}
