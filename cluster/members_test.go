package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/partition"
)

// TestManyGrowFromOne: of replicas that are opened again for others to join few are offline at a time.
func TestManyGrowFromOne(t *testing.T) {
	c := newCohort(t)
	nodes := c.start(1, 2)
	defer func() { c.stop(nodes) }()
	if t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	const many = 4 * growers
	assignment := make([][]int32, many)
	for i := range assignment {
		assignment[i] = []int32{1}
	}
	results, err := nodes[0].CreateTopics(ctx, []TopicSpec{{Name: "t", Partitions: -1, Replicas: -1, Assignment: assignment}}, false)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	id := results[0].Topic.ID
	here := func() (open, grown int) {
		topic := nodes[0].TopicByID(id)
		if topic == nil {
			return 0, 0
		}
		for i := range int32(many) {
			if p, err := topic.Replica(i); err == nil {
				if open++; p.Timing() == groupTiming {
					grown++
				}
			}
		}
		return open, grown
	}
	eventually(t, ctx, "all are open", func() bool { open, _ := here(); return open == many })
	moves := make([]metadata.Reassignment, many)
	for i := range moves {
		moves[i] = metadata.Reassignment{ID: id, Partition: int32(i), Target: []int32{1, 2}}
	}
	errs, err := nodes[0].Reassign(ctx, moves, false)
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	least := many
	eventually(t, ctx, "all are opened again", func() bool {
		open, grown := here()
		least = min(least, open)
		return grown == many
	})
	if least < many-growers {
		t.Errorf("%d of %d were open at some time, want %d or more", least, many, many-growers)
	}
	eventually(t, ctx, "all have two replicas", func() bool {
		topic, known := nodes[0].Image().TopicByID(id)
		return known && !slices.ContainsFunc(topic.Partitions, func(p metadata.Partition) bool { return p.Reassigning() || len(p.Replicas) != 2 })
	})
}

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
