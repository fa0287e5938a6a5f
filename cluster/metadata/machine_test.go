package metadata

import (
	"bytes"
	"errors"
	"testing"
)

// uuid makes ids that are easy to tell apart.
func uuid(n byte) UUID { return UUID{0: n, 15: n} }

// apply decodes what it encodes, so that every test passes commands the way the log does.
func apply(t *testing.T, m *Machine, c Command) (any, error) {
	t.Helper()
	b, err := EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := DecodeCommand(b)
	if err != nil {
		t.Fatalf("decode %T: %v", c, err)
	}
	return m.Apply(m.Image().Index()+1, decoded)
}

func mustApply(t *testing.T, m *Machine, c Command) any {
	t.Helper()
	result, err := apply(t, m, c)
	if err != nil {
		t.Fatalf("%T: %v", c, err)
	}
	return result
}

// newCluster returns a machine with brokers 1 to n.
func newCluster(t *testing.T, n int) *Machine {
	t.Helper()
	m := NewMachine()
	mustApply(t, m, SetClusterID{ID: "test-cluster"})
	for id := int32(1); id <= int32(n); id++ {
		mustApply(t, m, RegisterBroker{ID: id, Directory: uuid(byte(id)), Endpoints: []Endpoint{{"PLAINTEXT", "127.0.0.1", 9092}}})
	}
	return m
}

func create(t *testing.T, m *Machine, id byte, name string, partitions int) *Topic {
	t.Helper()
	topic, err := tryCreate(t, m, NewTopic{Name: name, ID: uuid(id)}, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func tryCreate(t *testing.T, m *Machine, topic NewTopic, partitions int) (*Topic, error) {
	t.Helper()
	if topic.Assignment == nil {
		assignment, err := m.Image().Place(topic.ID, partitions, 1)
		if err != nil {
			t.Fatal(err)
		}
		topic.Assignment = assignment
	}
	results := mustApply(t, m, CreateTopics{Topics: []NewTopic{topic}, NowMillis: 1700000000000, MaxPartitions: 100}).([]TopicResult)
	return results[0].Topic, results[0].Err
}

func TestTopicLifecycle(t *testing.T) {
	m := newCluster(t, 1)
	before := m.Image()
	topic := create(t, m, 7, "orders", 4)
	if len(topic.Partitions) != 4 || topic.CreatedMillis != 1700000000000 || topic.Partitions[3].Leader != 1 {
		t.Fatalf("%+v", topic)
	}
	if _, ok := before.Topic("orders"); ok {
		t.Fatal("an older image shows a newer topic")
	}
	if _, err := tryCreate(t, m, NewTopic{Name: "orders", ID: uuid(8)}, 1); !as[*TopicExistsError](err) {
		t.Fatal(err)
	}
	byID, _ := m.Image().TopicByID(topic.ID)
	byName, _ := m.Image().Topic("orders")
	if byID != topic || byName != topic || m.Image().PartitionCount() != 4 {
		t.Fatal("lookups disagree")
	}
	mustApply(t, m, DeleteTopics{IDs: []UUID{topic.ID}})
	if len(m.Image().Topics()) != 0 || m.Image().PartitionCount() != 0 {
		t.Fatal("topic outlived its deletion")
	}
	restored, err := DecodeImage(m.Image().Encode())
	if err != nil || !bytes.Equal(restored.Encode(), m.Image().Encode()) {
		t.Fatalf("snapshot: %v", err)
	}
}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
