package cluster

import (
	"context"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/partition"
)

// TestGrowFromOne: a group of one replica wakes up seldom, and is as quick as others once it has three.
func TestGrowFromOne(t *testing.T) {
	c := newCohort(t)
	nodes := c.start(1, 2, 3)
	defer func() { c.stop(nodes) }()
	if t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	results, err := nodes[0].CreateTopics(ctx, []TopicSpec{{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1}}}}, false)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	id := results[0].Topic.ID
	open := func(n *Node) *partition.Partition {
		if topic := n.TopicByID(id); topic != nil {
			p, _ := topic.Replica(0)
			return p
		}
		return nil
	}
	eventually(t, ctx, "the one leads", func() bool {
		p := open(nodes[0])
		if p == nil {
			return false
		}
		_, leads := p.Leading()
		return leads
	})
	alone := open(nodes[0])
	if alone.Timing() != aloneTiming {
		t.Errorf("alone: %+v", alone.Timing())
	}
	appendRecord(t, nodes[0].TopicByID(id), 0, time.Now(), "before")
	end := alone.LogEndOffset()

	errs, err := nodes[0].Reassign(ctx, []metadata.Reassignment{{ID: id, Target: []int32{1, 2, 3}}}, false)
	if err != nil || errs[0] != nil {
		t.Fatal(err, errs)
	}
	for i, n := range nodes {
		eventually(t, ctx, "all have three replicas", func() bool {
			topic, known := n.Image().TopicByID(id)
			p := open(n)
			return known && !topic.Partitions[0].Reassigning() && len(topic.Partitions[0].Replicas) == 3 && p != nil && p.HighWatermark() >= end
		})
		if got := open(n).Timing(); got != groupTiming {
			t.Errorf("broker %d: %+v", i+1, got)
		}
	}
}
