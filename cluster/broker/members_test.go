package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// snappyGroups has groups form at once and tests be done soon.
var snappyGroups = map[string]string{"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "1", "group.min.session.timeout.ms": "1"}

// groupMember is a member of a group that does what its test wants.
type groupMember struct {
	*rawClient
	group, id, instance string
	generation          int32
	topic               string // subscribed to
	session             int32  // ms
}

func newMember(c *rawClient, group string) *groupMember {
	return &groupMember{rawClient: c, group: group, topic: "t", session: 30_000}
}

// subscriptionOf is a consumer's metadata.
func subscriptionOf(topic string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = []string{topic}
	return m.AppendTo(nil)
}

func (m *groupMember) joinRequest(version int16) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = version, m.group, m.id, m.session, 60_000
	req.ProtocolType = "consumer"
	if m.instance != "" && version >= 5 {
		req.InstanceID = &m.instance
	}
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", subscriptionOf(m.topic)
	req.Protocols = append(req.Protocols, p)
	return req
}

// joined takes what an answer says.
func (m *groupMember) joined(resp *kmsg.JoinGroupResponse) *kmsg.JoinGroupResponse {
	if m.id = resp.MemberID; resp.ErrorCode == 0 {
		m.generation = resp.Generation
	}
	return resp
}

// join joins, twice if it has to.
func (m *groupMember) join(version int16) *kmsg.JoinGroupResponse {
	m.t.Helper()
	resp := m.joined(ask[*kmsg.JoinGroupResponse](m.rawClient, m.joinRequest(version)))
	if protocol.ErrorCode(resp.ErrorCode) == protocol.CodeMemberIDRequired {
		resp = m.joined(ask[*kmsg.JoinGroupResponse](m.rawClient, m.joinRequest(version)))
	}
	return resp
}

func (m *groupMember) syncRequest(version int16, assignments ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.Generation, req.MemberID = version, m.group, m.generation, m.id
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	if m.instance != "" && version >= 3 {
		req.InstanceID = &m.instance
	}
	for i := 0; i < len(assignments); i += 2 {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = assignments[i], []byte(assignments[i+1])
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func (m *groupMember) sync(version int16, assignments ...string) (protocol.ErrorCode, string) {
	m.t.Helper()
	resp := ask[*kmsg.SyncGroupResponse](m.rawClient, m.syncRequest(version, assignments...))
	return protocol.ErrorCode(resp.ErrorCode), string(resp.MemberAssignment)
}

func (m *groupMember) heartbeat(version int16) protocol.ErrorCode {
	m.t.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.Generation, req.MemberID = version, m.group, m.generation, m.id
	if m.instance != "" && version >= 3 {
		req.InstanceID = &m.instance
	}
	return protocol.ErrorCode(ask[*kmsg.HeartbeatResponse](m.rawClient, req).ErrorCode)
}

func (m *groupMember) leave(version int16) protocol.ErrorCode {
	m.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group, req.MemberID = version, m.group, m.id
	one := kmsg.NewLeaveGroupRequestMember()
	one.MemberID = m.id
	if m.instance != "" {
		one.InstanceID = &m.instance
	}
	if req.Members = append(req.Members, one); version < 3 {
		return protocol.ErrorCode(ask[*kmsg.LeaveGroupResponse](m.rawClient, req).ErrorCode)
	}
	resp := ask[*kmsg.LeaveGroupResponse](m.rawClient, req)
	if resp.ErrorCode != 0 {
		return protocol.ErrorCode(resp.ErrorCode)
	}
	return protocol.ErrorCode(resp.Members[0].ErrorCode)
}

// commit commits an offset of partition 0 of topic t.
func (m *groupMember) commit(offset int64) protocol.ErrorCode {
	m.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation, req.MemberID = 8, m.group, m.generation, m.id
	if m.instance != "" {
		req.InstanceID = &m.instance
	}
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = "t"
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return protocol.ErrorCode(ask[*kmsg.OffsetCommitResponse](m.rawClient, req).Topics[0].Partitions[0].ErrorCode)
}

func describeGroup(c *rawClient, name string) kmsg.DescribeGroupsResponseGroup {
	c.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups = 6, []string{name}
	return ask[*kmsg.DescribeGroupsResponse](c, req).Groups[0]
}

func deleteGroup(c *rawClient, name string) protocol.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Version, req.Groups = 2, []string{name}
	return protocol.ErrorCode(ask[*kmsg.DeleteGroupsResponse](c, req).Groups[0].ErrorCode)
}

// stable makes a group of one member, which has assignment a.
func stable(t *testing.T, c *rawClient, group string) *groupMember {
	t.Helper()
	m := newMember(c, group)
	if resp := m.join(9); resp.ErrorCode != 0 {
		t.Fatal(protocol.ErrorCode(resp.ErrorCode))
	}
	if code, assignment := m.sync(5, m.id, "a"); code != 0 || assignment != "a" {
		t.Fatal(code, assignment)
	}
	return m
}

// TestEveryVersionOfMembership: a member joins, syncs, stays and leaves by every version.
func TestEveryVersionOfMembership(t *testing.T) {
	b := brokertest.Start(t, snappyGroups)
	c := dial(t, b.Addr())
	for version := range int16(10) {
		m := newMember(c, fmt.Sprint("g", version))
		if version >= 5 {
			m.instance = "i"
		}
		resp := m.join(version)
		if resp.ErrorCode != 0 || resp.Generation != 1 || resp.LeaderID != m.id || *resp.Protocol != "range" || len(resp.Members) != 1 || resp.Members[0].MemberID != m.id {
			t.Fatalf("join by version %d: %+v", version, resp)
		}
		if !strings.HasPrefix(m.id, "raw-") && m.instance == "" || !strings.HasPrefix(m.id, "i-") && m.instance != "" {
			t.Errorf("the member is called %q", m.id)
		}
		if code, assignment := m.sync(min(version, 5), m.id, "mine"); code != 0 || assignment != "mine" {
			t.Errorf("sync by version %d: %v %q", min(version, 5), code, assignment)
		}
		if code := m.heartbeat(min(version, 4)); code != 0 {
			t.Errorf("heartbeat by version %d: %v", min(version, 4), code)
		}
		if code := m.leave(min(version, 5)); code != 0 {
			t.Errorf("leave by version %d: %v", min(version, 5), code)
		}
		if code := m.heartbeat(min(version, 4)); code != protocol.CodeUnknownMemberID {
			t.Errorf("heartbeat after leaving: %v", code)
		}
	}
}

// TestParkedJoin: while a join is parked its connection is read on, others are served, and
// its answer comes when all have joined; what came behind it is answered after it.
func TestParkedJoin(t *testing.T) {
	b := brokertest.Start(t, snappyGroups)
	first := stable(t, dial(t, b.Addr()), "g")
	second := newMember(dial(t, b.Addr()), "g")
	second.joined(ask[*kmsg.JoinGroupResponse](second.rawClient, second.joinRequest(9)))
	join := second.joinRequest(9)
	joining := second.send(join)
	behind := make([]int32, 20)
	list := kmsg.NewPtrListGroupsRequest()
	for i := range behind {
		behind[i] = second.send(list)
	}
	eventually(t, "the member that is there hears of a rebalance", func() bool { return first.heartbeat(4) == protocol.CodeRebalanceInProgress })
	if state := describeGroup(first.rawClient, "g").State; state != "PreparingRebalance" {
		t.Errorf("the group is %s", state)
	}
	if resp := first.join(9); resp.ErrorCode != 0 || resp.Generation != 2 || len(resp.Members) != 2 {
		t.Errorf("the leader's join: %+v", resp)
	}
	if resp := second.joined(second.receive(join, joining).(*kmsg.JoinGroupResponse)); resp.ErrorCode != 0 || resp.Generation != 2 || len(resp.Members) != 0 {
		t.Errorf("the join: %+v", resp)
	}
	for _, id := range behind {
		if groups := second.receive(list, id).(*kmsg.ListGroupsResponse).Groups; len(groups) != 1 {
			t.Errorf("behind it: %+v", groups)
		}
	}
	// So does a parked sync.
	sync := second.syncRequest(5)
	syncing := second.send(sync)
	if code := first.commit(1); code != protocol.CodeUnknownTopicOrPartition {
		t.Errorf("a commit to no topic: %v", code)
	}
	if code, assignment := first.sync(5, first.id, "one", second.id, "two"); code != 0 || assignment != "one" {
		t.Errorf("the leader's sync: %v %q", code, assignment)
	}
	if resp := second.receive(sync, syncing).(*kmsg.SyncGroupResponse); resp.ErrorCode != 0 || string(resp.MemberAssignment) != "two" {
		t.Errorf("the sync: %+v", resp)
	}
}

// TestMembershipErrors: who is no member, or not of this generation, may not act for the group,
// and administrators leave groups with members alone.
func TestMembershipErrors(t *testing.T) {
	b := brokertest.Start(t, snappyGroups)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	c.createTopic("u", 1, nil)
	m := stable(t, c, "g")
	if code := m.commit(5); code != 0 {
		t.Errorf("a member's commit: %v", code)
	}
	for _, x := range []struct {
		name         string
		stranger     groupMember
		beat, commit protocol.ErrorCode
	}{
		{"an unknown member", groupMember{id: "nobody", generation: 1}, protocol.CodeUnknownMemberID, protocol.CodeUnknownMemberID},
		{"an old generation", groupMember{id: m.id, generation: 0}, protocol.CodeIllegalGeneration, protocol.CodeIllegalGeneration},
		{"no member", groupMember{generation: -1}, protocol.CodeUnknownMemberID, protocol.CodeUnknownMemberID},
		{"an unknown instance", groupMember{id: m.id, instance: "i", generation: 1}, protocol.CodeUnknownMemberID, protocol.CodeUnknownMemberID},
		{"an unknown group", groupMember{group: "none", id: m.id, generation: 1}, protocol.CodeUnknownMemberID, protocol.CodeIllegalGeneration},
		{"a group without a name", groupMember{group: "-", id: m.id, generation: 1}, protocol.CodeInvalidGroupID, protocol.CodeIllegalGeneration},
	} {
		s := x.stranger
		s.rawClient, s.topic, s.session = c, "t", 30_000
		switch s.group {
		case "":
			s.group = "g"
		case "-":
			s.group = ""
		}
		if got := s.heartbeat(4); got != x.beat {
			t.Errorf("%s: heartbeat %v, want %v", x.name, got, x.beat)
		}
		if got, _ := s.sync(5); got != x.beat {
			t.Errorf("%s: sync %v, want %v", x.name, got, x.beat)
		}
		if got := s.commit(9); got != x.commit {
			t.Errorf("%s: commit %v, want %v", x.name, got, x.commit)
		}
		if x.name != "an old generation" {
			if got := s.leave(5); got != x.beat {
				t.Errorf("%s: leave %v, want %v", x.name, got, x.beat)
			}
		}
	}
	if offset, _ := committed(c, "g", "t", 0); offset != 5 {
		t.Errorf("the committed offset is %d", offset)
	}
	if code := deleteGroup(c, "g"); code != protocol.CodeNonEmptyGroup {
		t.Errorf("delete a group with a member: %v", code)
	}
	if code := commit(c, "g", "u", 0, 7, ""); code != protocol.CodeUnknownMemberID {
		t.Errorf("an administrator's commit: %v", code)
	}
	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = "g"
	for _, topic := range []string{"t", "u"} {
		one := kmsg.NewOffsetDeleteRequestTopic()
		one.Topic, one.Partitions = topic, []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
		del.Topics = append(del.Topics, one)
	}
	resp := ask[*kmsg.OffsetDeleteResponse](c, del)
	if t0, u0 := resp.Topics[0].Partitions[0], resp.Topics[1].Partitions[0]; resp.ErrorCode != 0 || u0.ErrorCode != 0 ||
		protocol.ErrorCode(t0.ErrorCode) != protocol.CodeGroupSubscribedToTopic {
		t.Errorf("delete offsets: %+v", resp)
	}
	join := m.joinRequest(9)
	join.SessionTimeoutMillis = 2_000_000
	if got := ask[*kmsg.JoinGroupResponse](c, join); protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidSessionTimeout || got.MemberID != m.id {
		t.Errorf("a session of half an hour: %+v", got)
	}
	join = m.joinRequest(9)
	join.ProtocolType = "connect"
	if got := ask[*kmsg.JoinGroupResponse](c, join).ErrorCode; protocol.ErrorCode(got) != protocol.CodeInconsistentGroupProtocol {
		t.Errorf("another protocol type: %v", protocol.ErrorCode(got))
	}
	bare := m.syncRequest(5)
	bare.Protocol = nil
	if got := ask[*kmsg.SyncGroupResponse](c, bare).ErrorCode; protocol.ErrorCode(got) != protocol.CodeInconsistentGroupProtocol {
		t.Errorf("a sync without a protocol: %v", protocol.ErrorCode(got))
	}
	if code := m.leave(5); code != 0 {
		t.Errorf("leave: %v", code)
	}
	if code := deleteGroup(c, "g"); code != 0 {
		t.Errorf("delete the empty group: %v", code)
	}
	if got := describeGroup(c, "g"); protocol.ErrorCode(got.ErrorCode) != protocol.CodeGroupIDNotFound {
		t.Errorf("the deleted group: %+v", got)
	}
}

// TestGroupsAsAdministratorsSeeThem: states, members and their metadata.
func TestGroupsAsAdministratorsSeeThem(t *testing.T) {
	b := brokertest.Start(t, snappyGroups)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	m := stable(t, c, "g")
	commit(c, "simple", "t", 0, 1, "")
	joining := newMember(c, "joined")
	joining.join(9)
	got := describeGroup(c, "g")
	if got.State != "Stable" || got.ProtocolType != "consumer" || got.Protocol != "range" || len(got.Members) != 1 {
		t.Fatalf("described: %+v", got)
	}
	if x := got.Members[0]; x.MemberID != m.id || x.ClientID != "raw" || x.ClientHost != "/127.0.0.1" || x.InstanceID != nil ||
		string(x.ProtocolMetadata) != string(subscriptionOf("t")) || string(x.MemberAssignment) != "a" {
		t.Errorf("member: %+v", x)
	}
	if got := describeGroup(c, "joined"); got.State != "CompletingRebalance" || got.Protocol != "" || len(got.Members) != 1 || len(got.Members[0].ProtocolMetadata) != 0 {
		t.Errorf("described: %+v", got)
	}
	for _, x := range []struct {
		states, types []string
		want          string
	}{
		{nil, nil, "g Stable consumer, joined CompletingRebalance consumer, simple Empty "},
		{[]string{"stable", "empty"}, []string{"Classic"}, "g Stable consumer, simple Empty "},
		{[]string{"Dead"}, nil, ""},
		{nil, []string{"consumer"}, ""},
	} {
		req := kmsg.NewPtrListGroupsRequest()
		req.Version, req.StatesFilter, req.TypesFilter = 5, x.states, x.types
		var lines []string
		for _, g := range ask[*kmsg.ListGroupsResponse](c, req).Groups {
			lines = append(lines, g.Group+" "+g.GroupState+" "+g.ProtocolType)
		}
		if got := strings.Join(lines, ", "); got != x.want {
			t.Errorf("list %v %v: %q, want %q", x.states, x.types, got, x.want)
		}
	}
}

// TestMembersGoOn: after a restart a group is what it was; its members go on with heartbeats,
// syncs and commits, and no rebalance.
func TestMembersGoOn(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, snappyGroups)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	m := stable(t, c, "g")
	static := newMember(c, "static")
	static.instance = "i"
	static.join(9)
	static.sync(5, static.id, "s")
	gone := stable(t, c, "gone")
	gone.leave(5)
	half := newMember(c, "half") // has joined, and not synced
	half.join(9)
	for range 2 {
		stop(t, b)
		b = brokertest.StartIn(t, dir, snappyGroups)
		c = dial(t, b.Addr())
		m.rawClient, static.rawClient, half.rawClient, gone.rawClient = c, c, c, c
		if code := m.heartbeat(4); code != 0 {
			t.Errorf("heartbeat: %v", code)
		}
		if code, assignment := m.sync(5); code != 0 || assignment != "a" {
			t.Errorf("sync: %v %q", code, assignment)
		}
		if code := m.commit(3); code != 0 {
			t.Errorf("commit: %v", code)
		}
		got := describeGroup(c, "g")
		if got.State != "Stable" || len(got.Members) != 1 || got.Members[0].ClientID != "raw" || got.Members[0].ClientHost != "/127.0.0.1" ||
			string(got.Members[0].ProtocolMetadata) != string(subscriptionOf("t")) {
			t.Errorf("described: %+v", got)
		}
		old := static.id
		static.id = "" // it has died with the broker, and comes back
		if resp := static.join(9); resp.ErrorCode != 0 || resp.Generation != 1 || !resp.SkipAssignment || static.id == old {
			t.Errorf("the static member comes back: %+v", resp)
		}
		if code, assignment := static.sync(5); code != 0 || assignment != "s" {
			t.Errorf("its sync: %v %q", code, assignment)
		}
		if got := describeGroup(c, "gone"); got.State != "Empty" || got.ProtocolType != "consumer" {
			t.Errorf("the group that all have left: %+v", got)
		}
		if code := half.heartbeat(4); code != protocol.CodeUnknownMemberID {
			t.Errorf("who has not synced: %v", code)
		}
	}
	if code := deleteGroup(c, "gone"); code != 0 {
		t.Errorf("delete: %v", code)
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, snappyGroups)
	defer stop(t, b)
	c = dial(t, b.Addr())
	list := kmsg.NewPtrListGroupsRequest()
	var names []string
	for _, g := range ask[*kmsg.ListGroupsResponse](c, list).Groups {
		names = append(names, g.Group)
	}
	if !slices.Equal(names, []string{"g", "static"}) {
		t.Errorf("groups: %v", names)
	}
}

// TestVanishedMembers: members that are not heard of any more leave nothing but an empty group,
// and nothing at all of a group that never came about.
func TestVanishedMembers(t *testing.T) {
	b := brokertest.Start(t, snappyGroups)
	c := dial(t, b.Addr())
	m := newMember(c, "g")
	m.session = 300
	m.join(9)
	m.sync(5, m.id, "a")
	pending := newMember(c, "pending")
	pending.session = 300
	ask[*kmsg.JoinGroupResponse](c, pending.joinRequest(9))
	unsynced := newMember(c, "unsynced")
	unsynced.session = 300
	unsynced.join(9)

	other := dial(t, b.Addr()) // joins without knowing its id, and goes
	parked := newMember(other, "parked")
	keeper := stable(t, c, "parked")
	other.send(parked.joinRequest(3))
	eventually(t, "it has joined", func() bool { return keeper.heartbeat(4) == protocol.CodeRebalanceInProgress })
	_ = other.conn.Close()
	eventually(t, "it is gone", func() bool { return len(describeGroup(c, "parked").Members) == 1 })
	if resp := keeper.join(9); resp.ErrorCode != 0 || len(resp.Members) != 1 {
		t.Errorf("the rebalance without it: %+v", resp)
	}
	eventually(t, "members have expired", func() bool {
		return describeGroup(c, "g").State == "Empty" && describeGroup(c, "pending").State == "Dead" && describeGroup(c, "unsynced").State == "Dead"
	})
}
