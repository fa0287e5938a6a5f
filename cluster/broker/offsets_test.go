package broker_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

func commit(c *rawClient, group, topic string, partition int32, offset int64, metadata string) protocol.ErrorCode {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 8, group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 1, &metadata
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return protocol.ErrorCode(ask[*kmsg.OffsetCommitResponse](c, req).Topics[0].Partitions[0].ErrorCode)
}

// committed asks in the old and in the new form, which must agree.
func committed(c *rawClient, group, topic string, partition int32) (int64, string) {
	c.t.Helper()
	old := kmsg.NewPtrOffsetFetchRequest()
	old.Version, old.Group = 5, group
	ot := kmsg.NewOffsetFetchRequestTopic()
	ot.Topic, ot.Partitions = topic, []int32{partition}
	old.Topics = append(old.Topics, ot)
	a := ask[*kmsg.OffsetFetchResponse](c, old).Topics[0].Partitions[0]

	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 8
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = topic, []int32{partition}
	g.Topics = append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	b := ask[*kmsg.OffsetFetchResponse](c, req).Groups[0].Topics[0].Partitions[0]
	if a.ErrorCode != 0 || b.ErrorCode != 0 || a.Offset != b.Offset || *a.Metadata != *b.Metadata || a.LeaderEpoch != b.LeaderEpoch {
		c.t.Fatalf("the old form says %+v, the new %+v", a, b)
	}
	return a.Offset, *a.Metadata
}

// TestCommittedOffsets: what an assigning consumer commits is there after a
// restart, and gone with its topic.
func TestCommittedOffsets(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, map[string]string{"offset.metadata.max.bytes": "10"})
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	if offset, _ := committed(c, "g", "t", 0); offset != -1 {
		t.Errorf("nothing is committed, got %d", offset)
	}
	for _, x := range []struct {
		topic     string
		partition int32
		metadata  string
		want      protocol.ErrorCode
	}{
		{"t", 0, "here", protocol.CodeNone},
		{"t", 1, "", protocol.CodeNone},
		{"t", 2, "", protocol.CodeUnknownTopicOrPartition},
		{"nope", 0, "", protocol.CodeUnknownTopicOrPartition},
		{"t", 0, strings.Repeat("m", 11), protocol.CodeOffsetMetadataTooLarge},
	} {
		if got := commit(c, "g", x.topic, x.partition, 5, x.metadata); got != x.want {
			t.Errorf("commit to %s-%d: %v, want %v", x.topic, x.partition, got, x.want)
		}
	}
	commit(c, "g", "t", 0, 4, "back") // an application may go back
	stop(t, b)

	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	c = dial(t, b.Addr())
	if offset, metadata := committed(c, "g", "t", 0); offset != 4 || metadata != "back" {
		t.Errorf("after a restart: %d %q", offset, metadata)
	}
	list := kmsg.NewPtrListGroupsRequest()
	list.Version = 5
	if groups := ask[*kmsg.ListGroupsResponse](c, list).Groups; len(groups) != 1 || groups[0].Group != "g" || groups[0].GroupState != "Empty" {
		t.Errorf("groups: %+v", groups)
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TopicNames, del.TimeoutMillis = 5, []string{"t"}, 10_000
	ask[*kmsg.DeleteTopicsResponse](c, del)
	c.createTopic("t", 2, nil)
	if offset, _ := committed(c, "g", "t", 0); offset != -1 {
		t.Errorf("a topic made again has a committed offset of its namesake: %d", offset)
	}
}

func TestGroupsOfSimpleConsumers(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	commit(c, "g", "t", 0, 1, "")
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"g"}
	found := ask[*kmsg.FindCoordinatorResponse](c, find).Coordinators[0]
	if found.ErrorCode != 0 || found.NodeID != b.Node().ID() || found.Port <= 0 {
		t.Errorf("coordinator: %+v", found)
	}
	find.CoordinatorType = 1
	if got := ask[*kmsg.FindCoordinatorResponse](c, find).Coordinators[0]; got.ErrorCode != 0 || got.NodeID != found.NodeID {
		t.Errorf("coordinator of transactions: %+v", got)
	}
	find.CoordinatorType = 2
	if got := ask[*kmsg.FindCoordinatorResponse](c, find).Coordinators[0]; protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidRequest {
		t.Errorf("coordinator of share groups: %+v", got)
	}
	member := kmsg.NewPtrOffsetCommitRequest()
	member.Version, member.Group, member.Generation, member.MemberID = 8, "g", 3, "m"
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = "t"
	topic.Partitions = append(topic.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	member.Topics = append(member.Topics, topic)
	if got := ask[*kmsg.OffsetCommitResponse](c, member).Topics[0].Partitions[0].ErrorCode; protocol.ErrorCode(got) != protocol.CodeUnknownMemberID {
		t.Errorf("a commit by a member of nothing: %v", protocol.ErrorCode(got))
	}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Version, describe.Groups = 6, []string{"g", "nope"}
	groups := ask[*kmsg.DescribeGroupsResponse](c, describe).Groups
	if groups[0].State != "Empty" || protocol.ErrorCode(groups[1].ErrorCode) != protocol.CodeGroupIDNotFound {
		t.Errorf("described: %+v", groups)
	}
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Version, del.Groups = 3, []string{"g", "nope"}
	deleted := ask[*kmsg.DeleteGroupsResponse](c, del).Groups
	if deleted[0].ErrorCode != 0 || protocol.ErrorCode(deleted[1].ErrorCode) != protocol.CodeGroupIDNotFound {
		t.Errorf("deleted: %+v", deleted)
	}
	if offset, _ := committed(c, "g", "t", 0); offset != -1 {
		t.Errorf("a deleted group has an offset: %d", offset)
	}
}

// TestOffsetsTopicShrinks: commits without end take room with an end, and what
// counts survives the rewrite and a restart after it.
func TestOffsetsTopicShrinks(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, map[string]string{"offsets.topic.num.partitions": "1"})
	c := dial(t, b.Addr())
	const partitions, rounds = 100, 60
	c.createTopic("t", partitions, nil)
	commit(c, "quiet", "t", 7, 77, "kept")
	commit(c, "leaver", "t", 8, 88, "")
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Version, del.Groups = 2, []string{"leaver"}
	ask[*kmsg.DeleteGroupsResponse](c, del)
	written := 0
	for round := range rounds {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 8, "busy", -1
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = "t"
		for i := range int32(partitions) {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.Metadata = i, int64(round), kmsg.StringPtr(strings.Repeat("m", 4000))
			topic.Partitions = append(topic.Partitions, p)
			written += 4000
		}
		req.Topics = append(req.Topics, topic)
		if code := ask[*kmsg.OffsetCommitResponse](c, req).Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Fatal(protocol.ErrorCode(code))
		}
	}
	check := func(c *rawClient) {
		t.Helper()
		if offset, metadata := committed(c, "quiet", "t", 7); offset != 77 || metadata != "kept" {
			t.Errorf("a quiet group's commit: %d %q", offset, metadata)
		}
		if offset, _ := committed(c, "busy", "t", partitions-1); offset != rounds-1 {
			t.Errorf("the busy group's commit: %d, want %d", offset, rounds-1)
		}
		if offset, _ := committed(c, "leaver", "t", 8); offset != -1 {
			t.Errorf("a deleted group is back: %d", offset)
		}
	}
	check(c)
	p, err := b.Node().Topic("__consumer_offsets").Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	if size := p.SizeBytes(); size > 20<<20 || size > int64(written) {
		t.Errorf("the topic takes %d bytes after %d written", size, written)
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	check(dial(t, b.Addr()))
}
