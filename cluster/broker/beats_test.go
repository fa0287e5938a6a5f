package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// snappyBeats has sessions of the consumer protocol be short.
func snappyBeats(more map[string]string) map[string]string {
	settings := map[string]string{
		"group.consumer.min.session.timeout.ms": "100", "group.consumer.min.heartbeat.interval.ms": "10", "group.consumer.heartbeat.interval.ms": "100",
	}
	maps.Copy(settings, snappyGroups)
	maps.Copy(settings, more)
	return settings
}

// beater is a member of the consumer protocol that does what its test wants.
type beater struct {
	*rawClient
	group, id, instance string
	epoch               int32
	owned               []kmsg.ConsumerGroupHeartbeatRequestTopic // as told
}

func newBeater(c *rawClient, group, id string) *beater {
	return &beater{rawClient: c, group: group, id: id}
}

func (m *beater) request() *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, m.group, m.id, m.epoch
	if m.instance != "" {
		req.InstanceID = &m.instance
	}
	return req
}

// send sends a heartbeat and takes what the answer says.
func (m *beater) send(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	m.t.Helper()
	resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](m.rawClient, req)
	if resp.ErrorCode != 0 {
		return resp
	}
	m.epoch = resp.MemberEpoch
	if resp.MemberID != nil {
		m.id = *resp.MemberID
	}
	if resp.Assignment != nil {
		m.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range resp.Assignment.Topics {
			m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return resp
}

// join subscribes to topics.
func (m *beater) join(topics ...string) *kmsg.ConsumerGroupHeartbeatResponse {
	m.t.Helper()
	m.epoch = 0
	req := m.request()
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 60_000, topics, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return m.send(req)
}

// beat tells what the member was told to use.
func (m *beater) beat() *kmsg.ConsumerGroupHeartbeatResponse {
	m.t.Helper()
	req := m.request()
	req.Topics = m.owned
	return m.send(req)
}

func (m *beater) leave(epoch int32) protocol.ErrorCode {
	m.t.Helper()
	m.epoch = epoch
	return protocol.ErrorCode(m.send(m.request()).ErrorCode)
}

// partitions is how many the member was told to use.
func (m *beater) partitions() (n int) {
	for _, t := range m.owned {
		n += len(t.Partitions)
	}
	return n
}

// settle sends heartbeats until members have as many partitions as each should.
func settle(t *testing.T, members map[*beater]int) {
	t.Helper()
	brokertest.Eventually(t, "members have their partitions", func() bool {
		done := true
		for m, want := range members {
			if resp := m.beat(); resp.ErrorCode != 0 {
				t.Fatalf("%s: %v", m.id, protocol.ErrorCode(resp.ErrorCode))
			}
			done = done && m.partitions() == want
		}
		return done
	})
}

func (m *beater) commit(version int16, topic string, offset int64) protocol.ErrorCode {
	m.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation, req.MemberID = version, m.group, m.epoch, m.id
	x := kmsg.NewOffsetCommitRequestTopic()
	x.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	x.Partitions = append(x.Partitions, p)
	req.Topics = append(req.Topics, x)
	return protocol.ErrorCode(ask[*kmsg.OffsetCommitResponse](m.rawClient, req).Topics[0].Partitions[0].ErrorCode)
}

// fetched is the offset of partition 0 that the member is told.
func (m *beater) fetched(topic string) (int64, protocol.ErrorCode) {
	m.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 9
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberID, g.MemberEpoch = m.group, &m.id, m.epoch
	x := kmsg.NewOffsetFetchRequestGroupTopic()
	x.Topic, x.Partitions = topic, []int32{0}
	g.Topics = append(g.Topics, x)
	req.Groups = append(req.Groups, g)
	got := ask[*kmsg.OffsetFetchResponse](m.rawClient, req).Groups[0]
	if got.ErrorCode != 0 {
		return 0, protocol.ErrorCode(got.ErrorCode)
	}
	return got.Topics[0].Partitions[0].Offset, 0
}

func describeConsumers(c *rawClient, name string) kmsg.ConsumerGroupDescribeResponseGroup {
	c.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Version, req.Groups = 1, []string{name, name}
	groups := ask[*kmsg.ConsumerGroupDescribeResponse](c, req).Groups
	if len(groups) != 1 {
		c.t.Fatalf("%d groups are described", len(groups))
	}
	return groups[0]
}

func listed(c *rawClient, states, types []string) string {
	c.t.Helper()
	req := kmsg.NewPtrListGroupsRequest()
	req.Version, req.StatesFilter, req.TypesFilter = 5, states, types
	var lines []string
	for _, g := range ask[*kmsg.ListGroupsResponse](c, req).Groups {
		lines = append(lines, g.Group+" "+g.GroupState+" "+g.GroupType)
	}
	return strings.Join(lines, ", ")
}

// TestConsumerProtocol is the life of a group: members join, share, see topics grow, commit, leave, and what is
// left survives a restart.
func TestConsumerProtocol(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, snappyBeats(nil))
	c := dial(t, b.Addr())
	c.createTopic("t", 4, nil)
	one, two := newBeater(c, "g", "one"), newBeater(c, "g", "two")
	if resp := one.join("t", "later"); resp.ErrorCode != 0 || resp.MemberEpoch != 1 || resp.HeartbeatIntervalMillis != 100 || one.partitions() != 4 {
		t.Fatalf("join: %+v", resp)
	}
	if resp := one.beat(); resp.ErrorCode != 0 || resp.Assignment != nil || resp.MemberEpoch != 1 {
		t.Errorf("nothing is new: %+v", resp)
	}
	if resp := two.join("t"); resp.ErrorCode != 0 || two.partitions() != 0 {
		t.Fatalf("join: %+v", resp)
	}
	settle(t, map[*beater]int{one: 2, two: 2})
	c.createTopic("later", 3, nil)
	settle(t, map[*beater]int{one: 4, two: 3})

	if code := one.commit(9, "t", 7); code != 0 {
		t.Errorf("commit: %v", code)
	}
	if code := one.commit(8, "t", 8); code != protocol.CodeUnsupportedVersion {
		t.Errorf("a commit of an old client: %v", code)
	}
	one.epoch--
	if code := one.commit(9, "t", 7); code != 0 {
		t.Errorf("a commit of the epoch before, of what it still has: %v", code)
	}
	if code := one.commit(9, "later", 9); code != protocol.CodeStaleMemberEpoch {
		t.Errorf("a commit of the epoch before, of what it did not have then: %v", code)
	}
	if _, code := one.fetched("t"); code != protocol.CodeStaleMemberEpoch {
		t.Errorf("a look of the epoch before: %v", code)
	}
	one.epoch++
	if offset, code := one.fetched("t"); offset != 7 || code != 0 {
		t.Errorf("committed: %d %v", offset, code)
	}

	stop(t, b)
	b = brokertest.StartIn(t, dir, snappyBeats(nil))
	c = dial(t, b.Addr())
	one.rawClient, two.rawClient = c, c
	before := one.epoch
	settle(t, map[*beater]int{one: 4, two: 3})
	if one.epoch != before {
		t.Errorf("a restart has moved the epoch from %d to %d", before, one.epoch)
	}
	if code := two.leave(-1); code != 0 {
		t.Errorf("leave: %v", code)
	}
	settle(t, map[*beater]int{one: 7})
	if code := one.leave(-1); code != 0 {
		t.Errorf("leave: %v", code)
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, snappyBeats(nil))
	defer stop(t, b)
	c = dial(t, b.Addr())
	if got := listed(c, nil, nil); got != "g Empty consumer" {
		t.Errorf("groups: %s", got)
	}
	one.rawClient = c
	if one.join("t"); one.partitions() != 4 {
		t.Errorf("who comes back gets %v", one.owned)
	}
	if offset, code := one.fetched("t"); offset != 7 || code != 0 {
		t.Errorf("committed: %d %v", offset, code)
	}
}

// TestConsumerGroupsAsAdministratorsSeeThem: lists, descriptions and deletions.
func TestConsumerGroupsAsAdministratorsSeeThem(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(nil))
	c := dial(t, b.Addr())
	id := c.createTopic("t", 2, nil)
	m := newBeater(c, "g", "m")
	m.instance = "i"
	if resp := m.join("t"); resp.ErrorCode != 0 {
		t.Fatalf("join: %+v", resp)
	}
	stable(t, c, "old")
	commit(c, "simple", "t", 0, 1, "")
	if got := listed(c, nil, nil); got != "g Stable consumer, old Stable classic, simple Empty classic" {
		t.Errorf("groups: %s", got)
	}
	if got := listed(c, []string{"stable"}, []string{"CONSUMER"}); got != "g Stable consumer" {
		t.Errorf("groups: %s", got)
	}
	got := describeConsumers(c, "g")
	if got.ErrorCode != 0 || got.State != "Stable" || got.Epoch != 1 || got.AssignmentEpoch != 1 || got.AssignorName != "uniform" || len(got.Members) != 1 {
		t.Fatalf("described: %+v", got)
	}
	x := got.Members[0]
	want := []kmsg.AssignmentTopicPartition{{TopicID: id, Topic: "t", Partitions: []int32{0, 1}}}
	if x.MemberID != "m" || *x.InstanceID != "i" || x.ClientID != "raw" || x.ClientHost != "/127.0.0.1" || x.MemberEpoch != 1 || x.MemberType != 1 ||
		!slices.Equal(x.SubscribedTopics, []string{"t"}) || fmt.Sprint(x.Assignment.TopicPartitions, x.TargetAssignment.TopicPartitions) != fmt.Sprint(want, want) {
		t.Errorf("member: %+v", x)
	}
	for _, name := range []string{"old", "simple", "nobody"} {
		if got := describeConsumers(c, name); protocol.ErrorCode(got.ErrorCode) != protocol.CodeGroupIDNotFound || got.ErrorMessage == nil {
			t.Errorf("%s is described: %+v", name, got)
		}
	}
	if got := describeGroup(c, "g"); protocol.ErrorCode(got.ErrorCode) != protocol.CodeGroupIDNotFound || got.State != "Dead" || !strings.Contains(*got.ErrorMessage, "classic") {
		t.Errorf("described as a classic group: %+v", got)
	}
	if code := deleteGroup(c, "g"); code != protocol.CodeNonEmptyGroup {
		t.Errorf("delete: %v", code)
	}
	if codes := deleteOffsets(c, "g", "t"); codes != protocol.CodeGroupSubscribedToTopic {
		t.Errorf("delete offsets: %v", codes)
	}
	if code := m.leave(-2); code != 0 {
		t.Errorf("leave: %v", code)
	}
	if code := deleteGroup(c, "g"); code != protocol.CodeNonEmptyGroup {
		t.Errorf("delete while a static member may come back: %v", code)
	}
	if m.id = "m2"; m.join("t").ErrorCode != 0 || m.partitions() != 2 {
		t.Errorf("the static member comes back to %v", m.owned)
	}
	if code := m.leave(-1); code != 0 {
		t.Errorf("leave: %v", code)
	}
	if code := deleteGroup(c, "g"); code != 0 {
		t.Errorf("delete: %v", code)
	}
	if got := listed(c, nil, []string{"consumer"}); got != "" {
		t.Errorf("groups: %s", got)
	}
}

func deleteOffsets(c *rawClient, group, topic string) protocol.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	x := kmsg.NewOffsetDeleteRequestTopic()
	x.Topic = topic
	x.Partitions = append(x.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
	req.Topics = append(req.Topics, x)
	resp := ask[*kmsg.OffsetDeleteResponse](c, req)
	if resp.ErrorCode != 0 {
		return protocol.ErrorCode(resp.ErrorCode)
	}
	return protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// TestBadBeats: each refusal has its code.
func TestBadBeats(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(map[string]string{"group.consumer.max.size": "2"}))
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	stable(t, c, "old")
	m := newBeater(c, "g", "m")
	m.instance = "i"
	if resp := m.join("t"); resp.ErrorCode != 0 {
		t.Fatalf("join: %+v", resp)
	}
	long := strings.Repeat("x", 256)
	for name, x := range map[string]struct {
		change func(*kmsg.ConsumerGroupHeartbeatRequest)
		want   protocol.ErrorCode
	}{
		"no group":        {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }, protocol.CodeInvalidRequest},
		"no member":       {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }, protocol.CodeInvalidRequest},
		"long member":     {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = long }, protocol.CodeInvalidRequest},
		"empty instance":  {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("") }, protocol.CodeInvalidRequest},
		"empty rack":      {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = kmsg.StringPtr("") }, protocol.CodeInvalidRequest},
		"epoch -3":        {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }, protocol.CodeInvalidRequest},
		"dynamic -2":      {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 }, protocol.CodeInvalidRequest},
		"no timeout":      {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }, protocol.CodeInvalidRequest},
		"not said to own": {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }, protocol.CodeInvalidRequest},
		"owns": {func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{Partitions: []int32{0}}}
		}, protocol.CodeInvalidRequest},
		"no subscription": {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }, protocol.CodeInvalidRequest},
		"regex":           {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("(") }, protocol.CodeInvalidRegularExpression},
		"look-ahead":      {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("(?!x).*") }, protocol.CodeInvalidRegularExpression},
		"large regex": {func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.SubscribedTopicRegex = kmsg.StringPtr(strings.Repeat("a{900}", 9))
		}, protocol.CodeInvalidRegularExpression},
		"long regex": {func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.SubscribedTopicRegex = kmsg.StringPtr(strings.Repeat("a", 5000))
		}, protocol.CodeInvalidRegularExpression},
		"assignor": {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("sticky") }, protocol.CodeUnsupportedAssignor},
		"large": {func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			for i := range 1000 {
				r.SubscribedTopicNames = append(r.SubscribedTopicNames, fmt.Sprintf("%0100d", i))
			}
		}, protocol.CodeInvalidRequest},
		"unknown":          {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 1 }, protocol.CodeUnknownMemberID},
		"unknown group":    {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch, r.Group = 1, "none" }, protocol.CodeUnknownMemberID},
		"fenced":           {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch, r.MemberID = 7, "m" }, protocol.CodeFencedMemberEpoch},
		"instance in use":  {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("i") }, protocol.CodeUnreleasedInstanceID},
		"another instance": {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID, r.MemberEpoch = kmsg.StringPtr("i"), 1 }, protocol.CodeFencedInstanceID},
		"classic group":    {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group, r.MemberEpoch = "old", 1 }, protocol.CodeGroupIDNotFound},
	} {
		req := newBeater(c, "g", "new").request()
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 1000, []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		x.change(req)
		if resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](c, req); protocol.ErrorCode(resp.ErrorCode) != x.want || resp.ErrorMessage == nil {
			t.Errorf("%s: %v, want %v", name, protocol.ErrorCode(resp.ErrorCode), x.want)
		}
	}
	if resp := newBeater(c, "g", "second").join("t"); resp.ErrorCode != 0 {
		t.Errorf("the second: %v", protocol.ErrorCode(resp.ErrorCode))
	}
	if resp := newBeater(c, "g", "third").join("t"); protocol.ErrorCode(resp.ErrorCode) != protocol.CodeGroupMaxSizeReached {
		t.Errorf("the third: %v", protocol.ErrorCode(resp.ErrorCode))
	}
	older := newBeater(c, "v0", "")
	req := older.request()
	req.Version, req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 0, 1000, []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if resp := older.send(req); resp.ErrorCode != 0 || older.id == "" || older.partitions() != 2 {
		t.Errorf("version 0: %+v", resp)
	}
	none := newBeater(c, "none", "x")
	none.epoch = 1
	if code := none.commit(9, "t", 1); code != protocol.CodeGroupIDNotFound {
		t.Errorf("a commit to no group: %v", code)
	}
}

// TestVanishedBeaters: who is not heard of is gone after its session, and the rest get what it had.
func TestVanishedBeaters(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(map[string]string{"group.consumer.session.timeout.ms": "3000"}))
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	one, two := newBeater(c, "g", "one"), newBeater(c, "g", "two")
	one.join("t")
	two.join("t")
	settle(t, map[*beater]int{one: 1, two: 1})
	settle(t, map[*beater]int{two: 2})
	brokertest.Eventually(t, "the group is empty", func() bool { return describeConsumers(c, "g").State == "Empty" })
	if resp := two.beat(); protocol.ErrorCode(resp.ErrorCode) != protocol.CodeUnknownMemberID {
		t.Errorf("who comes late: %v", protocol.ErrorCode(resp.ErrorCode))
	}
}

// TestRegexSubscription: topics are matched as they come and go, and never the broker's own.
func TestRegexSubscription(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(nil))
	c := dial(t, b.Addr())
	id := c.createTopic("log.a", 2, nil)
	c.createTopic("other", 5, nil)
	m := newBeater(c, "g", "m")
	req := m.request()
	req.RebalanceTimeoutMillis, req.SubscribedTopicRegex, req.Topics = 60_000, kmsg.StringPtr("log[.].|_.*"), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if resp := m.send(req); resp.ErrorCode != 0 {
		t.Fatalf("join: %+v", resp)
	}
	settle(t, map[*beater]int{m: 2})
	c.createTopic("log.b", 3, nil)
	c.createTopic("log.cc", 3, nil)
	settle(t, map[*beater]int{m: 5})
	deletion := kmsg.NewPtrDeleteTopicsRequest()
	deletion.Version = 6
	x := kmsg.NewDeleteTopicsRequestTopic()
	x.TopicID = id
	deletion.Topics = append(deletion.Topics, x)
	if got := ask[*kmsg.DeleteTopicsResponse](c, deletion).Topics[0]; got.ErrorCode != 0 {
		t.Fatal(protocol.ErrorCode(got.ErrorCode))
	}
	settle(t, map[*beater]int{m: 3})
}

// TestEmptyGroupsChangeTheirProtocol: a group that nobody is in is of the protocol of who joins next, keeps its
// offsets, and is that also after a restart.
func TestEmptyGroupsChangeTheirProtocol(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, snappyBeats(nil))
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	again := func() {
		stop(t, b)
		b = brokertest.StartIn(t, dir, snappyBeats(nil))
		c = dial(t, b.Addr())
	}
	old := stable(t, c, "g")
	if code := old.commit(5); code != 0 {
		t.Fatal(code)
	}
	m := newBeater(c, "g", "m")
	if code := old.leave(5); code != 0 {
		t.Fatal(code)
	}
	for range 2 {
		if resp := m.join("t"); resp.ErrorCode != 0 || m.partitions() != 1 {
			t.Fatalf("join: %+v", resp)
		}
		if offset, code := m.fetched("t"); offset != 5 || code != 0 {
			t.Errorf("committed: %d, %v", offset, code)
		}
		for range 2 {
			if got := listed(c, nil, nil); got != "g Stable consumer" {
				t.Errorf("groups: %s", got)
			}
			again()
		}
		m.rawClient = c
		if code := m.leave(-1); code != 0 {
			t.Fatal(code)
		}
		old = stable(t, c, "g")
		for range 2 {
			if got := listed(c, nil, nil); got != "g Stable classic" {
				t.Errorf("groups: %s", got)
			}
			again()
		}
		m.rawClient, old.rawClient = c, c
		if code := old.leave(5); code != 0 {
			t.Fatal(code)
		}
	}
	stop(t, b)
}

// TestMigrationPolicy: where it forbids that, a group with members keeps its protocol; members of the other hear
// so. Configuration is read anew each time.
func TestMigrationPolicy(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(map[string]string{"group.consumer.migration.policy": "disabled"}))
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	old := stable(t, c, "g")
	m := newBeater(c, "g", "m")
	if resp := m.join("t"); protocol.ErrorCode(resp.ErrorCode) != protocol.CodeGroupIDNotFound {
		t.Errorf("join: %v", protocol.ErrorCode(resp.ErrorCode))
	}
	if code := old.heartbeat(4); code != 0 {
		t.Errorf("a heartbeat of the classic member: %v", code)
	}
	other := newMember(c, "x")
	req := other.joinRequest(9)
	req.ProtocolType = "connect"
	other.joined(ask[*kmsg.JoinGroupResponse](c, req))
	req.MemberID = other.id
	if resp := other.joined(ask[*kmsg.JoinGroupResponse](c, req)); resp.ErrorCode != 0 {
		t.Fatal(protocol.ErrorCode(resp.ErrorCode))
	}

	setConfig(c, "group.consumer.migration.policy", "upgrade")
	unfit := newBeater(c, "x", "m")
	if resp := unfit.join("t"); protocol.ErrorCode(resp.ErrorCode) != protocol.CodeGroupIDNotFound {
		t.Errorf("join beside connectors: %v", protocol.ErrorCode(resp.ErrorCode))
	}
	fit := newMember(c, "fit")
	fit.join(9)
	assignment := kmsg.NewConsumerMemberAssignment()
	if code, _ := fit.sync(5, fit.id, string(assignment.AppendTo(nil))); code != 0 {
		t.Fatal(code)
	}
	m.group = "fit"
	refused := m.request()
	refused.MemberEpoch, refused.RebalanceTimeoutMillis, refused.SubscribedTopicNames = 0, 1000, []string{"t"}
	refused.Topics, refused.ServerAssignor = []kmsg.ConsumerGroupHeartbeatRequestTopic{}, kmsg.StringPtr("sticky")
	if resp := m.send(refused); protocol.ErrorCode(resp.ErrorCode) != protocol.CodeUnsupportedAssignor {
		t.Errorf("join with an assignor that there is not: %v", protocol.ErrorCode(resp.ErrorCode))
	}
	if got := listed(c, nil, []string{"consumer"}); got != "" {
		t.Errorf("groups of the consumer protocol: %s", got)
	}
	if resp := m.join("t"); resp.ErrorCode != 0 || m.partitions() != 1 {
		t.Errorf("join: %+v", resp)
	}
	if code := fit.heartbeat(4); code != protocol.CodeRebalanceInProgress {
		t.Errorf("a heartbeat when there is something to get: %v", code)
	}
	m.group = "g"
	if resp := m.join("t"); protocol.ErrorCode(resp.ErrorCode) != protocol.CodeGroupIDNotFound { // "a" is no assignment
		t.Errorf("join beside a member whose assignment is not understood: %v", protocol.ErrorCode(resp.ErrorCode))
	}
	if code, _ := old.sync(5); code != 0 {
		t.Errorf("a sync of the classic member: %v", code)
	}
}

// TestClassicMembersOfAConsumerGroup: they join, commit, survive a restart, and are a classic group again only where
// the policy has it.
func TestClassicMembersOfAConsumerGroup(t *testing.T) {
	dir := t.TempDir()
	settings := snappyBeats(map[string]string{"group.consumer.migration.policy": "upgrade"})
	b := brokertest.StartIn(t, dir, settings)
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	m := newBeater(c, "g", "m")
	m.join("t")
	old := newMember(c, "g")
	if resp := old.join(9); resp.ErrorCode != 0 || resp.Generation != 2 || resp.LeaderID != "" || resp.Protocol == nil || *resp.Protocol != "range" {
		t.Fatalf("join: %+v", resp)
	}
	settle(t, map[*beater]int{m: 1})
	m.beat()
	if code := old.heartbeat(4); code != protocol.CodeRebalanceInProgress {
		t.Errorf("a heartbeat when there is something to get: %v", code)
	}
	if resp := old.join(9); resp.ErrorCode != 0 || resp.Generation != 2 {
		t.Fatalf("join: %+v", resp)
	}
	code, assignment := old.sync(5)
	var got kmsg.ConsumerMemberAssignment
	if err := got.ReadFrom([]byte(assignment)); code != 0 || err != nil || len(got.Topics) != 1 || got.Topics[0].Topic != "t" || len(got.Topics[0].Partitions) != 1 {
		t.Errorf("sync: %v %+v %v", code, got, err)
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, settings)
	defer stop(t, b)
	c = dial(t, b.Addr())
	m.rawClient, old.rawClient = c, c
	if code := old.heartbeat(4); code != 0 {
		t.Errorf("a heartbeat: %v", code)
	}
	if code := old.commit(3); code != 0 {
		t.Errorf("a commit: %v", code)
	}
	if d := describeConsumers(c, "g"); d.State != "Stable" || len(d.Members) != 2 || d.Members[0].MemberType+d.Members[1].MemberType != 1 {
		t.Errorf("described: %+v", d)
	}
	old.generation--
	if code := old.commit(3); code != protocol.CodeIllegalGeneration {
		t.Errorf("a commit of the generation before: %v", code)
	}
	old.generation++
	if code := m.leave(-1); code != 0 {
		t.Errorf("leave: %v", code)
	}
	if got := listed(c, nil, []string{"consumer"}); got != "g Reconciling consumer" {
		t.Errorf("groups: %s", got)
	}
	setConfig(c, "group.consumer.migration.policy", "bidirectional")
	if code := old.heartbeat(4); code != protocol.CodeRebalanceInProgress {
		t.Errorf("a heartbeat when there is something to get: %v", code)
	}
	old.join(9) // which the group answers by the protocol that it has by then
	eventually(t, "the group is classic", func() bool { return listed(c, nil, []string{"consumer"}) == "" })
	if code := old.leave(5); code != 0 {
		t.Errorf("leave: %v", code)
	}
}

func setConfig(c *rawClient, name, value string) {
	c.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType = kmsg.ConfigResourceTypeBroker
	x := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	x.Name, x.Value = name, &value
	r.Configs = append(r.Configs, x)
	req.Resources = append(req.Resources, r)
	if resp := ask[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0]; resp.ErrorCode != 0 {
		c.t.Fatal(protocol.ErrorCode(resp.ErrorCode))
	}
}

// TestFeatures: group.version and transaction.version are finalized, and among what is supported from v4 on.
func TestFeatures(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	for version, supported := range map[int16]string{3: "", 4: "group.version 1, transaction.version 2, "} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "x", "1"
		resp := ask[*kmsg.ApiVersionsResponse](c, req)
		finalized, got := "", ""
		for _, f := range resp.FinalizedFeatures {
			finalized += fmt.Sprintf("%s %d, ", f.Name, f.MaxVersionLevel)
		}
		for _, f := range resp.SupportedFeatures {
			got += fmt.Sprintf("%s %d, ", f.Name, f.MaxVersion)
		}
		if finalized != "group.version 1, transaction.version 2, " || resp.FinalizedFeaturesEpoch < 0 {
			t.Errorf("v%d: finalized %s as of %d", version, finalized, resp.FinalizedFeaturesEpoch)
		}
		if got != supported {
			t.Errorf("v%d: supported %s", version, got)
		}
	}
}
