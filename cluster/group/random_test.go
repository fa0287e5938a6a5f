package group

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// actor is a client of the random test.
type actor struct {
	name       string
	instance   string
	obedient   bool // answers at once, and never stays away
	id         string
	generation int32
	leads      []Joined // whom it assigns to
	toSync     bool     // has joined and not synced
	stable     bool
	parked     Ticket
	certain    bool // the group has to know it: it was told of a generation that is durable
}

// world is one group, its actors and its log.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	limits Limits
	g      *Classic
	now    time.Time
	actors []*actor

	next       Ticket
	made       int
	parked     map[Ticket]*actor
	generation int32      // the highest since the last crash
	log        []Snapshot // durable
	ahead      []*Write   // on their way, in order
	owners     map[int32][]map[string]string
}

const randomSession = 10 * time.Second

// TestRandomInterleavings: whatever comes in whatever order, with crashes of the coordinator
// and writes that fail, every request is answered once, generations grow, a partition has
// one owner in a generation, and members that do as they are told stay.
func TestRandomInterleavings(t *testing.T) {
	for seed := range uint64(400) {
		w := &world{
			t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.UnixMilli(1_000_000),
			limits: Limits{
				Size: 8, ProtocolBytes: 100, MemberBytes: 400, GroupBytes: 1 << 20,
				InitialRebalanceDelay: time.Duration(seed%3) * time.Second, MinSession: time.Second, MaxSession: time.Minute,
			},
			parked: make(map[Ticket]*actor), owners: make(map[int32][]map[string]string),
		}
		w.g = New(&w.limits)
		for i := range 6 {
			a := &actor{name: fmt.Sprintf("m%d", i), obedient: i < 2}
			if i%3 == 1 {
				a.instance = "i" + a.name
			}
			w.actors = append(w.actors, a)
		}
		for range 300 {
			w.step()
			w.check()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		w.take(w.g.Close(errors.New("closed")))
		if len(w.parked) > 0 {
			t.Fatalf("seed %d: %d requests are never answered", seed, len(w.parked))
		}
	}
}

func (w *world) step() {
	switch a := w.actors[w.rng.IntN(len(w.actors))]; w.rng.IntN(14) {
	case 0, 1, 2:
		w.advance(time.Duration(w.rng.IntN(4000)) * time.Millisecond)
	case 3, 4:
		w.settle(w.rng.IntN(10) > 0)
	case 5:
		if w.rng.IntN(6) == 0 {
			w.crash()
		}
	case 6:
		if !a.obedient {
			w.leave(a)
		}
	case 7:
		if !a.obedient && a.parked != 0 {
			delete(w.parked, a.parked)
			ticket := a.parked
			a.parked = 0
			w.take(w.g.Drop(w.now, ticket))
		}
	case 8:
		if !a.obedient && w.rng.IntN(3) == 0 { // it has died, and another begins in its place
			if a.parked != 0 {
				delete(w.parked, a.parked)
				ticket := a.parked
				a.parked = 0
				w.take(w.g.Drop(w.now, ticket))
			}
			a.forget()
		}
	default:
		w.act(a)
	}
	for _, a := range w.actors {
		if a.obedient {
			w.act(a)
		}
	}
}

// act does what a client would do next.
func (w *world) act(a *actor) {
	switch {
	case a.parked != 0:
	case a.toSync:
		w.sync(a)
	case !a.stable || !a.obedient && w.rng.IntN(8) == 0:
		w.join(a)
	default:
		err := w.g.Heartbeat(w.now, a.id, a.instance, a.generation)
		w.judge(a, err)
		if err != nil {
			a.stable = false
		}
	}
}

func (a *actor) forget() { a.id, a.toSync, a.stable, a.certain = "", false, false, false }

// judge wants an obedient member to be known for as long as it has to be.
func (w *world) judge(a *actor, err error) {
	if a.obedient && a.certain && (errors.Is(err, ErrUnknownMember) || errors.Is(err, ErrFencedInstance)) {
		w.t.Errorf("%s has done what it was told, and hears: %v", a.id, err)
	}
	if errors.Is(err, ErrUnknownMember) || errors.Is(err, ErrFencedInstance) {
		a.forget()
	}
}

func (w *world) ticket(a *actor) Ticket {
	w.next++
	w.parked[w.next], a.parked = a, w.next
	return w.next
}

func (w *world) join(a *actor) {
	w.made++
	r := JoinRequest{
		Ticket: w.ticket(a), MemberID: a.id, NewMemberID: fmt.Sprintf("%s-%d", a.name, w.made), InstanceID: a.instance,
		Session: randomSession, Rebalance: 20 * time.Second, ProtocolType: ConsumerType,
		Protocols:      []Protocol{{"x", []byte(a.name)}, {"y", []byte{byte(w.rng.IntN(2))}}},
		RequireKnownID: w.rng.IntN(3) > 0, SkipAssignment: w.rng.IntN(2) == 0,
	}
	if w.rng.IntN(4) == 0 {
		slices.Reverse(r.Protocols)
	}
	w.take(w.g.Join(w.now, r))
}

// sync asks for the assignment; who leads gives one partition to each.
func (w *world) sync(a *actor) {
	r := SyncRequest{Ticket: w.ticket(a), MemberID: a.id, InstanceID: a.instance, Generation: a.generation, Assignments: make(map[string][]byte)}
	for i, m := range a.leads {
		r.Assignments[m.MemberID] = fmt.Appendf(nil, "p%d", i)
	}
	w.take(w.g.Sync(w.now, r))
}

func (w *world) leave(a *actor) {
	if a.id == "" {
		return
	}
	_, out := w.g.Leave(w.now, []Leaver{{a.id, a.instance}})
	a.forget()
	w.take(out)
}

// advance lets time pass; what is due happens as it comes due.
func (w *world) advance(d time.Duration) {
	for until := w.now.Add(d); w.now.Before(until); {
		next := w.g.Deadline()
		if next.IsZero() || next.After(until) {
			w.now = until
			return
		}
		if next.After(w.now) {
			w.now = next
		}
		w.take(w.g.Expire(w.now))
		if again := w.g.Deadline(); !again.IsZero() && !again.After(w.now) {
			w.t.Errorf("what is due at %v is due again", again)
			return
		}
		for _, a := range w.actors {
			if a.obedient {
				w.act(a)
			}
		}
	}
}

// settle makes the next write durable, or has it fail.
func (w *world) settle(durable bool) {
	if len(w.ahead) == 0 {
		return
	}
	x := w.ahead[0]
	w.ahead = w.ahead[1:]
	var err error
	if durable {
		w.log = append(w.log, x.Snapshot)
	} else {
		err = errors.New("not stored")
	}
	w.take(w.g.Stored(w.now, x.Number, err))
}

// crash has another coordinator take over with what is durable by then.
func (w *world) crash() {
	for n := w.rng.IntN(len(w.ahead) + 1); n > 0; n-- {
		w.log = append(w.log, w.ahead[0].Snapshot)
		w.ahead = w.ahead[1:]
	}
	w.ahead = nil
	w.take(w.g.Close(errors.New("moved")))
	if w.g = New(&w.limits); len(w.log) > 0 {
		w.g = Restore(&w.limits, w.log[len(w.log)-1], w.now)
	}
	w.generation = w.g.Generation()
	for _, a := range w.actors {
		a.certain = false
		if m := w.g.members[a.id]; m != nil && !a.toSync {
			a.certain = true
		}
	}
}

// take hears answers and writes.
func (w *world) take(out Output) {
	if out.Write != nil {
		w.ahead = append(w.ahead, out.Write)
	}
	for _, x := range out.Answers {
		a := w.parked[x.Ticket]
		if a == nil {
			if w.next < x.Ticket {
				w.t.Errorf("ticket %d was never given", x.Ticket)
			}
			w.t.Errorf("ticket %d is answered again, or after it was dropped", x.Ticket)
			continue
		}
		delete(w.parked, x.Ticket)
		if a.parked == x.Ticket {
			a.parked = 0
		}
		if x.Join != nil {
			w.joined(a, x.Join)
		} else {
			w.synced(a, x.Sync)
		}
	}
}

func (w *world) joined(a *actor, x *JoinAnswer) {
	a.stable, a.toSync = false, false
	switch {
	case errors.Is(x.Err, ErrMemberIDRequired):
		a.id, a.certain = x.MemberID, false
	case x.Err != nil:
		w.judge(a, x.Err)
	default:
		a.id, a.generation, a.leads, a.toSync, a.certain = x.MemberID, x.Generation, x.Members, true, true
		if x.SkipAssignment {
			a.leads = nil
		}
	}
}

func (w *world) synced(a *actor, x *SyncAnswer) {
	a.toSync = false
	if x.Err != nil {
		w.judge(a, x.Err)
		a.stable = false
		return
	}
	a.stable = true
	if len(x.Assignment) == 0 {
		return
	}
	owner := a.id
	if a.instance != "" {
		owner = a.instance // whatever it is called now
	}
	owned := map[string]string{string(x.Assignment): owner}
	for _, other := range w.owners[a.generation] {
		for partition, who := range other {
			if owned[partition] != "" && who != owner {
				w.t.Errorf("in generation %d %s is owned by %s and by %s", a.generation, partition, who, owner)
			}
		}
	}
	w.owners[a.generation] = append(w.owners[a.generation], owned)
}

func (w *world) check() {
	g := w.g
	if g.Generation() < w.generation {
		w.t.Errorf("generation %d after %d", g.Generation(), w.generation)
	}
	w.generation = g.Generation()
	held := make(map[Ticket]bool)
	for id, m := range g.members {
		if m.id != id || m.instance != "" && g.static[m.instance] != id {
			w.t.Errorf("member %s is filed as %s, its instance under %s", m.id, id, g.static[m.instance])
		}
		for _, ticket := range []Ticket{m.join, m.sync} {
			if ticket != 0 {
				held[ticket] = true
			}
		}
		if m.deadline.IsZero() && m.join == 0 && m.sync == 0 {
			w.t.Errorf("%s would stay for ever", id)
		}
	}
	if want := maps.Collect(maps.All(w.parked)); len(want) != len(held) {
		w.t.Errorf("%d requests are parked, %d are known", len(want), len(held))
	}
	for ticket := range w.parked {
		if !held[ticket] {
			w.t.Errorf("request %d is forgotten", ticket)
		}
	}
	if len(g.members) > 2*w.limits.Size || len(g.pending) > w.limits.Size { // who has not joined again yet does not count
		w.t.Errorf("%d members, %d pending", len(g.members), len(g.pending))
	}
	switch state := g.State(); {
	case state == Empty && len(g.members) > 0, (state == Stable || state == CompletingRebalance) && len(g.members) == 0:
		w.t.Errorf("%s with %d members", state, len(g.members))
	case state != Empty && g.Deadline().IsZero() && len(w.ahead) == 0:
		w.t.Errorf("%s, and nothing will happen", state)
	case state != Empty && len(g.members) > 0 && g.members[g.leader] == nil:
		w.t.Errorf("the leader %q is no member", g.leader)
	}
}
