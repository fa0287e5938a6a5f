package adminhttp

import (
	"context"
	"time"

	"weir/cluster"
	"weir/cluster/broker"
)

// groups tells of the groups that are coordinated here. The leaders of their partitions are asked how far these
// are: one that is not known has no lag.
func (s sink) groups(ctx context.Context, b *broker.Broker, each partitions) {
	groups := b.GroupStats()
	var commits []commit
	var queries []cluster.UnreadQuery
	states := make(map[string]int)
	for _, g := range groups {
		states[g.State]++
		s.gauge(kafkaMembers, float64(g.Members), g.Name)
		for tp, offset := range g.Offsets {
			if t := b.Node().Topic(tp.Topic); t != nil && offset >= 0 { // -1 is a client's word for none
				commits = append(commits, commit{group: g.Name, topic: tp.Topic, partition: tp.Partition, offset: offset})
				queries = append(queries, cluster.UnreadQuery{Topic: t.ID, Partition: tp.Partition, Offset: offset})
			}
		}
	}
	for state, n := range states {
		s.gauge(weirGroups, float64(n), state)
	}
	s.lag(commits, b.Node().Unread(ctx, queries), each)
}

// commit is what a group has committed for a partition.
type commit struct {
	group, topic string
	partition    int32
	offset       int64
}

// topicLag is a group's lag in a topic.
type topicLag struct{ committed, lag int64 }

func (s sink) lag(commits []commit, unread []cluster.Unread, each partitions) {
	sums := make(map[[2]string]topicLag)
	now := time.Now()
	for i, c := range commits {
		u := unread[i]
		lag := max(u.HighWatermark-c.offset, 0)
		sum := sums[[2]string{c.group, c.topic}]
		if sum.committed += c.offset; u.Known {
			sum.lag += lag
		}
		sums[[2]string{c.group, c.topic}] = sum
		each.committed(c.group, c.topic, c.partition)
		each.set(kafkaCommitted, float64(c.offset))
		if !u.Known {
			continue
		}
		each.set(kafkaLag, float64(lag))
		if u.Oldest == cluster.OldestNone {
			each.set(kafkaLagSeconds, 0)
		} else if u.Oldest == cluster.OldestFound && u.Timestamp >= 0 {
			age := now.Sub(time.UnixMilli(u.Timestamp)).Seconds()
			each.set(kafkaLagSeconds, max(age, 0)) // a record of the future has not waited
		}
	}
	for of, sum := range sums {
		s.gauge(kafkaCommitSum, float64(sum.committed), of[0], of[1])
		s.gauge(kafkaLagSum, float64(sum.lag), of[0], of[1])
	}
}
