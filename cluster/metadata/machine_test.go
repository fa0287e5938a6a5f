package metadata

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// uuid makes ids that are easy to tell apart.
func uuid(n byte) UUID { return UUID{0: n, 15: n} }

// apply decodes what it encodes, so that every test passes commands the way the log does.
func apply(t testing.TB, m *Machine, c Command) (any, error) {
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

func mustApply(t testing.TB, m *Machine, c Command) any {
	t.Helper()
	result, err := apply(t, m, c)
	if err != nil {
		t.Fatalf("%T: %v", c, err)
	}
	return result
}

// applyOne returns what became of the only topic of a command.
func applyOne(t testing.TB, m *Machine, c Command) (*Topic, error) {
	t.Helper()
	results := mustApply(t, m, c).([]TopicResult)
	if len(results) != 1 || (results[0].Topic == nil) == (results[0].Err == nil) {
		t.Fatalf("%T: %+v", c, results)
	}
	return results[0].Topic, results[0].Err
}

// newCluster returns a machine with brokers 1 to n.
func newCluster(t testing.TB, n int) *Machine {
	t.Helper()
	m := NewMachine()
	mustApply(t, m, SetClusterID{ID: "test-cluster"})
	for id := int32(1); id <= int32(n); id++ {
		mustApply(t, m, RegisterBroker{ID: id, Directory: uuid(byte(id)), Endpoints: []Endpoint{{"PLAINTEXT", "127.0.0.1", 9092}}})
	}
	return m
}

func newTopic(id byte, name string, assignment ...[]int32) CreateTopics {
	if assignment == nil {
		assignment = [][]int32{{1}}
	}
	return CreateTopics{Topics: []NewTopic{{Name: name, ID: uuid(id), Assignment: assignment}}, NowMillis: 1700000000000, MaxPartitions: 10}
}

func create(t testing.TB, m *Machine, id byte, name string, assignment ...[]int32) *Topic {
	t.Helper()
	topic, err := applyOne(t, m, newTopic(id, name, assignment...))
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// wants fails unless err is of type E.
func wants[E error](t testing.TB, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a %T", err, e)
	}
	if msg := err.Error(); msg == "" || strings.Contains(msg, "%!") {
		t.Fatalf("message %q", msg)
	}
	return e
}

func TestTopicLifecycle(t *testing.T) {
	m := newCluster(t, 2)
	before := m.Image()
	topic := create(t, m, 7, "orders", []int32{2, 1}, []int32{1, 2})
	if topic.CreatedMillis != 1700000000000 || topic.CreatedIndex != m.Image().Index() || topic.Configs.Values != nil {
		t.Fatalf("%+v", topic)
	}
	if p, ok := topic.Partition(0); !ok || p.Leader != 2 || p.LeaderEpoch != 0 || !slices.Equal(p.ISR, []int32{2, 1}) {
		t.Fatalf("%+v", p)
	}
	if _, ok := topic.Partition(2); ok {
		t.Fatal("a partition too many")
	}
	if _, ok := before.Topic("orders"); ok {
		t.Fatal("an older image shows a newer topic")
	}
	byID, _ := m.Image().TopicByID(topic.ID)
	byName, _ := m.Image().Topic("orders")
	if byID != topic || byName != topic || m.Image().PartitionCount() != 2 {
		t.Fatal("lookups disagree")
	}
	deleted, err := applyOne(t, m, DeleteTopics{IDs: []UUID{topic.ID}})
	if err != nil || deleted != topic || len(m.Image().Topics()) != 0 || m.Image().PartitionCount() != 0 {
		t.Fatal("topic outlived its deletion", err)
	}
	_, err = applyOne(t, m, DeleteTopics{IDs: []UUID{topic.ID}})
	wants[*UnknownTopicError](t, err)
	create(t, m, 8, "orders") // the name is free again, under another id
}

func TestTopicsAreListedByName(t *testing.T) {
	m := newCluster(t, 1)
	for i, name := range []string{"b", "a", "c.d", "B", "a-1"} {
		create(t, m, byte(i+1), name)
	}
	var names []string
	for _, topic := range m.Image().Topics() {
		names = append(names, topic.Name)
	}
	if !slices.IsSorted(names) || len(names) != 5 {
		t.Fatal(names)
	}
}

func TestCreateTopicsRefusals(t *testing.T) {
	m := newCluster(t, 2)
	create(t, m, 7, "orders.eu")
	refused := func(c CreateTopics) error {
		t.Helper()
		before := m.Image()
		_, err := applyOne(t, m, c)
		if err == nil {
			t.Fatalf("%+v was taken", c)
		}
		if d := Diff(before, m.Image()); !d.Empty() {
			t.Fatalf("a refused command changed %+v", d)
		}
		return err
	}
	wants[*TopicExistsError](t, refused(newTopic(8, "orders.eu")))
	wants[*TopicExistsError](t, refused(newTopic(7, "other")))
	wants[*InvalidTopicIDError](t, refused(newTopic(0, "other")))
	if e := wants[*NameCollisionError](t, refused(newTopic(8, "orders_eu"))); e.Other != "orders.eu" {
		t.Fatal(e)
	}
	wants[*InvalidReplicationFactorError](t, refused(newTopic(8, "a", []int32{})))
	wants[*InvalidAssignmentError](t, refused(newTopic(8, "a", []int32{1}, []int32{1, 2})))
	wants[*InvalidAssignmentError](t, refused(newTopic(8, "a", []int32{1, 1})))
	wants[*InvalidAssignmentError](t, refused(newTopic(8, "a", []int32{3})))
	none := newTopic(8, "a")
	none.Topics[0].Assignment = nil
	wants[*InvalidPartitionsError](t, refused(none))
	if e := wants[*LimitError](t, refused(newTopic(8, "a", slices.Repeat([][]int32{{1}}, 10)...))); e.Got != 11 || e.Want != 10 {
		t.Fatal(e)
	}
	configs := newTopic(8, "a")
	configs.Topics[0].Configs = map[string]string{"b": strings.Repeat("x", MaxConfigValueBytes+1), "": "x"}
	if e := wants[*InvalidConfigError](t, refused(configs)); e.Key != "" {
		t.Fatal("not the least key", e)
	}
	configs.Topics[0].Configs = map[string]string{}
	for i := range MaxConfigEntries + 1 {
		configs.Topics[0].Configs[fmt.Sprint(i)] = ""
	}
	wants[*LimitError](t, refused(configs))
	create(t, m, 8, "a", slices.Repeat([][]int32{{1}}, 9)...) // exactly the cap
}

func TestOneTopicOfACommandFailsAlone(t *testing.T) {
	m := newCluster(t, 1)
	c := newTopic(1, "a")
	c.Topics = append(c.Topics, newTopic(2, "a").Topics[0], newTopic(3, "b").Topics[0])
	results := mustApply(t, m, c).([]TopicResult)
	if results[0].Err != nil || results[2].Err != nil {
		t.Fatal(results)
	}
	wants[*TopicExistsError](t, results[1].Err)
	if len(m.Image().Topics()) != 2 {
		t.Fatal("not two topics")
	}
}

func TestCreatePartitions(t *testing.T) {
	m := newCluster(t, 2)
	topic := create(t, m, 7, "orders")
	add := func(current int32, assignment ...[]int32) (*Topic, error) {
		return applyOne(t, m, CreatePartitions{MaxPartitions: 4, Topics: []NewPartitions{{ID: topic.ID, Current: current, Assignment: assignment}}})
	}
	grown, err := add(1, []int32{2}, []int32{1})
	if err != nil || len(grown.Partitions) != 3 || grown.Partitions[1].Leader != 2 || len(topic.Partitions) != 1 || m.Image().PartitionCount() != 3 {
		t.Fatal(grown, err)
	}
	_, err = add(1, []int32{2})
	wants[*InvalidPartitionsError](t, err)
	_, err = add(3)
	wants[*InvalidPartitionsError](t, err)
	_, err = add(3, []int32{1, 2})
	wants[*InvalidAssignmentError](t, err)
	_, err = add(3, []int32{1}, []int32{1})
	wants[*LimitError](t, err)
	_, err = applyOne(t, m, CreatePartitions{MaxPartitions: 4, Topics: []NewPartitions{{ID: uuid(9)}}})
	wants[*UnknownTopicError](t, err)
}

func TestTopicConfigsCompareAndSet(t *testing.T) {
	m := newCluster(t, 1)
	topic := create(t, m, 7, "orders")
	set := func(expected uint64, values map[string]string) (*Topic, error) {
		return applyOne(t, m, SetTopicConfigs{Changes: []TopicConfigs{{ID: topic.ID, Expected: expected, Values: values}}})
	}
	changed, err := set(topic.Configs.Index, map[string]string{"retention.ms": "1"})
	if err != nil || changed.Configs.Values["retention.ms"] != "1" || changed.Configs.Index <= topic.Configs.Index {
		t.Fatal(changed, err)
	}
	_, err = set(topic.Configs.Index, nil)
	if e := wants[*ConfigChangedError](t, err); e.Current != changed.Configs.Index {
		t.Fatal(e)
	}
	if cleared, err := set(AnyIndex, map[string]string{}); err != nil || cleared.Configs.Values != nil {
		t.Fatal(cleared, err)
	}
	_, err = set(AnyIndex, map[string]string{"x\xff": ""})
	wants[*InvalidConfigError](t, err)
	_, err = applyOne(t, m, SetTopicConfigs{Changes: []TopicConfigs{{ID: uuid(9)}}})
	wants[*UnknownTopicError](t, err)
}

func TestAlterPartitions(t *testing.T) {
	m := newCluster(t, 3)
	topic := create(t, m, 7, "orders", []int32{1, 2}, []int32{2, 1})
	alter := func(changes ...PartitionChange) error {
		_, err := apply(t, m, AlterPartitions{Changes: changes})
		return err
	}
	good := PartitionChange{ID: topic.ID, Partition: 1, Leader: 1, LeaderEpoch: 5, ISR: []int32{1}}
	if err := alter(good); err != nil {
		t.Fatal(err)
	}
	now, _ := m.Image().Topic("orders")
	if p := now.Partitions[1]; p.Leader != 1 || p.LeaderEpoch != 5 || !slices.Equal(p.ISR, []int32{1}) || topic.Partitions[1].LeaderEpoch != 0 {
		t.Fatalf("%+v", p)
	}
	with := func(change func(*PartitionChange)) PartitionChange {
		c := good
		change(&c)
		return c
	}
	wants[*StaleEpochError](t, alter(with(func(c *PartitionChange) { c.LeaderEpoch = 4 })))
	wants[*StaleEpochError](t, alter(with(func(c *PartitionChange) { c.Leader = 2 })))
	wants[*UnknownPartitionError](t, alter(with(func(c *PartitionChange) { c.Partition = 2 })))
	wants[*UnknownTopicError](t, alter(with(func(c *PartitionChange) { c.ID = uuid(9) })))
	wants[*InvalidAssignmentError](t, alter(with(func(c *PartitionChange) { c.Leader, c.LeaderEpoch = 3, 6 })))
	wants[*InvalidAssignmentError](t, alter(with(func(c *PartitionChange) { c.ISR = []int32{1, 1} })))
	before := m.Image()
	wants[*UnknownTopicError](t, alter(with(func(c *PartitionChange) { c.LeaderEpoch = 9 }), PartitionChange{ID: uuid(9)}))
	if d := Diff(before, m.Image()); !d.Empty() {
		t.Fatal("half of a command was applied")
	}
	if err := alter(with(func(c *PartitionChange) { c.Leader, c.LeaderEpoch, c.ISR = NoLeader, 6, nil })); err != nil {
		t.Fatal(err)
	}
}

func TestBrokers(t *testing.T) {
	m := newCluster(t, 2)
	register := func(change func(*RegisterBroker)) error {
		c := RegisterBroker{ID: 2, Directory: uuid(2), Rack: "a", Endpoints: []Endpoint{{"PLAINTEXT", "host", 9092}}}
		change(&c)
		_, err := apply(t, m, c)
		return err
	}
	old, _ := m.Image().Broker(2)
	if err := register(func(*RegisterBroker) {}); err != nil {
		t.Fatal(err)
	}
	b, _ := m.Image().Broker(2)
	if b.Epoch <= old.Epoch || b.Rack != "a" || len(m.Image().Brokers()) != 2 {
		t.Fatalf("%+v", b)
	}
	wants[*BrokerIDTakenError](t, register(func(c *RegisterBroker) { c.Directory = uuid(9) }))
	mustApply(t, m, DrainBroker{ID: 2, Drain: true})
	if err := register(func(c *RegisterBroker) { c.Internal = "host:9093" }); err != nil {
		t.Fatal(err)
	}
	if b, _ := m.Image().Broker(2); b.Internal != "host:9093" || !b.Draining || b.Usable() {
		t.Fatalf("%+v", b)
	}
	mustApply(t, m, DrainBroker{ID: 2})
	for _, change := range []func(*RegisterBroker){
		func(c *RegisterBroker) { c.ID = -1 },
		func(c *RegisterBroker) { c.Directory = UUID{} },
		func(c *RegisterBroker) { c.Rack = strings.Repeat("r", MaxHostBytes+1) },
		func(c *RegisterBroker) { c.Internal = strings.Repeat("h", MaxInternalBytes+1) },
		func(c *RegisterBroker) { c.Endpoints = nil },
		func(c *RegisterBroker) { c.Endpoints = slices.Repeat(c.Endpoints, MaxEndpoints+1) },
		func(c *RegisterBroker) { c.Endpoints = slices.Repeat(c.Endpoints, 2) },
		func(c *RegisterBroker) { c.Endpoints[0].Host = "" },
	} {
		wants[*InvalidBrokerError](t, register(change))
	}

	create(t, m, 7, "orders", []int32{2})
	_, err := apply(t, m, UnregisterBroker{ID: 2})
	if e := wants[*BrokerInUseError](t, err); e.Replicas != 1 {
		t.Fatal(e)
	}
	mustApply(t, m, SetBrokerConfigs{Broker: 1, Values: map[string]string{"max.connections": "7"}})
	mustApply(t, m, UnregisterBroker{ID: 1})
	if _, ok := m.Image().Broker(1); ok || m.Image().BrokerConfigs(1).Values != nil {
		t.Fatal("broker 1 is still known")
	}
	_, err = apply(t, m, UnregisterBroker{ID: 1})
	wants[*UnknownBrokerError](t, err)
}

func TestBrokerConfigs(t *testing.T) {
	m := newCluster(t, 2)
	set := func(broker int32, expected uint64, value string) (ConfigSet, error) {
		result, err := apply(t, m, SetBrokerConfigs{Broker: broker, Expected: expected, Values: map[string]string{"k": value}})
		if err != nil {
			return ConfigSet{}, err
		}
		return result.(ConfigSet), nil
	}
	for _, broker := range []int32{AllBrokers, 2, 1} {
		first, err := set(broker, 0, "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set(broker, first.Index, "b"); err != nil {
			t.Fatal(err)
		}
		_, err = set(broker, first.Index, "c")
		wants[*ConfigChangedError](t, err)
	}
	im := m.Image()
	if im.ClusterConfigs().Values["k"] != "b" || im.BrokerConfigs(1).Values["k"] != "b" || im.BrokerConfigs(2).Values["k"] != "b" {
		t.Fatal("not set")
	}
	_, err := set(9, AnyIndex, "x")
	wants[*UnknownBrokerError](t, err)
}

func TestClusterIDAndProducerIDs(t *testing.T) {
	m := newCluster(t, 1)
	mustApply(t, m, SetClusterID{ID: "test-cluster"})
	_, err := apply(t, m, SetClusterID{ID: "other"})
	wants[*ClusterIDError](t, err)
	for _, id := range []string{"", "a b", "ä", strings.Repeat("x", MaxClusterIDBytes+1)} {
		_, err := apply(t, NewMachine(), SetClusterID{ID: id})
		wants[*ClusterIDError](t, err)
	}

	first := mustApply(t, m, AllocateProducerIDs{Broker: 1, Count: 1000}).(ProducerIDBlock)
	second := mustApply(t, m, AllocateProducerIDs{Broker: 1, Count: 5}).(ProducerIDBlock)
	if first != (ProducerIDBlock{0, 1000}) || second != (ProducerIDBlock{1000, 5}) || m.Image().NextProducerID() != 1005 {
		t.Fatal(first, second)
	}
	for _, count := range []int32{0, -1, MaxProducerIDBlock + 1} {
		_, err := apply(t, m, AllocateProducerIDs{Broker: 1, Count: count})
		wants[*ProducerIDError](t, err)
	}
	_, err = apply(t, m, AllocateProducerIDs{Broker: 2, Count: 1})
	wants[*UnknownBrokerError](t, err)
	last := *m.Image()
	last.nextProducerID = 1<<63 - 5
	m.Restore(&last)
	_, err = apply(t, m, AllocateProducerIDs{Broker: 1, Count: 5})
	wants[*ProducerIDError](t, err)
}

func TestIndexMustRise(t *testing.T) {
	m := newCluster(t, 1)
	defer func() {
		if recover() == nil {
			t.Fatal("history was applied twice")
		}
	}()
	_, _ = m.Apply(m.Image().Index(), SetClusterID{ID: "x"})
}

func TestTopicNames(t *testing.T) {
	for _, name := range []string{"a", "A.b_c-9", "...", strings.Repeat("x", MaxTopicNameBytes), "__consumer_offsets"} {
		if err := CheckTopicName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", "a\x00", "ä", "../../etc", strings.Repeat("x", MaxTopicNameBytes+1)} {
		wants[*InvalidNameError](t, CheckTopicName(name))
	}
	if !IsInternal("__consumer_offsets") || !IsInternal("__transaction_state") || IsInternal("orders") {
		t.Error("internal topics")
	}
}
