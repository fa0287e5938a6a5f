package command

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
)

// consumerGroups describes those of some groups that are of the consumer protocol (KIP-848). A broker that does
// not know it has none. What a coordinator says that is not there yet is an error, since such a group would
// be taken for one that does not exist.
func consumerGroups(ctx context.Context, cl *connect.Client, names []string) (kadm.DescribedConsumerGroups, error) {
	described, _ := cl.Admin.DescribeConsumerGroups(ctx, names...) // one that does not answer does not answer for the classic groups either
	for _, g := range described {
		if kerr.IsRetriable(g.Err) {
			return nil, g.Err
		}
	}
	maps.DeleteFunc(described, func(_ string, g kadm.DescribedConsumerGroup) bool { return g.Err != nil })
	return described, nil
}

// consumerGroupLag is of a group of the consumer protocol what Admin.Lag is of a classic one: with the lag of
// all that it has committed or assigned.
func consumerGroupLag(ctx context.Context, cl *connect.Client, g kadm.DescribedConsumerGroup) kadm.DescribedGroupLag {
	out := kadm.DescribedGroupLag{
		Group: g.Group, Coordinator: g.Coordinator, State: g.State, ProtocolType: "consumer", Protocol: g.AssignorName, Lag: make(kadm.GroupLag),
	}
	committed, err := cl.Admin.FetchOffsets(ctx, g.Group)
	if err != nil {
		out.FetchErr = err
		return out
	}
	out.Members = make([]kadm.DescribedGroupMember, len(g.Members))
	for i, m := range g.Members {
		out.Members[i] = kadm.DescribedGroupMember{MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost}
		m.Assignment.Each(func(topic string, p int32) {
			setLag(out.Lag, topic, p, func(l *kadm.GroupMemberLag) { l.Member = &out.Members[i] })
		})
	}
	committed.Each(func(o kadm.OffsetResponse) {
		setLag(out.Lag, o.Topic, o.Partition, func(l *kadm.GroupMemberLag) { l.Commit = o.Offset })
	})
	topics := slices.Sorted(maps.Keys(out.Lag))
	if len(topics) == 0 {
		return out // no topic would be asked for as all
	}
	starts, _ := cl.Admin.ListStartOffsets(ctx, topics...) // what is missing of these counts from 0
	ends, _ := cl.Admin.ListEndOffsets(ctx, topics...)     // and of these shows as such
	for topic, partitions := range out.Lag {
		for p := range partitions {
			setLag(out.Lag, topic, p, func(l *kadm.GroupMemberLag) { measure(l, starts, ends) })
		}
	}
	return out
}

// setLag changes what is known of a partition, or begins with what is known of none.
func setLag(lag kadm.GroupLag, topic string, p int32, set func(*kadm.GroupMemberLag)) {
	if lag[topic] == nil {
		lag[topic] = make(map[int32]kadm.GroupMemberLag)
	}
	l, known := lag[topic][p]
	if !known {
		l = kadm.GroupMemberLag{Topic: topic, Partition: p, Commit: kadm.Offset{At: -1}, Lag: -1}
	}
	set(&l)
	lag[topic][p] = l
}

// measure counts what is behind the commit, or in all if there is none.
func measure(l *kadm.GroupMemberLag, starts, ends kadm.ListedOffsets) {
	end, known := ends.Lookup(l.Topic, l.Partition)
	switch l.End = end; {
	case !known:
		l.Err = errors.New("the end offset is not known")
	case end.Err != nil:
		l.Err = end.Err
	default:
		start, _ := starts.Lookup(l.Topic, l.Partition)
		l.Lag = max(end.Offset-max(l.Commit.At, start.Offset), 0)
	}
}

// assigned writes topics and partitions: orders 0,1,4; audit 0.
func assigned(s kadm.TopicsSet) string {
	var topics []string
	for _, t := range s.Sorted() {
		var partitions []string
		for _, p := range t.Partitions {
			partitions = append(partitions, strconv.Itoa(int(p)))
		}
		topics = append(topics, t.Topic+" "+strings.Join(partitions, ","))
	}
	return strings.Join(topics, "; ")
}
