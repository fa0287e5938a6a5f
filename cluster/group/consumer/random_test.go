package consumer

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// actor is a client of the random test.
type actor struct {
	name, instance, id string
	obedient           bool // sends heartbeats, gives up what it is to, never stays away
	topics             []string
	regex              string
	epoch              int32
	owned              assignor.Assignment // what it uses
	told               assignor.Assignment // what it is to use
	said, saying       assignor.Assignment // what the group has heard that it uses, and what it was told last
	full               bool                // its next heartbeat says everything
	parked             group.Ticket
	classic, eager     bool // it speaks the classic protocol; it joins with nothing
	toSync, toJoin     bool // what a classic one does next
	certain            bool // the group has to know it
}

// play is one group, its actors and what is stored.
type play struct {
	t      *testing.T
	rng    *rand.Rand
	world  *fakeWorld
	g      *Group
	now    time.Time
	actors []*actor

	next    group.Ticket
	made    int
	parked  map[group.Ticket]*actor // nil: nobody listens any more
	facts   group.Facts
	ahead   *group.Write
	matched bool // the group asks for its regular expressions to be matched
}

// TestRandomInterleavings: whatever comes in whatever order, with crashes of the coordinator, answers
// that are lost and writes that fail, no partition is used by two members, epochs do not go back,
// members that do as they are told stay, and when nothing changes any more all have their targets.
func TestRandomInterleavings(t *testing.T) {
	for seed := range uint64(150) {
		p := newPlay(t, seed)
		for range 300 {
			p.step()
			p.check()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		p.calm()
		if t.Failed() {
			t.Fatalf("seed %d: at rest", seed)
		}
	}
}

func newPlay(t *testing.T, seed uint64) *play {
	p := &play{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), world: newFakeWorld(), now: time.UnixMilli(1_000_000), parked: make(map[group.Ticket]*actor),
		facts: make(group.Facts),
	}
	p.world.limits.Size = 10
	p.world.set("t", 5)
	p.world.set("u", 3)
	p.g = New(p.world, p.now)
	for i := range 9 {
		a := &actor{name: fmt.Sprintf("m%d", i), obedient: i < 3 || i == 8, classic: i == 2 || i > 5, eager: i == 6}
		if i%3 == 1 || i == 8 {
			a.instance = "i" + a.name
		}
		p.begin(a)
		p.actors = append(p.actors, a)
	}
	return p
}

// begin has an actor be another process.
func (p *play) begin(a *actor) {
	p.made++
	a.id = fmt.Sprintf("%s-%d", a.name, p.made)
	a.epoch, a.owned, a.told, a.said, a.full, a.certain = 0, nil, nil, nil, true, false
	a.toSync, a.toJoin = false, true
	a.topics, a.regex = [][]string{{"t"}, {"t", "u"}, {}}[p.rng.IntN(3)], ""
	if len(a.topics) == 0 && !a.classic {
		a.regex = []string{"t|v", ".*"}[p.rng.IntN(2)]
	}
	p.mute(a)
}

// mute has nobody listen to the answer of an actor's request.
func (p *play) mute(a *actor) {
	if a.parked != 0 {
		p.parked[a.parked] = nil
		if p.rng.IntN(2) == 0 {
			delete(p.parked, a.parked)
			p.take(p.g.Drop(p.now, a.parked))
		}
		a.parked = 0
	}
}

func (p *play) step() {
	switch a := p.actors[p.rng.IntN(len(p.actors))]; p.rng.IntN(16) {
	case 0, 1, 2:
		p.advance(time.Duration(p.rng.IntN(6000)) * time.Millisecond)
	case 3, 4, 5:
		p.settle(p.rng.IntN(10) > 0)
	case 6:
		if p.rng.IntN(6) == 0 {
			p.crash()
		}
	case 7:
		if !a.obedient {
			p.leave(a)
		}
	case 8:
		if p.rng.IntN(3) == 0 { // the answer is lost
			p.mute(a)
			a.full, a.toJoin = true, true
		}
	case 9:
		if died := a.instance == "" && !a.obedient || a.instance != "" && a.classic; died && p.rng.IntN(3) == 0 {
			p.begin(a) // a static classic one takes its own place over
		}
	case 10:
		if p.rng.IntN(3) == 0 {
			p.world.set([]string{"t", "u", "v"}[p.rng.IntN(3)], int32(p.rng.IntN(7)))
			p.refresh()
		}
	case 11:
		p.refreshIfAsked()
	default:
		p.act(a)
	}
	for _, a := range p.actors {
		if a.obedient {
			p.act(a)
		}
	}
}

func (p *play) refresh() {
	p.matched = false
	p.take(p.g.Refresh(p.now, p.world.match(p.g.Patterns())))
}

func (p *play) refreshIfAsked() {
	if p.matched {
		p.refresh()
	}
}

// act does what a client would do next: what it was told, and a heartbeat.
func (p *play) act(a *actor) {
	if a.parked != 0 {
		return
	}
	if a.obedient || p.rng.IntN(3) > 0 { // else it is slow in giving up
		a.owned = a.told
	}
	if a.classic {
		p.actClassic(a)
		return
	}
	r := Request{Ticket: p.ticket(a), MemberID: a.id, InstanceID: a.instance, Epoch: a.epoch, Rebalance: -1}
	if a.epoch == joinEpoch || a.full {
		r.Rebalance, r.Topics, r.Regex = 20*time.Second, slices.Clone(a.topics), &a.regex
	}
	if r.Owned = a.owned; r.Owned == nil {
		r.Owned = assignor.Assignment{}
	}
	a.saying = a.owned
	if a.epoch != joinEpoch && !a.full && a.owned.Equal(a.said) {
		r.Owned = nil
	}
	a.full = false
	p.take(p.g.Beat(p.now, r))
}

func (p *play) ticket(a *actor) group.Ticket {
	p.next++
	p.parked[p.next], a.parked = a, p.next
	return p.next
}

func (p *play) leave(a *actor) {
	p.mute(a)
	if a.classic {
		_, out := p.g.Leave(p.now, []group.Leaver{{MemberID: a.id, InstanceID: a.instance}})
		p.begin(a)
		p.take(out)
		return
	}
	r := Request{MemberID: a.id, InstanceID: a.instance, Epoch: leaveEpoch}
	if a.instance != "" && p.rng.IntN(2) == 0 {
		r.Epoch = leftEpoch
	}
	p.begin(a)
	p.next++
	p.parked[p.next] = nil
	r.Ticket = p.next
	p.take(p.g.Beat(p.now, r))
}

// advance lets time pass; what is due happens as it comes due.
func (p *play) advance(d time.Duration) {
	for until := p.now.Add(d); p.now.Before(until); {
		next := p.g.Deadline()
		if next.IsZero() || next.After(until) {
			p.now = until
			return
		}
		if next.After(p.now) {
			p.now = next
		}
		p.take(p.g.Expire(p.now))
		if again := p.g.Deadline(); !again.IsZero() && !again.After(p.now) {
			p.t.Errorf("what is due at %v is due again", again)
			return
		}
		for _, a := range p.actors {
			if a.obedient {
				p.act(a)
			}
		}
	}
}

// settle makes the write under way durable, or has it fail.
func (p *play) settle(durable bool) {
	w := p.ahead
	if w == nil {
		return
	}
	p.ahead = nil
	var err error
	if durable {
		p.store(w)
	} else {
		err = errors.New("not stored")
	}
	p.take(p.g.Stored(p.now, w.Number, err))
}

func (p *play) store(w *group.Write) {
	key := group.FactKey{Kind: group.FactGroup}
	before, _ := p.facts[key].(group.GroupFact)
	for _, f := range w.Facts {
		if p.facts[f.Key] = f.Value; f.Value == nil {
			delete(p.facts, f.Key)
		}
	}
	if after, _ := p.facts[key].(group.GroupFact); after.Epoch < before.Epoch {
		p.t.Errorf("epoch %d is stored after %d", after.Epoch, before.Epoch)
	}
}

// crash has another coordinator take over with what is durable by then.
func (p *play) crash() {
	if p.ahead != nil && p.rng.IntN(2) == 0 {
		p.store(p.ahead)
	}
	p.ahead = nil
	p.take(p.g.Close(errors.New("moved")))
	p.g = Restore(p.world, p.facts, p.now)
	for _, a := range p.actors {
		a.certain = p.g.members[a.id] != nil
	}
	p.refresh()
}

// take hears answers and writes.
func (p *play) take(out group.Output) {
	p.matched = p.matched || out.Match
	if out.Write != nil {
		if p.ahead != nil {
			p.t.Errorf("write %d begins before %d is done", out.Write.Number, p.ahead.Number)
		}
		p.ahead = out.Write
	}
	for _, x := range out.Answers {
		a, known := p.parked[x.Ticket]
		if !known {
			p.t.Errorf("ticket %d was never given, is answered again, or after it was dropped", x.Ticket)
		}
		delete(p.parked, x.Ticket)
		if a != nil && a.parked == x.Ticket {
			a.parked = 0
			switch {
			case x.Beat != nil:
				p.hear(a, x.Beat)
			case x.Join != nil:
				p.heardJoin(a, x.Join)
			default:
				p.heardSync(a, x.Sync)
			}
		}
	}
}

func (p *play) hear(a *actor, x *group.BeatAnswer) {
	switch {
	case errors.Is(x.Err, group.ErrUnknownMember), errors.Is(x.Err, group.ErrFencedEpoch), errors.Is(x.Err, group.ErrFencedInstance):
		if a.obedient && a.certain {
			p.t.Errorf("%s has done what it was told, and hears: %v", a.id, x.Err)
		}
		a.epoch, a.owned, a.told, a.said, a.full, a.certain = 0, nil, nil, nil, true, false
	case x.Err != nil:
		a.full = true
	default:
		if x.Epoch < a.epoch {
			p.t.Errorf("%s is told epoch %d after %d", a.id, x.Epoch, a.epoch)
		}
		a.epoch, a.certain, a.said = x.Epoch, true, a.saying
		if x.Assignment != nil {
			a.told = x.Assignment
			a.owned = a.owned.Plus(x.Assignment) // what is new may be used at once
		}
	}
}

// check wants each partition to be used by one of those whom the group knows.
func (p *play) check() {
	users := make(map[assignor.TopicID]map[int32]*actor)
	for _, a := range p.actors {
		m := p.g.members[a.id]
		if m == nil || m.epoch == leftEpoch {
			continue // it is on its own
		}
		for id, partitions := range a.owned {
			if users[id] == nil {
				users[id] = make(map[int32]*actor)
			}
			for _, n := range partitions {
				if other := users[id][n]; other != nil {
					p.t.Errorf("partition %d of %d is used by %s and by %s", n, id[15], other.id, a.id)
				}
				users[id][n] = a
			}
		}
	}
	p.checkState()
}

// checkState wants the group to fit together.
func (p *play) checkState() {
	g := p.g
	var bytes int64
	recorded, owned := 0, 0
	for id, m := range g.members {
		if m.id != id || m.instance != "" && g.static[m.instance] != id {
			p.t.Errorf("member %s is filed as %s, its instance under %s", m.id, id, g.static[m.instance])
		}
		if timed := !m.revokeBy.IsZero(); m.session.IsZero() || m.state == group.MemberUnrevoked && !timed || m.classic == nil && m.state != group.MemberUnrevoked && timed {
			p.t.Errorf("%s would stay for ever", id)
		}
		if m.epoch > g.epoch {
			p.t.Errorf("%s is at %d, the group at %d", id, m.epoch, g.epoch)
		}
		for _, a := range []assignor.Assignment{m.assigned, m.revoking} {
			owned += a.Count()
			for topic, partitions := range a {
				for _, n := range partitions {
					if g.owners[topic][n].member != m {
						p.t.Errorf("%d of %d is not owned by %s", n, topic[15], id)
					}
				}
			}
		}
		bytes += m.size()
		recorded += m.recordBytes()
	}
	for _, x := range g.patterns {
		bytes += x.bytes
	}
	for _, of := range g.owners {
		owned -= len(of)
	}
	if bytes != g.bytes || recorded != g.recorded || owned != 0 || len(g.static) > len(g.members) {
		p.t.Errorf("%d bytes are accounted for %d, %d for %d; %d owners", g.bytes, bytes, g.recorded, recorded, owned)
	}
	if (len(g.members) == 0) != (g.emptySince != 0) {
		p.t.Errorf("%d members, empty since %d", len(g.members), g.emptySince)
	}
}

// calm lets everything that is under way come to its end, and wants what is left to be at its target.
func (p *play) calm() {
	for range 40 {
		p.settle(true)
		p.refreshIfAsked()
		p.advance(5 * time.Second)
		for _, a := range p.actors {
			a.owned = a.told
			p.act(a)
		}
		p.settle(true)
		p.check()
	}
	if p.g.State() != group.Stable || len(p.g.members) != len(p.actors) || p.ahead != nil {
		p.t.Errorf("%s with %d members", p.g.State(), len(p.g.members))
	}
	covered := 0
	for _, a := range p.actors {
		if m := p.g.members[a.id]; a.epoch != p.g.epoch || m == nil || !a.owned.Equal(m.target) {
			p.t.Errorf("%s is at %d with %v, the group at %d", a.id, a.epoch, a.owned, p.g.epoch)
		}
		covered += a.owned.Count()
	}
	want := 0
	names, _ := p.g.Subscribed()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		_, n, _ := p.world.Topic(name)
		want += int(n)
	}
	if covered != want {
		p.t.Errorf("%d of %d partitions are used", covered, want)
	}
}
