//go:build torture

package torture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// admin runs f until it succeeds.
func (c *trio) admin(what string, f func(ctx context.Context, a *kadm.Client) error) {
	c.t.Helper()
	client := c.brokers[0].client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 5*time.Second)
		err := f(try, kadm.NewClient(client))
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("%s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// anyPartition draws a partition of the load's topics.
func (c *trio) anyPartition() (to topic, p int32) {
	to = replicated[c.rng.IntN(len(replicated))]
	return to, int32(c.rng.IntN(int(to.partitions)))
}

// beginMove has a partition move to three brokers, numbered from 1 on.
func (c *trio) beginMove(to topic, p int32, brokers []int32) {
	c.t.Helper()
	c.admin("move", func(ctx context.Context, a *kadm.Client) error {
		var req kadm.AlterPartitionAssignmentsReq
		req.Assign(to.name, p, brokers)
		r, err := a.AlterPartitionAssignments(ctx, req)
		return cmp.Or(err, r.Error())
	})
}

// moved waits until no partition moves any more.
func (c *trio) moved() {
	c.t.Helper()
	all := kadm.TopicsSet{}
	for _, to := range replicated {
		for p := range to.partitions {
			all.Add(to.name, p)
		}
	}
	c.admin("end of the moves", func(ctx context.Context, a *kadm.Client) error {
		r, err := a.ListPartitionReassignments(ctx, all)
		if err == nil && len(r) > 0 {
			err = fmt.Errorf("under way: %v", r)
		}
		return err
	})
}

// draw is so many brokers, numbered from 1 on.
func (c *trio) draw(n int) (all []int32) {
	for _, i := range c.rng.Perm(len(c.brokers))[:n] {
		all = append(all, int32(i)+1)
	}
	return all
}

// weir runs a command of the binary under attack.
func (c *trio) weir(args ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, weir, append(args, "--brokers", c.brokers[0].address)...).CombinedOutput(); err != nil {
		c.t.Fatalf("weir %v: %v\n%s", args, err, out)
	}
}

var memberFaults = []fault{
	{"move", func(c *trio) {
		to, p := c.anyPartition()
		goal := c.draw(3)
		c.beginMove(to, p, goal)
		c.moved()
		c.recovered(fmt.Sprintf("%s-%d moved to %v", to.name, p, goal))
	}},
	{"move all, and kill one meanwhile", func(c *trio) {
		for _, to := range replicated {
			for p := range to.partitions {
				c.beginMove(to, p, c.draw(3))
			}
		}
		c.moment(time.Second)
		i := c.rng.IntN(len(c.brokers))
		c.kill(i)
		c.recovered("killed while all moves", i)
		c.moment(2 * time.Second)
		c.heal()
		c.moved()
		c.recovered("all moved")
	}},
	{"move, and cancel it", func(c *trio) {
		to, p := c.anyPartition()
		c.beginMove(to, p, c.draw(3))
		c.moment(200 * time.Millisecond)
		c.admin("cancel", func(ctx context.Context, a *kadm.Client) error {
			var req kadm.AlterPartitionAssignmentsReq
			req.CancelAssign(to.name, p)
			r, err := a.AlterPartitionAssignments(ctx, req)
			if err = cmp.Or(err, r.Error()); errors.Is(err, kerr.NoReassignmentInProgress) {
				return nil // it was over
			}
			return err
		})
		c.moved()
		c.recovered("a move of which was canceled")
	}},
	{"drain", func(c *trio) {
		i := c.anyLeader()
		c.weir("broker", "drain", fmt.Sprint(i+1), "--watch")
		c.recovered("drained", i)
		c.stop(i)
		c.launch(i)
		c.brokers[i].answers()
		c.weir("broker", "undrain", fmt.Sprint(i+1))
		c.recovered("back", i)
	}},
	{"lose a disk", func(c *trio) {
		i := 1 + c.rng.IntN(len(c.brokers)-1) // the first has none to join in its arguments
		c.kill(i)
		if err := os.RemoveAll(c.brokers[i].data); err != nil {
			c.t.Fatal(err)
		}
		c.launch(i)
		c.brokers[i].answers()
		c.fill()
		c.recovered("came back empty", i)
	}},
	{"kill a leader", processFaults[0].run},
}

// fill waits until all replicas are in sync.
func (c *trio) fill() {
	c.t.Helper()
	c.admin("fill of the replicas", func(ctx context.Context, a *kadm.Client) error {
		topics, err := a.ListTopics(ctx, replicated[0].name, replicated[1].name)
		if err != nil {
			return err
		}
		for _, to := range topics {
			for _, p := range to.Partitions {
				if len(p.ISR) != 3 {
					return fmt.Errorf("%s-%d: in sync are %v of %v", to.Topic, p.Partition, p.ISR, p.Replicas)
				}
			}
		}
		return cmp.Or(topics.Error(), nil)
	})
}

// noteHolders has replicas be compared where they are by the cluster's word, in which all brokers agree: one that has just
// come back may tell of the time before.
func (c *trio) noteHolders() {
	c.t.Helper()
	c.moved()
	c.admin("replicas", func(ctx context.Context, _ *kadm.Client) error {
		for i, b := range c.brokers {
			topics, err := topicsOf(ctx, b.address)
			if err != nil {
				return err
			}
			for _, to := range replicated {
				for _, p := range topics[to.name].Partitions {
					at := to.partition(p.Partition)
					if i > 0 && !slices.Equal(c.holders[at], p.Replicas) {
						return fmt.Errorf("%s-%d is on %v, and by the word of broker %d on %v", to.name, p.Partition, c.holders[at], i+1, p.Replicas)
					}
					c.holders[at] = p.Replicas
				}
			}
		}
		return nil
	})
}

// topicsOf is what one broker tells of the topics.
func topicsOf(ctx context.Context, address string) (kadm.TopicDetails, error) {
	alone, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	req := kmsg.NewPtrMetadataRequest()
	for _, to := range replicated {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(to.name)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := alone.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return nil, err
	}
	topics := kadm.TopicDetails{}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		detail := kadm.TopicDetail{Topic: *t.Topic, Partitions: kadm.PartitionDetails{}, Err: kerr.ErrorForCode(t.ErrorCode)}
		for _, p := range t.Partitions {
			detail.Partitions[p.Partition] = kadm.PartitionDetail{Topic: *t.Topic, Partition: p.Partition, Replicas: p.Replicas}
		}
		topics[*t.Topic] = detail
	}
	return topics, topics.Error()
}

// TestClusterMembers moves partitions over five brokers that are drained, killed, and lose their
// disks, in random order.
func TestClusterMembers(t *testing.T) {
	c := newTrio(t, newProxiesOf(t, 5))
	c.begin()
	for range clusterCycles(t) {
		for _, i := range c.rng.Perm(len(memberFaults)) {
			c.suffers(memberFaults[i])
		}
	}
	c.noteHolders()
	c.fill()
	c.finish()
}
