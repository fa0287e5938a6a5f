package metadata

import (
	"slices"
	"testing"
)

func reassign(t testing.TB, m *Machine, id UUID, partition int32, target ...int32) error {
	t.Helper()
	return mustApply(t, m, AlterReassignments{Changes: []Reassignment{{ID: id, Partition: partition, Target: target}}}).([]error)[0]
}

func part(m *Machine, id UUID, partition int32) Partition {
	topic, _ := m.Image().TopicByID(id)
	return topic.Partitions[partition]
}

// complete says what the leader says when the Raft group has exactly these members.
func complete(t testing.TB, m *Machine, id UUID, partition int32, replicas ...ReplicaID) error {
	t.Helper()
	_, err := apply(t, m, CompleteReassignment{ID: id, Partition: partition, Replicas: replicas})
	return err
}

func finish(t testing.TB, m *Machine, id UUID, partition int32) {
	t.Helper()
	p := part(m, id, partition)
	var replicas []ReplicaID
	for _, node := range p.Goal() {
		r, _ := p.Replica(node)
		replicas = append(replicas, r)
	}
	if err := complete(t, m, id, partition, replicas...); err != nil {
		t.Fatal(err)
	}
}

func TestReassignment(t *testing.T) {
	m := newCluster(t, 5)
	id := create(t, m, 7, "orders", []int32{1, 2, 3}).ID
	first := part(m, id, 0)
	if err := reassign(t, m, id, 0, 4, 2, 5); err != nil {
		t.Fatal(err)
	}
	p := part(m, id, 0)
	if !slices.Equal(p.Replicas, []int32{1, 2, 3, 4, 5}) || !slices.Equal(p.Adding, []int32{4, 5}) || !slices.Equal(p.Removing, []int32{1, 3}) ||
		!slices.Equal(p.Original, []int32{1, 2, 3}) || !slices.Equal(p.Goal(), []int32{4, 2, 5}) || p.Directories[4] != uuid(5) {
		t.Fatalf("%+v", p)
	}
	if len(m.Image().PartitionsOf(5)) != 1 || len(m.Image().Reassignments()) != 1 {
		t.Fatal("lookups")
	}
	before := m.Image()
	if err := reassign(t, m, id, 0, 4, 2, 5); err != nil || len(Diff(before, m.Image()).Changed) != 0 {
		t.Fatal("asking twice is not asking once", err)
	}
	// New partitions have as many replicas as the topic is to have.
	grown, err := applyOne(t, m, CreatePartitions{MaxPartitions: 9, Topics: []NewPartitions{{ID: id, Current: 1, Assignment: [][]int32{{1, 2, 3}}}}})
	if err != nil || len(grown.Partitions) != 2 {
		t.Fatal(err)
	}
	replica := func(n byte) ReplicaID { return ReplicaID{int32(n), uuid(n)} }
	wants[*ReassignmentChangedError](t, complete(t, m, id, 0, replica(4), replica(2)))
	wants[*ReassignmentChangedError](t, complete(t, m, id, 0, replica(2), replica(4), replica(5)))
	wants[*ReassignmentChangedError](t, complete(t, m, id, 0, replica(4), replica(2), ReplicaID{5, uuid(9)}))
	wants[*UnknownPartitionError](t, complete(t, m, id, 2))
	wants[*UnknownTopicError](t, complete(t, m, uuid(9), 0))
	for range 2 { // the second one does nothing
		if err := complete(t, m, id, 0, replica(4), replica(2), replica(5)); err != nil {
			t.Fatal(err)
		}
	}
	p = part(m, id, 0)
	if !slices.Equal(p.Replicas, []int32{4, 2, 5}) || !slices.Equal(p.Directories, []UUID{uuid(4), uuid(2), uuid(5)}) || p.Reassigning() ||
		p.Adding != nil || p.Removing != nil || p.Leader != NoLeader || !slices.Equal(p.ISR, []int32{2}) || p.Initial != nil {
		t.Fatalf("%+v", p)
	}
	if p.IsInitial(replica(4)) || p.IsInitial(replica(1)) || !first.IsInitial(replica(1)) {
		t.Fatal("who bootstraps has changed")
	}
}

// A cancelled reassignment goes back, but replicas that may have joined leave only when the leader
// says that they have.
func TestCancelledReassignment(t *testing.T) {
	m := newCluster(t, 5)
	id := create(t, m, 7, "orders", []int32{1, 2, 3}).ID
	wants[*NoReassignmentError](t, reassign(t, m, id, 0))
	for _, target := range [][]int32{{4, 5, 1}, {4, 2}} { // the second one leaves 5 behind
		if err := reassign(t, m, id, 0, target...); err != nil {
			t.Fatal(err)
		}
	}
	if p := part(m, id, 0); !slices.Equal(p.Replicas, []int32{1, 2, 3, 4, 5}) || !slices.Equal(p.Removing, []int32{1, 3, 5}) || !slices.Equal(p.Adding, []int32{4}) {
		t.Fatalf("%+v", p)
	}
	for range 2 {
		if err := reassign(t, m, id, 0); err != nil {
			t.Fatal(err)
		}
		if p := part(m, id, 0); !slices.Equal(p.Goal(), []int32{1, 2, 3}) || p.Adding != nil || !slices.Equal(p.Removing, []int32{4, 5}) {
			t.Fatalf("%+v", p)
		}
	}
	_, err := apply(t, m, UnregisterBroker{ID: 5})
	wants[*BrokerInUseError](t, err)
	finish(t, m, id, 0)
	if p := part(m, id, 0); !slices.Equal(p.Replicas, []int32{1, 2, 3}) || p.Leader != 1 || len(p.ISR) != 3 {
		t.Fatalf("%+v", p)
	}
	mustApply(t, m, UnregisterBroker{ID: 5})
}

func TestReassignmentRefusals(t *testing.T) {
	m := newCluster(t, 3)
	id := create(t, m, 7, "orders", []int32{1, 2}).ID
	wants[*InvalidAssignmentError](t, reassign(t, m, id, 0, 1, 9))
	wants[*InvalidAssignmentError](t, reassign(t, m, id, 0, 1, 1))
	results := mustApply(t, m, AlterReassignments{Changes: []Reassignment{
		{ID: id, Target: []int32{}}, {ID: uuid(8), Target: []int32{1}}, {ID: id, Partition: 1, Target: []int32{1}}, {ID: id, Target: []int32{3}},
	}}).([]error)
	wants[*InvalidAssignmentError](t, results[0])
	wants[*UnknownTopicError](t, results[1])
	wants[*UnknownPartitionError](t, results[2])
	if p := part(m, id, 0); results[3] != nil || !p.Reassigning() {
		t.Fatal(results[3])
	}
}

func TestNewOrderIsInForceAtOnce(t *testing.T) {
	m := newCluster(t, 3)
	id := create(t, m, 7, "orders", []int32{1, 2, 3}).ID
	if err := reassign(t, m, id, 0, 3, 1, 2); err != nil {
		t.Fatal(err)
	}
	p := part(m, id, 0)
	if p.Reassigning() || !slices.Equal(p.Replicas, []int32{3, 1, 2}) || !slices.Equal(p.Directories, []UUID{uuid(3), uuid(1), uuid(2)}) || p.Leader != 1 {
		t.Fatalf("%+v", p)
	}
}

func TestFencing(t *testing.T) {
	m := newCluster(t, 3)
	epoch := func(id int32) BrokerEpoch {
		b, _ := m.Image().Broker(id)
		return BrokerEpoch{id, b.Epoch}
	}
	fence := func(b ...BrokerEpoch) []error { return mustApply(t, m, FenceBrokers{Brokers: b}).([]error) }
	results := fence(epoch(2), BrokerEpoch{3, 1}, BrokerEpoch{9, 1}, epoch(2))
	if results[0] != nil || results[3] != nil {
		t.Fatal(results)
	}
	if e := wants[*StaleBrokerEpochError](t, results[1]); e.Current != epoch(3).Epoch {
		t.Fatal(e)
	}
	wants[*UnknownBrokerError](t, results[2])
	fenced := func(id int32) bool { b, _ := m.Image().Broker(id); return b.Fenced }
	if !fenced(2) || fenced(3) || len(m.Image().UsableBrokers()) != 2 {
		t.Fatal("not exactly broker 2 is fenced")
	}
	_, err := apply(t, m, UnfenceBroker{ID: 2, Epoch: 1})
	wants[*StaleBrokerEpochError](t, err)
	mustApply(t, m, UnfenceBroker(epoch(2)))
	if fenced(2) {
		t.Fatal("still fenced")
	}
	_, err = apply(t, m, DrainBroker{ID: 9})
	wants[*UnknownBrokerError](t, err)
}

// A broker whose disk was wiped takes its id over once it is fenced; its replicas keep the old
// directory until somebody replaces it.
func TestNewIncarnation(t *testing.T) {
	m := newCluster(t, 3)
	id := create(t, m, 7, "orders", []int32{1, 2}).ID
	back := RegisterBroker{ID: 2, Directory: uuid(22), Endpoints: []Endpoint{{"PLAINTEXT", "h", 1}}}
	_, err := apply(t, m, back)
	wants[*BrokerIDTakenError](t, err)
	change := func(partition, node int32, old, new UUID) error {
		return mustApply(t, m, ReplaceDirectories{Changes: []DirectoryChange{{ID: id, Partition: partition, Node: node, Old: old, New: new}}}).([]error)[0]
	}
	wants[*DirectoryChangedError](t, change(0, 2, uuid(2), uuid(22))) // not registered yet
	b, _ := m.Image().Broker(2)
	mustApply(t, m, FenceBrokers{Brokers: []BrokerEpoch{{2, b.Epoch}}})
	now := mustApply(t, m, back).(*Broker)
	if now.Fenced || now.Epoch <= b.Epoch || now.Directory != uuid(22) {
		t.Fatalf("%+v", now)
	}
	if p := part(m, id, 0); p.Directories[1] != uuid(2) {
		t.Fatalf("%+v", p)
	}
	wants[*DirectoryChangedError](t, change(0, 2, uuid(5), uuid(22)))
	wants[*DirectoryChangedError](t, change(0, 2, uuid(2), uuid(23)))
	wants[*InvalidAssignmentError](t, change(0, 3, uuid(3), uuid(3)))
	wants[*UnknownPartitionError](t, change(1, 2, uuid(2), uuid(22)))
	for range 2 { // the second one does nothing
		if err := change(0, 2, uuid(2), uuid(22)); err != nil {
			t.Fatal(err)
		}
	}
	p := part(m, id, 0)
	if r, ok := p.Replica(2); !ok || r.Directory != uuid(22) || p.IsInitial(r) || p.IsInitial(ReplicaID{2, uuid(2)}) {
		t.Fatalf("%+v", p)
	}
	if _, ok := p.Replica(3); ok {
		t.Fatal("a replica too many")
	}
}
