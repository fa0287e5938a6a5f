package broker

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/group"
	"weir/partition"
	"weir/protocol"
)

// holdLoads has the coordinator forget all groups, and every load of them wait until released is closed.
func holdLoads(c *coordinator, released <-chan struct{}) {
	for i := range int32(2) {
		s := c.shard(i)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unload()
		s.loads.read = func(ctx context.Context, l *ledger, into book, p *partition.Partition, from int64, maxDecoded int) (int64, error) {
			<-released
			return readLedger(ctx, l, into, p, from, maxDecoded)
		}
	}
}

// TestRequestsWhileGroupsLoad: a coordinator that is slow to read its partition answers at once that it is loading, in the
// words that clients expect of each request, serves all else meanwhile, and in the end knows what it did.
func TestRequestsWhileGroupsLoad(t *testing.T) {
	b := startInside(t)
	topic := b.node.Topic("t")
	commits := map[group.TopicPartition]group.Commit{{Topic: "t"}: {Offset: 7, TopicID: topic.ID}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.groups.commit(ctx, "g", noMember, commits); err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	holdLoads(b.groups, released)
	defer func() {
		select {
		case <-released:
		default:
			close(released)
		}
	}()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	const loading = protocol.CodeCoordinatorLoadInProgress
	for _, x := range loadRequests(topic.ID) {
		resp, err := cl.SeedBrokers()[0].Request(ctx, x.req)
		if err != nil {
			t.Fatalf("%T: %v", x.req, err)
		}
		if got := protocol.ErrorCode(x.code(resp)); got != x.want {
			t.Errorf("%T: %v, want %v", x.req, got, x.want)
		}
	}
	metadata := kmsg.NewPtrMetadataRequest()
	if resp, err := metadata.RequestWith(ctx, cl); err != nil || len(resp.Topics) == 0 {
		t.Errorf("metadata meanwhile: %+v, %v", resp, err)
	}
	close(released)
	fetch := loadRequests(topic.ID)[0].req
	for {
		resp, err := cl.SeedBrokers()[0].Request(ctx, fetch)
		if err != nil {
			t.Fatal(err)
		}
		g := resp.(*kmsg.OffsetFetchResponse).Groups[0]
		if protocol.ErrorCode(g.ErrorCode) == loading {
			continue
		}
		if g.ErrorCode != 0 || g.Topics[0].Partitions[0].Offset != 7 {
			t.Errorf("when it is loaded: %+v", g)
		}
		return
	}
}

// loadRequest is a request to a coordinator, with what it answers while it loads.
type loadRequest struct {
	req  kmsg.Request
	code func(kmsg.Response) int16
	want protocol.ErrorCode
}

// loadRequests has one of each, for group g, OffsetFetch first.
func loadRequests(id [16]byte) []loadRequest {
	const loading = protocol.CodeCoordinatorLoadInProgress
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: id, Partitions: []int32{0}}}}}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "g", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
	remove := kmsg.NewPtrOffsetDeleteRequest()
	remove.Group = "g"
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.ProtocolType, join.Protocols = "g", 30_000, "consumer", []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.ProtocolType, sync.Protocol = "g", "m", kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	heartbeat := kmsg.NewPtrHeartbeatRequest()
	heartbeat.Group, heartbeat.MemberID = "g", "m"
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = "g", []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"g"}
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{"g"}
	beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis, beat.SubscribedTopicNames = "g", "m", 1000, []string{"t"}
	beat.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	describeConsumer := kmsg.NewPtrConsumerGroupDescribeRequest()
	describeConsumer.Groups = []string{"g"}
	return []loadRequest{
		{fetch, func(r kmsg.Response) int16 { return r.(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode }, loading},
		{commit, func(r kmsg.Response) int16 { return r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode }, loading},
		{remove, func(r kmsg.Response) int16 { return r.(*kmsg.OffsetDeleteResponse).ErrorCode }, loading},
		{join, func(r kmsg.Response) int16 { return r.(*kmsg.JoinGroupResponse).ErrorCode }, loading},
		{sync, func(r kmsg.Response) int16 { return r.(*kmsg.SyncGroupResponse).ErrorCode }, protocol.CodeRebalanceInProgress},
		{heartbeat, func(r kmsg.Response) int16 { return r.(*kmsg.HeartbeatResponse).ErrorCode }, protocol.CodeNone},
		{leave, func(r kmsg.Response) int16 { return r.(*kmsg.LeaveGroupResponse).ErrorCode }, loading},
		{describe, func(r kmsg.Response) int16 { return r.(*kmsg.DescribeGroupsResponse).Groups[0].ErrorCode }, loading},
		{kmsg.NewPtrListGroupsRequest(), func(r kmsg.Response) int16 { return r.(*kmsg.ListGroupsResponse).ErrorCode }, loading},
		{del, func(r kmsg.Response) int16 { return r.(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode }, loading},
		{beat, func(r kmsg.Response) int16 { return r.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode }, loading},
		{describeConsumer, func(r kmsg.Response) int16 { return r.(*kmsg.ConsumerGroupDescribeResponse).Groups[0].ErrorCode }, loading},
	}
}
