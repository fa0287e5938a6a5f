package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// manyTopics are 10,000 names.
func manyTopics() []string {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprint("topic-", i)
	}
	return names
}

// TestSubscriptionOf10000Topics: it is more than a member may say, in either protocol; who is there goes on.
func TestSubscriptionOf10000Topics(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(nil))
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	classic, beats := stable(t, c, "classic"), newBeater(c, "beats", "m")
	if resp := beats.join("t"); resp.ErrorCode != 0 {
		t.Fatal(protocol.ErrorCode(resp.ErrorCode))
	}
	metadata := []byte{0, 0, 0, 0, 0x27, 0x10}
	for _, name := range manyTopics() {
		metadata = append(append(metadata, 0, byte(len(name))), name...)
	}
	join := newMember(c, "classic").joinRequest(9)
	join.Protocols[0].Metadata = metadata
	if got := protocol.ErrorCode(ask[*kmsg.JoinGroupResponse](c, join).ErrorCode); got != protocol.CodeInvalidRequest {
		t.Errorf("joined by the classic protocol: %v", got)
	}
	if got := protocol.ErrorCode(newBeater(c, "beats", "n").join(manyTopics()...).ErrorCode); got != protocol.CodeInvalidRequest {
		t.Errorf("joined by the consumer protocol: %v", got)
	}
	if got := classic.heartbeat(4); got != 0 {
		t.Errorf("the classic member: %v", got)
	}
	if got := protocol.ErrorCode(beats.beat().ErrorCode); got != 0 || beats.partitions() != 1 {
		t.Errorf("the other: %v, %d partitions", got, beats.partitions())
	}
}

// TestMalformedAssignments: a classic group that was assigned nonsense does not take members of the consumer protocol, and
// goes on; what such a member says it owns counts only as far as it was given.
func TestMalformedAssignments(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(nil))
	c := dial(t, b.Addr())
	id := c.createTopic("t", 2, nil)
	for i, garbage := range []string{
		"\x00", "\x00\x01\x7f\xff\xff\xff", "\x00\x01\x00\x00\x00\x01\x00\x01t\x7f\xff\xff\xff", "\xff\xff\x00\x00\x00\x00", strings.Repeat("\xff", 1000),
	} {
		m := newMember(c, fmt.Sprint("classic", i))
		m.join(9)
		if code, assignment := m.sync(5, m.id, garbage); code != 0 || assignment != garbage {
			t.Fatalf("%q: %v %q", garbage, code, assignment)
		}
		resp := newBeater(c, m.group, "m").join("t")
		if got := protocol.ErrorCode(resp.ErrorCode); got != protocol.CodeGroupIDNotFound && got != 0 {
			t.Errorf("%q: a member of the consumer protocol: %v", garbage, got)
		}
		if got := m.heartbeat(4); got != 0 && got != protocol.CodeRebalanceInProgress {
			t.Errorf("%q: %v", garbage, got)
		}
	}
	m := newBeater(c, "beats", "m")
	m.join("t")
	many := make([]int32, 10_000)
	for i := range many {
		many[i] = int32(i - 5000)
	}
	req := m.request()
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: id, Partitions: many}, {TopicID: id, Partitions: []int32{1, 1}}, {TopicID: [16]byte{9}, Partitions: []int32{0}}}
	if resp := m.send(req); resp.ErrorCode != 0 || m.partitions() != 2 {
		t.Errorf("who owns what there is not: %v, %d partitions", protocol.ErrorCode(resp.ErrorCode), m.partitions())
	}
	if got := describeConsumers(c, "beats"); got.ErrorCode != 0 || len(got.Members) != 1 {
		t.Errorf("described: %+v", got)
	}
}

// TestOffsetsNamedOverAndOver: a request that names a partition again and again is told of it once.
func TestOffsetsNamedOverAndOver(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	if got := commit(c, "g", "t", 0, 7, strings.Repeat("m", 4000)); got != 0 {
		t.Fatal(got)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 8
	topic := kmsg.OffsetFetchRequestGroupTopic{Topic: "t", Partitions: make([]int32, 100_000)}
	req.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{topic, topic}}}
	got := ask[*kmsg.OffsetFetchResponse](c, req).Groups[0].Topics
	if len(got) != 2 || len(got[0].Partitions) != 1 || got[0].Partitions[0].Offset != 7 || len(got[1].Partitions) != 0 {
		t.Errorf("%d topics, of the first %d partitions", len(got), len(got[0].Partitions))
	}
}

// TestFencedInstance: who was a static member until another took its place is refused whatever it asks for.
func TestFencedInstance(t *testing.T) {
	b := brokertest.Start(t, snappyGroups)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	old := newMember(c, "g")
	old.instance = "i"
	if resp := old.join(5); resp.ErrorCode != 0 {
		t.Fatal(protocol.ErrorCode(resp.ErrorCode))
	}
	if code, _ := old.sync(5, old.id, "mine"); code != 0 {
		t.Fatal(code)
	}
	next := newMember(c, "g")
	next.instance = "i"
	if resp := next.join(5); resp.ErrorCode != 0 || next.id == old.id {
		t.Fatalf("%+v", resp)
	}
	const fenced = protocol.CodeFencedInstanceID
	if got := old.heartbeat(4); got != fenced {
		t.Errorf("heartbeat: %v", got)
	}
	if got, _ := old.sync(5); got != fenced {
		t.Errorf("sync: %v", got)
	}
	if got := old.commit(5); got != fenced {
		t.Errorf("commit: %v", got)
	}
	if got := protocol.ErrorCode(ask[*kmsg.JoinGroupResponse](c, old.joinRequest(5)).ErrorCode); got != fenced {
		t.Errorf("join: %v", got)
	}
	if got := old.leave(5); got != fenced {
		t.Errorf("leave: %v", got)
	}
	if code, assignment := next.sync(5); code != 0 || assignment != "mine" {
		t.Errorf("who took its place: %v %q", code, assignment)
	}
	if got := next.commit(6); got != 0 {
		t.Errorf("its commit: %v", got)
	}
}
