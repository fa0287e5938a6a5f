package consumer

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/cluster/group"
)

// classic is a command about members of the classic protocol, by clients that go by what they were told.
func (s *scene) classic(verb, name string, args map[string]string) error {
	generation := s.epochs[name]
	if v, ok := args["gen"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			return err
		}
		generation = int32(n)
	}
	switch verb {
	case "upgrade": // upgrade a=t:0,t:1 b=
		members := []group.SnapshotMember{}
		for _, id := range slices.Sorted(maps.Keys(args)) {
			members = append(members, group.SnapshotMember{
				ID: id, Session: 10 * time.Second, Rebalance: 30 * time.Second,
				Subscription: metadataOf("t", nil), Assignment: group.AppendAssignment(nil, 1, partitionsOf(args[id])),
			})
			s.epochs[id] = 7
		}
		limits := group.Limits{Size: 9, MaxSession: time.Minute}
		c := group.Restore(&limits, group.Snapshot{ProtocolType: "consumer", Protocol: "p", Generation: 7, Members: members}, s.now)
		g, ok := Upgrade(s.world, c, s.now)
		if s.say("%t", ok); ok {
			s.g = g
		}
	case "downgrade":
		s.say("%t", s.g.Downgradable())
		if s.g.Downgradable() {
			c, _ := s.g.Downgrade(&group.Limits{Size: 9, MaxSession: time.Minute}, s.now)
			s.say("%s generation %d with %d members", c.State(), c.Generation(), len(c.Members()))
		}
	case "cjoin":
		s.next++
		s.tickets[s.next] = name
		id, ok := args["id"]
		if !ok {
			id = name
		}
		r := group.JoinRequest{
			Ticket: s.next, MemberID: id, NewMemberID: name, InstanceID: args["instance"], Session: 10 * time.Second, Rebalance: 30 * time.Second,
			ProtocolType: "consumer", RequireKnownID: args["v"] >= "4",
		}
		if v, ok := args["type"]; ok {
			r.ProtocolType = v
		}
		protocol := "p"
		if v, ok := args["protocol"]; ok {
			protocol = v
		}
		r.Protocols = []group.Protocol{{Name: protocol, Metadata: metadataOf("t", partitionsOf(args["owned"]))}}
		s.tell(s.g.Join(s.now, r))
	case "csync":
		s.next++
		s.tickets[s.next] = name
		s.tell(s.g.Sync(s.now, group.SyncRequest{Ticket: s.next, MemberID: name, InstanceID: args["instance"], Generation: generation}))
	case "cbeat":
		s.say("%v", word(s.g.Heartbeat(s.now, name, args["instance"], generation)))
	case "cleave":
		id, ok := args["id"]
		if !ok {
			id = name
		}
		errs, out := s.g.Leave(s.now, []group.Leaver{{MemberID: id, InstanceID: args["instance"]}})
		s.say("%v", word(errs[0]))
		s.tell(out)
	}
	return nil
}

func (s *scene) tellClassic(name string, a group.Answer) {
	switch {
	case a.Join != nil && a.Join.Err != nil:
		s.say("%s: %s %q", name, word(a.Join.Err), a.Join.MemberID)
	case a.Join != nil:
		s.epochs[name] = a.Join.Generation
		s.say("%s: %s generation %d %s leader %q", name, a.Join.MemberID, a.Join.Generation, a.Join.Protocol, a.Join.Leader)
	case a.Sync.Err != nil:
		s.say("%s: %s", name, word(a.Sync.Err))
	default:
		partitions, ok := group.ParseAssignment(a.Sync.Assignment)
		s.say("%s: %v %t", name, partitions, ok)
	}
}

// partitionsOf reads t:0,t:1.
func partitionsOf(v string) map[string][]int32 {
	out := make(map[string][]int32)
	for _, x := range list(v) {
		topic, p, _ := strings.Cut(x, ":")
		n, _ := strconv.Atoi(p)
		out[topic] = append(out[topic], int32(n))
	}
	return out
}

// metadataOf is the metadata of a consumer that subscribes to a topic and has partitions.
func metadataOf(topic string, owned map[string][]int32) []byte {
	b := append([]byte{0, 1, 0, 0, 0, 1, 0, byte(len(topic))}, topic...)
	b = append(b, 0xff, 0xff, 0xff, 0xff)
	assignment := group.AppendAssignment(nil, 1, owned)
	return append(b, assignment[2:len(assignment)-4]...)
}
