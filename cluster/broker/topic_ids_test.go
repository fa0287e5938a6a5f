package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

func commitByID(c *rawClient, group string, id [16]byte, partition int32, offset int64) protocol.ErrorCode {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 10, group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.TopicID = id
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	answer := ask[*kmsg.OffsetCommitResponse](c, req).Topics[0]
	if answer.TopicID != id {
		c.t.Errorf("committed for %x, answered for %x", id, answer.TopicID)
	}
	return protocol.ErrorCode(answer.Partitions[0].ErrorCode)
}

// fetchByID asks for partition 0 of topics, of all topics if there are none.
func fetchByID(c *rawClient, group string, ids ...[16]byte) []kmsg.OffsetFetchResponseGroupTopic {
	c.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 10
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for _, id := range ids {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.TopicID, t.Partitions = id, []int32{0}
		g.Topics = append(g.Topics, t)
	}
	req.Groups = append(req.Groups, g)
	answer := ask[*kmsg.OffsetFetchResponse](c, req).Groups[0]
	if answer.ErrorCode != 0 {
		c.t.Fatal(protocol.ErrorCode(answer.ErrorCode))
	}
	for i, id := range ids {
		if answer.Topics[i].TopicID != id {
			c.t.Errorf("asked for %x, answered for %x", id, answer.Topics[i].TopicID)
		}
	}
	return answer.Topics
}

// committedByName asks for partition 0 of a topic whose offset may be forgotten in any moment.
func committedByName(c *rawClient, group, topic string) int64 {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = 5, group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic, t.Partitions = topic, []int32{0}
	req.Topics = append(req.Topics, t)
	return ask[*kmsg.OffsetFetchResponse](c, req).Topics[0].Partitions[0].Offset
}

// checkByID fails unless partition 0 of a topic has that offset and code.
func checkByID(c *rawClient, what, group string, id [16]byte, offset int64, code protocol.ErrorCode) {
	c.t.Helper()
	got := fetchByID(c, group, id)[0].Partitions[0]
	if got.Offset != offset || protocol.ErrorCode(got.ErrorCode) != code {
		c.t.Errorf("%s: offset %d and %v, want %d and %v", what, got.Offset, protocol.ErrorCode(got.ErrorCode), offset, code)
	}
}

// TestOffsetsByTopicID: by ids as by names, but that a topic made again under its name is another one.
func TestOffsetsByTopicID(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	first, other := c.createTopic("t", 1, nil), c.createTopic("other", 1, nil)
	unknown := [16]byte{1}
	if got := commitByID(c, "g", first, 0, 7); got != 0 {
		t.Fatal(got)
	}
	if got := commit(c, "g", "other", 0, 8, ""); got != 0 {
		t.Fatal(got)
	}
	if got := commitByID(c, "g", first, 1, 7); got != protocol.CodeUnknownTopicOrPartition {
		t.Errorf("a partition that does not exist: %v", got)
	}
	if got := commitByID(c, "g", unknown, 0, 7); got != protocol.CodeUnknownTopicID {
		t.Errorf("commit for an id that is of no topic: %v", got)
	}
	checkByID(c, "by id", "g", first, 7, 0)
	checkByID(c, "committed by name", "g", other, 8, 0)
	checkByID(c, "nothing committed", "nobody", first, -1, 0)
	checkByID(c, "an id that is of no topic", "g", unknown, -1, protocol.CodeUnknownTopicID)
	if offset, _ := committed(c, "g", "t", 0); offset != 7 {
		t.Errorf("committed by id, by name it is %d", offset)
	}
	if all := fetchByID(c, "g"); len(all) != 2 || all[0].TopicID != other || all[1].TopicID != first {
		t.Errorf("all topics are %+v", all)
	}

	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TopicNames, del.TimeoutMillis = 5, []string{"t"}, 10_000
	ask[*kmsg.DeleteTopicsResponse](c, del)
	checkByID(c, "deleted", "g", first, -1, protocol.CodeUnknownTopicID)
	if all := fetchByID(c, "g"); len(all) != 1 || all[0].TopicID != other {
		t.Errorf("after the deletion all topics are %+v", all)
	}
	second := c.createTopic("t", 1, nil)
	checkByID(c, "made again", "g", second, -1, 0)
	checkByID(c, "its namesake", "g", first, -1, protocol.CodeUnknownTopicID)
	if got := commitByID(c, "g", first, 0, 9); got != protocol.CodeUnknownTopicID {
		t.Errorf("commit for the namesake: %v", got)
	}
	checkByID(c, "after that", "g", second, -1, 0)
}

// TestOffsetsOfANamesake: a coordinator that loads commits for a topic that was deleted and made again, which the one
// before did not come to forget, tells them to nobody who asks by id, and forgets them by itself.
func TestOffsetsOfANamesake(t *testing.T) {
	dir := t.TempDir()
	one := map[string]string{"offsets.topic.num.partitions": "1"}
	b := brokertest.StartIn(t, dir, one)
	c := dial(t, b.Addr())
	id := c.createTopic("t", 1, nil)
	if got := commit(c, "mine", "t", 0, 5, ""); got != 0 {
		t.Fatal(got)
	}
	value := kmsg.NewOffsetCommitValue()
	value.Version, value.Offset, value.TopicID = 4, 77, [16]byte{1}
	older := kmsg.NewOffsetCommitValue()
	older.Version, older.Offset = 3, 6
	adminProduce(t, c, "__consumer_offsets",
		recordbatch.Record{Timestamp: testTime, Key: commitKey("namesake's", "t"), Value: value.AppendTo(nil)},
		recordbatch.Record{Timestamp: testTime, Key: commitKey("older", "t"), Value: older.AppendTo(nil)})
	stop(t, b)
	b = brokertest.StartIn(t, dir, one)
	defer stop(t, b)
	c = dial(t, b.Addr())
	checkByID(c, "a namesake's", "namesake's", id, -1, 0)
	eventually(t, "it is forgotten", func() bool { return committedByName(c, "namesake's", "t") == -1 })
	checkByID(c, "its own", "mine", id, 5, 0)
	checkByID(c, "from before ids were noted", "older", id, 6, 0)
}

// TestClientsNameTopicsByID: franz-go takes the versions with ids, and its admin client goes by them: a topic made again
// has nothing committed.
func TestClientsNameTopicsByID(t *testing.T) {
	brokers := []*broker.Broker{brokertest.Start(t, nil)}
	cl := newClient(t, brokers)
	adm := kadm.NewClient(cl)
	id := makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 1})
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = "g", -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = "t", id
	topic.Partitions = append(topic.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil || resp.Version != 10 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	offsets := func() kadm.OffsetResponses {
		offsets, err := adm.FetchOffsets(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		return offsets
	}
	if got, ok := offsets().Lookup("t", 0); !ok || got.At != 0 || got.Err != nil {
		t.Errorf("committed is %+v", got)
	}
	if _, err := adm.DeleteTopics(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 1, Replicas: 1})
	if got := offsets(); len(got) != 0 {
		t.Errorf("of a topic made again is committed %+v", got)
	}
}
