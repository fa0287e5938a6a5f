package broker_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

const rackAware = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

// racks are brokers in racks of their own.
func racks(selector string) func(id int) map[string]string {
	return func(id int) map[string]string {
		all := map[string]string{"broker.rack": fmt.Sprintf("rack-%d", id)}
		if selector != "" {
			all["replica.selector.class"] = selector
		}
		return all
	}
}

// ledByFirst makes a topic with one partition on the first three brokers, led by broker 1.
func ledByFirst(t *testing.T, brokers []*broker.Broker) [16]byte {
	t.Helper()
	id := makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}}})
	ledBy(t, brokers[0], "t", 1)
	return id
}

// fetchNear asks for one partition from a rack, without waiting.
func fetchNear(c *rawClient, version int16, id [16]byte, rack string, offset int64) kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	req := fetchRequest(version, "t", id, 0, offset)
	req.Rack = rack
	return ask[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0]
}

// TestRackAwareFetch: the leader sends a consumer to the replica in its rack, which
// serves it; where there is none, it serves itself.
func TestRackAwareFetch(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, racks(rackAware))
	id := ledByFirst(t, brokers)
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 50)
	leader := dial(t, brokers[0].Addr())
	for _, version := range []int16{11, 12, 13, 18} {
		for rack, want := range map[string]int32{"rack-1": -1, "rack-2": 2, "rack-3": 3, "rack-4": -1, "": -1} {
			var got kmsg.FetchResponseTopicPartition
			brokertest.Eventually(t, "the replica in "+rack+" is in sync", func() bool {
				got = fetchNear(leader, version, id, rack, 0)
				return got.PreferredReadReplica == want
			})
			if got.ErrorCode != 0 || (len(got.RecordBatches) == 0) != (want >= 0) || got.HighWatermark != 50 {
				t.Errorf("version %d from %q: %v, %d bytes", version, rack, protocol.ErrorCode(got.ErrorCode), len(got.RecordBatches))
			}
		}
	}
	if got := fetchNear(leader, 10, id, "rack-2", 0); got.ErrorCode != 0 || len(got.RecordBatches) == 0 {
		t.Errorf("version 10 knows no racks: %+v", got)
	}
	if got := protocol.ErrorCode(fetchNear(leader, 12, id, "rack-2", 51).ErrorCode); got != protocol.CodeOffsetOutOfRange {
		t.Errorf("beyond the leader's end: %v", got)
	}
	follower := dial(t, brokers[1].Addr())
	brokertest.Eventually(t, "the follower has all records", func() bool {
		got := fetchNear(follower, 12, id, "rack-2", 0)
		return got.ErrorCode == 0 && got.HighWatermark == 50 && len(got.RecordBatches) > 0 && got.PreferredReadReplica == -1
	})
	if got := fetchNear(follower, 12, id, "rack-2", 50); got.ErrorCode != 0 || len(got.RecordBatches) != 0 {
		t.Errorf("at the follower's end: %+v", got)
	}
	if got := protocol.ErrorCode(fetchNear(follower, 12, id, "rack-2", 51).ErrorCode); got != protocol.CodeOffsetNotAvailable {
		t.Errorf("beyond the follower's end: %v", got)
	}
	if got := protocol.ErrorCode(fetchNear(follower, 12, id, "", 0).ErrorCode); got != protocol.CodeNotLeaderOrFollower {
		t.Errorf("a follower, and no rack: %v", got)
	}
	from := make(chan int32, 1000) // the brokers that records came from
	consumeNumbers(t, brokers, "t", 50, kgo.Rack("rack-3"), kgo.WithHooks(fetchedFrom(from)))
	for close(from); ; {
		node, more := <-from
		if !more {
			t.Fatal("no records came from broker 3")
		}
		if node == 3 {
			break
		}
	}
}

// fetchedFrom hears which broker record batches are read from.
type fetchedFrom chan<- int32

func (f fetchedFrom) OnFetchBatchRead(meta kgo.BrokerMetadata, _ string, _ int32, _ kgo.FetchBatchMetrics) {
	f <- meta.NodeID
}

// TestRackAwareIsOff: without a selector the leader serves clients of every rack.
func TestRackAwareIsOff(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, racks(""))
	id := ledByFirst(t, brokers)
	produceNumbers(t, newClient(t, brokers), "t", 1, 5)
	got := fetchNear(dial(t, brokers[0].Addr()), 12, id, "rack-2", 0)
	if got.PreferredReadReplica != -1 || len(got.RecordBatches) == 0 {
		t.Errorf("got %+v", got)
	}
}

// TestFollowerHearsOfRecords: a fetch that is parked on a follower is answered when
// records come.
func TestFollowerHearsOfRecords(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, racks(rackAware))
	id := ledByFirst(t, brokers)
	c := dial(t, brokers[1].Addr())
	req := fetchRequest(12, "t", id, 0, 0)
	req.Rack, req.MaxWaitMillis = "rack-2", 20_000
	sent := c.send(req)
	produceNumbers(t, newClient(t, brokers), "t", 1, 1)
	if got := c.receive(req, sent).(*kmsg.FetchResponse).Topics[0].Partitions[0]; got.ErrorCode != 0 || len(got.RecordBatches) == 0 {
		t.Errorf("got %+v", got)
	}
}

// TestLeaderEpochs: the epoch a client believes in is compared before it matters who
// leads, on leader and follower alike.
func TestLeaderEpochs(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, racks(rackAware))
	id := ledByFirst(t, brokers)
	produceNumbers(t, newClient(t, brokers), "t", 1, 5)
	epoch := metadataOf(dial(t, brokers[1].Addr()), 12, "t").Topics[0].Partitions[0].LeaderEpoch
	for i, b := range brokers[:2] {
		c := dial(t, b.Addr())
		current := protocol.CodeNone
		if i > 0 {
			current = protocol.CodeNotLeaderOrFollower
		}
		for believed, want := range map[int32]protocol.ErrorCode{
			-1: current, epoch: current, epoch - 1: protocol.CodeFencedLeaderEpoch, epoch + 1: protocol.CodeUnknownLeaderEpoch,
		} {
			for api, got := range map[string]protocol.ErrorCode{
				"Fetch": fetchAt(c, id, "", believed), "ListOffsets": listAt(c, believed), "OffsetForLeaderEpoch": epochEndAt(c, believed),
			} {
				if got != want {
					t.Errorf("broker %d, %s, epoch %d (is %d): %v, want %v", b.Node().ID(), api, believed, epoch, got, want)
				}
			}
		}
	}
	near := dial(t, brokers[1].Addr())
	if got := fetchAt(near, id, "rack-2", epoch-1); got != protocol.CodeFencedLeaderEpoch {
		t.Errorf("a follower that serves a rack, epoch before: %v", got)
	}
	if got := fetchAt(near, id, "rack-2", epoch+1); got != protocol.CodeUnknownLeaderEpoch {
		t.Errorf("a follower that serves a rack, epoch to come: %v", got)
	}
}

func fetchAt(c *rawClient, id [16]byte, rack string, epoch int32) protocol.ErrorCode {
	req := fetchRequest(13, "t", id, 0, 0)
	req.Rack, req.Topics[0].Partitions[0].CurrentLeaderEpoch = rack, epoch
	return protocol.ErrorCode(ask[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0].ErrorCode)
}

func listAt(c *rawClient, epoch int32) protocol.ErrorCode {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 7
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "t"
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.CurrentLeaderEpoch, p.Timestamp = epoch, -1
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return protocol.ErrorCode(ask[*kmsg.ListOffsetsResponse](c, req).Topics[0].Partitions[0].ErrorCode)
}

func epochEndAt(c *rawClient, epoch int32) protocol.ErrorCode {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Version = 4
	topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
	topic.Topic = "t"
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.CurrentLeaderEpoch, p.LeaderEpoch = epoch, 1
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return protocol.ErrorCode(ask[*kmsg.OffsetForLeaderEpochResponse](c, req).Topics[0].Partitions[0].ErrorCode)
}

// TestLeaderHints: a broker that does not lead says who does, and where that listens,
// be it a replica or not.
func TestLeaderHints(t *testing.T) {
	brokers := brokertest.Cluster(t, 4, nil)
	id := ledByFirst(t, brokers)
	batch := func() []byte { return batchOf(t, plain, recordbatch.CodecNone, record("k", "v")) }
	for _, b := range []*broker.Broker{brokers[1], brokers[3]} {
		c := dial(t, b.Addr())
		epoch := metadataOf(c, 12, "t").Topics[0].Partitions[0].LeaderEpoch
		for version, hinted := range map[int16]bool{9: false, 10: true, 12: true, 13: true} {
			got := ask[*kmsg.ProduceResponse](c, produceRequest(version, "t", id, 0, -1, batch()))
			p := got.Topics[0].Partitions[0]
			if protocol.ErrorCode(p.ErrorCode) != protocol.CodeNotLeaderOrFollower {
				t.Errorf("broker %d, Produce %d: %v", b.Node().ID(), version, protocol.ErrorCode(p.ErrorCode))
			}
			if !hinted {
				if len(got.Brokers) != 0 || p.CurrentLeader.LeaderID != -1 {
					t.Errorf("Produce %d has no hints: %+v", version, got)
				}
				continue
			}
			if p.CurrentLeader.LeaderID != 1 || p.CurrentLeader.LeaderEpoch != epoch || len(got.Brokers) != 1 {
				t.Errorf("broker %d, Produce %d: %+v of %+v", b.Node().ID(), version, p.CurrentLeader, got.Brokers)
				continue
			}
			if at := fmt.Sprintf("%s:%d", got.Brokers[0].Host, got.Brokers[0].Port); got.Brokers[0].NodeID != 1 || at != brokers[0].Addr() {
				t.Errorf("Produce %d: the leader is at %s: %+v", version, brokers[0].Addr(), got.Brokers[0])
			}
		}
		for version, hinted := range map[int16]bool{12: false, 15: false, 16: true, 18: true} {
			got := ask[*kmsg.FetchResponse](c, fetchRequest(version, "t", id, 0, 0))
			p := got.Topics[0].Partitions[0]
			if protocol.ErrorCode(p.ErrorCode) != protocol.CodeNotLeaderOrFollower {
				t.Errorf("broker %d, Fetch %d: %v", b.Node().ID(), version, protocol.ErrorCode(p.ErrorCode))
			}
			if (p.CurrentLeader.LeaderID == 1 && p.CurrentLeader.LeaderEpoch == epoch) != hinted || (len(got.Brokers) == 1) != hinted {
				t.Errorf("broker %d, Fetch %d: %+v of %+v", b.Node().ID(), version, p.CurrentLeader, got.Brokers)
				continue
			}
			if hinted && fmt.Sprintf("%s:%d", got.Brokers[0].Host, got.Brokers[0].Port) != brokers[0].Addr() {
				t.Errorf("Fetch %d: the leader is at %s: %+v", version, brokers[0].Addr(), got.Brokers[0])
			}
		}
	}
}
