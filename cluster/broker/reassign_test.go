package broker_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

type alterPartition = kmsg.AlterPartitionAssignmentsRequestTopicPartition

func reassign(c *rawClient, version int16, allowFactor bool, topic string, partitions ...alterPartition) *kmsg.AlterPartitionAssignmentsResponse {
	c.t.Helper()
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Version, req.TimeoutMillis, req.AllowReplicationFactorChange = version, 10_000, allowFactor
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	req.Topics = append(req.Topics, t)
	return ask[*kmsg.AlterPartitionAssignmentsResponse](c, req)
}

func to(partition int32, replicas ...int32) alterPartition {
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = partition, replicas
	return p
}

func reassignments(c *rawClient, topics ...string) []kmsg.ListPartitionReassignmentsResponseTopic {
	c.t.Helper()
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	for _, name := range topics {
		t := kmsg.NewListPartitionReassignmentsRequestTopic()
		t.Topic, t.Partitions = name, []int32{0, 1, 99}
		req.Topics = append(req.Topics, t)
	}
	return ask[*kmsg.ListPartitionReassignmentsResponse](c, req).Topics
}

// TestReassignmentErrors: what cannot be is refused, each partition for itself.
func TestReassignmentErrors(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	own := b.Node().ID()
	for _, x := range []struct {
		name    string
		topic   string
		version int16
		allow   bool
		asked   []alterPartition
		want    []protocol.ErrorCode
	}{
		{"an unknown topic", "nope", 0, true, []alterPartition{to(0, own)}, []protocol.ErrorCode{protocol.CodeUnknownTopicOrPartition}},
		{"an unknown partition beside one that is", "t", 0, true, []alterPartition{to(0, own), to(2, own), to(-1, own)},
			[]protocol.ErrorCode{protocol.CodeNone, protocol.CodeUnknownTopicOrPartition, protocol.CodeUnknownTopicOrPartition}},
		{"an unknown broker", "t", 1, true, []alterPartition{to(0, own, 77)}, []protocol.ErrorCode{protocol.CodeInvalidReplicaAssignment}},
		{"no broker has a negative id", "t", 1, true, []alterPartition{to(0, -1)}, []protocol.ErrorCode{protocol.CodeInvalidReplicaAssignment}},
		{"a broker twice", "t", 1, true, []alterPartition{to(0, own, own)}, []protocol.ErrorCode{protocol.CodeInvalidReplicaAssignment}},
		{"no replicas", "t", 1, true, []alterPartition{{Partition: 0, Replicas: []int32{}}}, []protocol.ErrorCode{protocol.CodeInvalidReplicaAssignment}},
		{"nothing to cancel", "t", 1, true, []alterPartition{to(0), to(1)},
			[]protocol.ErrorCode{protocol.CodeNoReassignmentInProgress, protocol.CodeNoReassignmentInProgress}},
		{"another factor, not allowed", "t", 1, false, []alterPartition{to(0, own, 77)}, []protocol.ErrorCode{protocol.CodeInvalidReplicationFactor}},
		{"the same factor", "t", 1, false, []alterPartition{to(0, own)}, []protocol.ErrorCode{protocol.CodeNone}},
		{"the older version allows it", "t", 0, false, []alterPartition{to(0, own, 77)}, []protocol.ErrorCode{protocol.CodeInvalidReplicaAssignment}},
		{"a partition twice", "t", 1, true, []alterPartition{to(0, own), to(1, own), to(0, own)},
			[]protocol.ErrorCode{protocol.CodeInvalidRequest, protocol.CodeNone, protocol.CodeInvalidRequest}},
	} {
		got := reassign(c, x.version, x.allow, x.topic, x.asked...)
		if got.ErrorCode != 0 || len(got.Topics) != 1 || len(got.Topics[0].Partitions) != len(x.want) {
			t.Errorf("%s: got %+v", x.name, got)
			continue
		}
		for i, p := range got.Topics[0].Partitions {
			if code := protocol.ErrorCode(p.ErrorCode); code != x.want[i] || p.Partition != x.asked[i].Partition || (code != 0) != (p.ErrorMessage != nil) {
				t.Errorf("%s: partition %d: got %v, want %v", x.name, p.Partition, code, x.want[i])
			}
		}
	}
	if got := reassignments(c); len(got) != 0 {
		t.Errorf("nothing is under way: %+v", got)
	}
}

// TestReassignment: a partition moves from one broker of its three to another, with all
// its records and while more are written, and the one that it leaves has no file of it.
func TestReassignment(t *testing.T) {
	brokers := brokertest.Cluster(t, 4, nil)
	id := makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}}})
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 200)
	c := dial(t, brokers[3].Addr()) // neither a replica nor, as a rule, the controller
	got := reassign(c, 1, false, "t", to(0, 4, 2, 3))
	if code := protocol.ErrorCode(got.Topics[0].Partitions[0].ErrorCode); got.ErrorCode != 0 || code != 0 {
		t.Fatalf("got %v, %v", protocol.ErrorCode(got.ErrorCode), code)
	}
	for _, list := range [][]kmsg.ListPartitionReassignmentsResponseTopic{reassignments(c), reassignments(c, "nope", "t")} {
		if len(list) == 0 {
			continue // it is over already
		}
		p := list[0].Partitions[0]
		if len(list) != 1 || list[0].Topic != "t" || !slices.Equal(p.Replicas, []int32{4, 2, 3, 1}) ||
			!slices.Equal(p.AddingReplicas, []int32{4}) || !slices.Equal(p.RemovingReplicas, []int32{1}) {
			t.Errorf("under way: %+v", list)
		}
	}
	produceNumbers(t, cl, "t", 201, 300)
	brokertest.Eventually(t, "the reassignment is complete", func() bool { return len(reassignments(c, "t")) == 0 })
	replicas := metadataOf(c, 12, "t").Topics[0].Partitions[0].Replicas
	if !slices.Equal(replicas, []int32{4, 2, 3}) {
		t.Errorf("replicas are %v", replicas)
	}
	produceNumbers(t, cl, "t", 301, 400)
	consumeNumbers(t, brokers, "t", 400)
	brokertest.Eventually(t, "broker 1 has dropped its replica", func() bool {
		left, err := filepath.Glob(filepath.Join(brokers[0].Node().DataDir(), "topics", "*", "0", "*.log"))
		return err == nil && len(left) == 0
	})
	want := recordBytes(t, brokers[1], id, 400)
	for _, b := range brokers[2:] {
		if !bytes.Equal(recordBytes(t, b, id, 400), want) {
			t.Errorf("brokers 2 and %d hold different bytes", b.Node().ID())
		}
	}
}

// recordBytes is what a broker holds of partition 0 of a topic, once it has the offsets
// below end.
func recordBytes(t *testing.T, b *broker.Broker, id [16]byte, end int64) []byte {
	t.Helper()
	p, err := b.Node().TopicByID(id).Replica(0)
	if err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "a replica has all records", func() bool { return p.HighWatermark() >= end })
	var all []byte
	for offset := int64(0); offset < end; {
		r, err := p.Read(offset, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		if all, err = r.AppendTo(all); err != nil {
			t.Fatal(err)
		}
		offset = r.NextOffset
		if err := r.Release(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestReassignmentCancelled: a reassignment to a broker that is gone stays under way, and
// leads back when it is cancelled.
func TestReassignmentCancelled(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string { return map[string]string{"broker.session.timeout.ms": "1000"} })
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1}}})
	brokertest.Stop(t, brokers[2])
	c := dial(t, brokers[0].Addr())
	if code := protocol.ErrorCode(reassign(c, 1, true, "t", to(0, 3)).Topics[0].Partitions[0].ErrorCode); code != 0 {
		t.Fatalf("to a broker that is not known to be gone yet: %v", code)
	}
	if got := reassignments(c); len(got) != 1 {
		t.Fatalf("under way: %+v", got)
	}
	brokertest.Eventually(t, "broker 3 is fenced", func() bool { return len(brokers[0].Node().Image().UsableBrokers()) == 2 })
	if code := protocol.ErrorCode(reassign(c, 1, true, "t", to(0, 2, 3)).Topics[0].Partitions[0].ErrorCode); code != 0 {
		t.Errorf("one that is fenced and a replica already: %v", code)
	}
	if code := protocol.ErrorCode(reassign(c, 1, true, "t", to(0)).Topics[0].Partitions[0].ErrorCode); code != 0 {
		t.Errorf("cancel: %v", code)
	}
	brokertest.Eventually(t, "it has led back", func() bool { return len(reassignments(c)) == 0 })
	if got := metadataOf(c, 12, "t").Topics[0].Partitions[0].Replicas; !slices.Equal(got, []int32{1}) {
		t.Errorf("replicas are %v", got)
	}
	if code := protocol.ErrorCode(reassign(c, 1, true, "t", to(0, 3)).Topics[0].Partitions[0].ErrorCode); code != protocol.CodeInvalidReplicaAssignment {
		t.Errorf("to a broker that is fenced: %v", code)
	}
	checkFencedCreations(t, c)
	checkUnregister(t, c)
}

// checkFencedCreations: broker 3 of three is fenced.
func checkFencedCreations(t *testing.T, c *rawClient) {
	t.Helper()
	assigned := func(name string, replicas ...int32) kmsg.CreateTopicsRequestTopic {
		topic := newTopic(name, -1, -1)
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Replicas = replicas
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, a)
		return topic
	}
	for _, x := range []struct {
		topic kmsg.CreateTopicsRequestTopic
		want  protocol.ErrorCode
	}{
		{newTopic("three", 1, 3), protocol.CodeInvalidReplicationFactor},
		{newTopic("two", 1, 2), protocol.CodeNone},
		{assigned("a", 1, 3), protocol.CodeInvalidReplicaAssignment},
		{assigned("b", 2, 2), protocol.CodeInvalidReplicaAssignment},
		{assigned("c", 9), protocol.CodeInvalidReplicaAssignment},
		{assigned("d"), protocol.CodeInvalidReplicaAssignment},
		{assigned("e", 2, 1), protocol.CodeNone},
	} {
		got := createTopics(c, false, x.topic)[0]
		if code := protocol.ErrorCode(got.ErrorCode); code != x.want {
			t.Errorf("create %s: got %v, want %v", x.topic.Topic, code, x.want)
		}
		if x.topic.Topic == "three" && (got.ErrorMessage == nil || !bytes.Contains([]byte(*got.ErrorMessage), []byte("2 are usable"))) {
			t.Errorf("the message does not say how many brokers are usable: %v", got.ErrorMessage)
		}
	}
	grow := func(replicas ...int32) protocol.ErrorCode {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Version, req.TimeoutMillis = 3, 10_000
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = "two", 2
		topic.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: replicas}}
		req.Topics = append(req.Topics, topic)
		return protocol.ErrorCode(ask[*kmsg.CreatePartitionsResponse](c, req).Topics[0].ErrorCode)
	}
	for _, replicas := range [][]int32{{1, 3}, {1, 1}, {9, 1}, {}} {
		if got := grow(replicas...); got != protocol.CodeInvalidReplicaAssignment {
			t.Errorf("a partition on %v: %v", replicas, got)
		}
	}
	if got := grow(2, 1); got != protocol.CodeNone {
		t.Errorf("a partition on 2 and 1: %v", got)
	}
}

// checkUnregister: broker 3 of three is fenced and empty, the others are not.
func checkUnregister(t *testing.T, c *rawClient) {
	t.Helper()
	for _, x := range []struct {
		id   int32
		want protocol.ErrorCode
	}{
		{3, protocol.CodeNone}, {3, protocol.CodeBrokerIDNotRegistered}, {-1, protocol.CodeBrokerIDNotRegistered}, {2, protocol.CodeInvalidRequest},
	} {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = x.id
		got := ask[*kmsg.UnregisterBrokerResponse](c, req)
		if code := protocol.ErrorCode(got.ErrorCode); code != x.want || (code != 0) != (got.ErrorMessage != nil) {
			t.Errorf("unregister %d: got %v, want %v", x.id, code, x.want)
		}
	}
}

// TestUnregisterLast: a broker that is alone stays.
func TestUnregisterLast(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = b.Node().ID()
	if got := ask[*kmsg.UnregisterBrokerResponse](c, req); protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidRequest {
		t.Errorf("got %v", protocol.ErrorCode(got.ErrorCode))
	}
	c.createTopic("t", 1, nil)
}
