package cluster

import (
	"context"
	"slices"
	"testing"
	"time"

	"weir/cluster/metadata"
)

// TestLeadersToldTooEarly tells a broker that still starts, and has no metadata yet, who
// leads: the others do that as soon as its port is open.
func TestLeadersToldTooEarly(t *testing.T) {
	n := &Node{leaders: newLeaders()}
	n.topics.Store(newTopicSet(nil))
	news := appendLeadership(nil, partitionKey{metadata.UUID{1}, 0}, Leadership{Leader: 2, Epoch: 3, ISR: []int32{2, 3}})
	if _, err := n.handleLeaders(context.Background(), 2, news); err != nil {
		t.Fatal(err)
	}
	if x, ok := n.leaders.of(partitionKey{metadata.UUID{1}, 0}); ok {
		t.Errorf("the table knows %+v of a topic that does not exist here", x)
	}
}

// TestStartKnowsWhoLeads: a broker that has started knows who leads what it has no replica
// of, and does not wait for the others to tell everything.
func TestStartKnowsWhoLeads(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := newCohort(t)
	nodes := c.start(1, 2, 3)
	results, err := nodes[0].CreateTopics(ctx, []TopicSpec{{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{2}, {1}}}}, false)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	if err := nodes[0].awaitLeaders(ctx, results[0].Topic.ID); err != nil {
		t.Fatal(err)
	}
	c.stop(nodes[2:])
	nodes[2] = c.start(3)[0]
	defer c.stop(nodes)
	for partition, wantISR := range [][]int32{{2}, {1}} {
		got := nodes[2].Leadership(nodes[2].TopicByID(results[0].Topic.ID), int32(partition))
		if got.Leader != wantISR[0] || !slices.Equal(got.ISR, wantISR) {
			t.Errorf("partition %d: the broker that has started knows of %+v, want %v in sync", partition, got, wantISR)
		}
	}
}

// TestTellingOneAfterTheOther: news for a broker that is still being told make it hear
// everything afterwards, and keep no other from being told.
func TestTellingOneAfterTheOther(t *testing.T) {
	l := newLeaders()
	if !l.beginTelling(2) || l.beginTelling(2) || !l.beginTelling(3) {
		t.Fatal("broker 2 is told twice at once, or broker 3 waits for it")
	}
	l.endTelling(3)
	if l.takeAgain() {
		t.Error("broker 3 missed nothing")
	}
	l.endTelling(2)
	select {
	case <-l.wake:
	default:
		t.Error("nobody is woken for broker 2")
	}
	if !l.takeAgain() || l.takeAgain() {
		t.Error("broker 2 missed something, and is told everything once")
	}
	if !l.beginTelling(2) {
		t.Error("broker 2 cannot be told any more")
	}
}
