package consumer

import (
	"errors"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// actClassic does what a client of the classic protocol would do next.
func (p *play) actClassic(a *actor) {
	switch {
	case a.toJoin:
		p.joinClassic(a)
	case a.toSync:
		p.take(p.g.Sync(p.now, group.SyncRequest{Ticket: p.ticket(a), MemberID: a.id, InstanceID: a.instance, Generation: a.epoch}))
	default:
		if err := p.g.Heartbeat(p.now, a.id, a.instance, a.epoch); errors.Is(err, group.ErrRebalanceInProgress) {
			a.toJoin = true
		} else if err != nil {
			p.lost(a, err)
		}
	}
}

func (p *play) joinClassic(a *actor) {
	if a.eager {
		a.owned, a.told = nil, nil
	}
	owned := make(map[string][]int32)
	for name, t := range p.world.topics {
		if len(a.owned[t.id]) > 0 {
			owned[name] = a.owned[t.id]
		}
	}
	topic := "t"
	if len(a.topics) == 0 {
		topic = "v"
	}
	r := group.JoinRequest{
		Ticket: p.ticket(a), MemberID: a.id, InstanceID: a.instance, Session: 10 * time.Second, Rebalance: 20 * time.Second,
		ProtocolType: group.ConsumerType, Protocols: []group.Protocol{{Name: "p", Metadata: metadataOf(topic, owned)}},
	}
	if a.epoch == joinEpoch {
		r.MemberID, r.NewMemberID = "", a.id
	}
	p.take(p.g.Join(p.now, r))
}

// lost has a classic member begin again that the group does not know as it knows itself.
func (p *play) lost(a *actor, err error) {
	if a.obedient && a.certain && !errors.Is(err, group.ErrIllegalGeneration) { // that is of one that has lost an answer
		p.t.Errorf("%s has done what it was told, and hears: %v", a.id, err)
	}
	a.owned, a.told, a.toJoin, a.toSync, a.certain = nil, nil, true, false, false
}

func (p *play) heardJoin(a *actor, x *group.JoinAnswer) {
	if errors.Is(x.Err, group.ErrUnknownMember) || errors.Is(x.Err, group.ErrFencedInstance) {
		p.lost(a, x.Err)
		return
	}
	if x.Err != nil {
		a.toJoin = true
		return
	}
	a.epoch, a.certain, a.toJoin, a.toSync = x.Generation, true, false, true
}

func (p *play) heardSync(a *actor, x *group.SyncAnswer) {
	a.toSync = false
	switch {
	case errors.Is(x.Err, group.ErrUnknownMember), errors.Is(x.Err, group.ErrIllegalGeneration), errors.Is(x.Err, group.ErrFencedInstance):
		p.lost(a, x.Err)
		return
	case x.Err != nil:
		a.toJoin = true
		return
	}
	partitions, ok := group.ParseAssignment(x.Assignment)
	if !ok {
		p.t.Errorf("%s is assigned %x", a.id, x.Assignment)
	}
	a.told = make(assignor.Assignment)
	for name, list := range partitions {
		a.told[p.world.topics[name].id] = list
	}
	a.toJoin = !a.owned.Within(a.told) // who gives something up comes again
	a.owned = a.owned.Plus(a.told)
}
