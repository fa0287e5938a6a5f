package cluster

import (
	"context"
	"testing"

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
