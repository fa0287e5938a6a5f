package broker

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
	"weir/cluster/group/consumer"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// TestGroupsExpire: offsets of a group that had members count from when it became empty; those of
// consumers do as long as they subscribe to the topic, those of others for ever. What is gone
// stays gone when the coordinator is another.
func TestGroupsExpire(t *testing.T) {
	b := startInside(t)
	c, ctx := b.groups, context.Background()
	now := time.Now()
	long := now.Add(-2 * time.Hour).UnixMilli()
	subscribedTo := func(topic string) []group.SnapshotMember {
		metadata := append([]byte{0, 0, 0, 0, 0, 1, 0, byte(len(topic))}, topic...)
		return []group.SnapshotMember{{ID: "m", Session: time.Minute, Subscription: metadata}}
	}
	for name, s := range map[string]group.Snapshot{
		"subscribed":   {ProtocolType: group.ConsumerType, Protocol: "range", Generation: 1, StateSince: long, Members: subscribedTo("t")},
		"unsubscribed": {ProtocolType: group.ConsumerType, Protocol: "range", Generation: 1, StateSince: long, Members: subscribedTo("u")},
		"unparsable":   {ProtocolType: group.ConsumerType, Protocol: "range", Generation: 1, StateSince: long, Members: []group.SnapshotMember{{ID: "m", Session: time.Minute}}},
		"connect":      {ProtocolType: "connect", Protocol: "default", Generation: 1, StateSince: long, Members: subscribedTo("u")},
		"left":         {ProtocolType: group.ConsumerType, Generation: 2, StateSince: long},
		"left lately":  {ProtocolType: group.ConsumerType, Generation: 2, StateSince: now.UnixMilli()},
	} {
		err := c.write(ctx, name, func(sh *shard) ([]recordbatch.Record, func(), error) {
			value, tp := encodeGroup(s), group.TopicPartition{Topic: "t"}
			old := group.Commit{Offset: 7, Timestamp: long}
			records := []recordbatch.Record{groupRecord(name, value, long), commitRecord(name, tp, old, long)}
			return records, func() { sh.offsets.Set(name, tp, old) }, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	reload := func() { // as the next coordinator would
		for i := range int32(2) {
			s := c.shard(i)
			s.mu.Lock()
			s.unload()
			s.mu.Unlock()
		}
	}
	left := func() (lines []string) {
		err := c.each(func(s *shard) {
			for _, name := range s.names() {
				state, _ := s.state(name)
				lines = append(lines, fmt.Sprint(name, " ", state, " ", len(s.offsets.Partitions(name))))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(lines)
		return lines
	}
	reload()
	if got := left(); len(got) != 6 {
		t.Fatalf("loaded: %q", got)
	}
	c.expire(ctx, time.Hour)
	want := []string{"connect Stable 1", "left lately Empty 1", "subscribed Stable 1", "unparsable Stable 1", "unsubscribed Stable 0"}
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	reload()
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("after another load %q, want %q", got, want)
	}
}

// TestTooManyGroupsWithMembers: one more than there is room for is refused, and so is a newcomer
// when groups take too much memory; members of those that are there go on.
func TestTooManyGroupsWithMembers(t *testing.T) {
	b := startInside(t)
	c, ctx := b.groups, context.Background()
	if _, err := b.node.EnsureInternalTopic(ctx, offsetsTopic); err != nil {
		t.Fatal(err)
	}
	join := func(name string) error {
		a, err := c.ask(ctx, name, c.classicGroup(name, true), func(g *liveGroup, ticket group.Ticket) group.Output {
			return g.Join(c.now(), group.JoinRequest{
				Ticket: ticket, NewMemberID: "m", Session: time.Minute, ProtocolType: "x", Protocols: []group.Protocol{{Name: "p"}}, RequireKnownID: true,
			})
		})
		if err != nil {
			return err
		}
		return a.Join.Err
	}
	if err := join("g"); errorCode(err) != 79 {
		t.Fatal(err)
	}
	c.withMembers.Add(maxGroups - 1)
	if err := join("g"); errorCode(err) != 79 {
		t.Errorf("a group that is there: %v", err)
	}
	if err := join("one more"); errorCode(err) != 44 {
		t.Errorf("one more: %v", err)
	}
	c.withMembers.Add(1 - maxGroups)
	c.bytes.Add(maxGroupsBytes)
	if err := join("g"); errorCode(err) != 44 {
		t.Errorf("no memory: %v", err)
	}
	if err := c.heartbeat("g", "nobody", "", 0); errorCode(err) != 25 {
		t.Errorf("a heartbeat: %v", err)
	}
	c.bytes.Add(-maxGroupsBytes)
	if err := c.within("g", func(s *shard) { c.dropEmpty(s, "g") }); err != nil {
		t.Fatal(err)
	}
	if n := c.bytes.Load(); n != 0 || c.withMembers.Load() != 0 {
		t.Errorf("nothing is left, and %d bytes are counted", n)
	}
}

// TestGroupsAreRewritten: a partition of the topic that is rewritten holds the groups still, with
// members and without, and nothing of what they were before.
func TestGroupsAreRewritten(t *testing.T) {
	b := startInside(t)
	c, ctx := b.groups, context.Background()
	put := func(name string, s group.Snapshot) {
		t.Helper()
		err := c.write(ctx, name, func(sh *shard) ([]recordbatch.Record, func(), error) {
			value := encodeGroup(s)
			return []recordbatch.Record{groupRecord(name, value, 1)}, func() { sh.setStored(name, value) }, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	member := group.SnapshotMember{ID: "m", InstanceID: "i", ClientID: "c", ClientHost: "/h", Session: time.Minute, Rebalance: time.Hour,
		Subscription: []byte("s"), Assignment: []byte("a")}
	is := group.Snapshot{ProtocolType: "x", Protocol: "p", Leader: "m", Generation: 3, StateSince: 4, Members: []group.SnapshotMember{member}}
	was := is
	was.Generation = 2
	put("g", was)
	put("g", is)
	put("empty", group.Snapshot{ProtocolType: "x", Generation: 9, StateSince: 5})
	if err := c.delete(ctx, "nobody"); errorCode(err) != 69 {
		t.Error(err)
	}
	for i := range int32(2) {
		s := c.shard(i)
		s.mu.Lock()
		appends, err := c.rewrite(ctx, s)
		p := s.partition
		s.mu.Unlock()
		for _, a := range appends {
			if err == nil {
				err = a.Wait(ctx)
			}
		}
		if err == nil && len(appends) > 0 {
			_, err = p.DeleteRecords(ctx, appends[0].BaseOffset)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.unload()
		s.mu.Unlock()
	}
	for name, want := range map[string]group.Snapshot{"g": is, "empty": {ProtocolType: "x", Generation: 9, StateSince: 5}} {
		err := c.within(name, func(s *shard) {
			got, err := decodeGroup(s.stored[name])
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s is %+v, %v", name, got, err)
			}
			if g := s.groups[name]; g == nil || g.classic().Generation() != want.Generation || len(g.classic().Describe().Members) != len(want.Members) {
				t.Errorf("%s lives as %+v", name, g)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestLeaversOfAGroupThatChangesItsProtocol: members whose leaving waits to be stored are answered when somebody of the
// classic protocol takes the empty group over, whether that write is under way or would have been the next.
func TestLeaversOfAGroupThatChangesItsProtocol(t *testing.T) {
	b := startInside(t)
	c := b.groups
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := b.node.EnsureInternalTopic(ctx, offsetsTopic); err != nil {
		t.Fatal(err)
	}
	request := consumer.Request{Rebalance: time.Minute, Topics: []string{"t"}, Owned: assignor.Assignment{}, ClientHost: "/h"}
	ids := []string{"a", "b"}
	for _, id := range ids {
		a, err := c.ask(ctx, "g", c.consumerGroup("g", true), func(g *liveGroup, ticket group.Ticket) group.Output {
			r := request
			r.MemberID, r.Ticket = id, ticket
			return c.beat(g, r)
		})
		if err != nil || a.Beat.Err != nil {
			t.Fatal(err, a.Beat)
		}
	}
	answers := make(map[string]<-chan group.Answer)
	if err := c.within("g", func(s *shard) {
		g := s.groups["g"]
		for _, id := range ids {
			ticket, answer := group.Ticket(c.tickets.Add(1)), newAnswer()
			g.waiting[ticket], answers[id] = answer, answer
			c.do(g, c.beat(g, consumer.Request{Ticket: ticket, MemberID: id, Epoch: epochLeave, Rebalance: -1}))
		}
		if len(g.waiting) != len(ids) {
			t.Errorf("%d leavers wait", len(g.waiting))
		}
		if _, err := c.classicGroup("g", true)(s); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for id, answer := range answers {
		select {
		case a := <-answer:
			if errorCode(a.Beat.Err) != protocol.CodeCoordinatorLoadInProgress {
				t.Errorf("%s is answered %v", id, a.Beat.Err)
			}
		case <-ctx.Done():
			t.Errorf("%s is never answered", id)
		}
	}
}
