package metadata

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var rewriteGolden = flag.Bool("rewrite", false, "write the golden files anew")

// sample is a machine with something of everything, the same in every run.
func sample(t testing.TB) *Machine {
	m := sample4(t)
	mustApply(t, m, AddACLs{ACLs: []ACL{
		{Resource: 2, Pattern: 4, Name: "orders.", Principal: "User:billing", Host: "10.0.0.0/8", Operation: 3, Permission: 3},
		{Resource: 2, Pattern: 3, Name: "*", Principal: "User:*", Host: "::1", Operation: 2, Permission: 2},
	}})
	return m
}

// sample4 holds what version 4 of the snapshot knew.
func sample4(t testing.TB) *Machine {
	m := sample3(t)
	mustApply(t, m, AlterQuotas{Changes: []QuotaChange{
		{Entity: QuotaEntity{ClientID: QuotaName{Kind: QuotaDefault}}, Values: map[string]float64{"producer_byte_rate": 1 << 20, "request_percentage": 12.5}},
		{Entity: QuotaEntity{User: QuotaName{QuotaNamed, "u"}, ClientID: QuotaName{QuotaNamed, "c"}}, Values: map[string]float64{"consumer_byte_rate": 1}},
	}})
	return m
}

// sample3 holds what version 3 of the snapshot knew.
func sample3(t testing.TB) *Machine {
	m := sample2(t)
	mustApply(t, m, SetFeatures{Levels: map[string]int16{GroupVersion: 0, "other.version": 300}})
	mustApply(t, m, SetGroupConfigs{Group: "b", Values: map[string]string{"consumer.session.timeout.ms": "45000"}})
	mustApply(t, m, SetGroupConfigs{Group: "a", Values: map[string]string{"k": "v"}})
	return m
}

// sample2 holds what version 2 of the snapshot knew.
func sample2(t testing.TB) *Machine {
	m := sample1(t)
	mustApply(t, m, RegisterBroker{ID: 4, Directory: uuid(4), Endpoints: []Endpoint{{"PLAINTEXT", "b4", 9092}}, Internal: "b4:9093"})
	mustApply(t, m, AlterReassignments{Changes: []Reassignment{{ID: uuid(9), Partition: 1, Target: []int32{2, 4}}}})
	mustApply(t, m, DrainBroker{ID: 3, Drain: true})
	b, _ := m.Image().Broker(1)
	mustApply(t, m, FenceBrokers{Brokers: []BrokerEpoch{{1, b.Epoch}}})
	mustApply(t, m, RegisterBroker{ID: 1, Directory: uuid(101), Endpoints: []Endpoint{{"PLAINTEXT", "b1", 9092}}, Internal: "b1:9093"})
	mustApply(t, m, ReplaceDirectories{Changes: []DirectoryChange{{ID: uuid(9), Partition: 0, Node: 1, Old: uuid(1), New: uuid(101)}}})
	b, _ = m.Image().Broker(1)
	mustApply(t, m, FenceBrokers{Brokers: []BrokerEpoch{{1, b.Epoch}}})
	return m
}

// sample1 holds what version 1 of the snapshot knew.
func sample1(t testing.TB) *Machine {
	m := newCluster(t, 3)
	mustApply(t, m, RegisterBroker{ID: 3, Directory: uuid(3), Rack: "north", Endpoints: []Endpoint{{"PLAINTEXT", "::1", 1}, {"HOST", "b3", 65535}}})
	create(t, m, 9, "orders", []int32{1, 2, 3}, []int32{2, 3, 1})
	c := newTopic(4, "a.b")
	c.Topics[0].Configs = map[string]string{"retention.ms": "-1", "cleanup.policy": "compact"}
	mustApply(t, m, c)
	mustApply(t, m, AlterPartitions{Changes: []PartitionChange{{ID: uuid(9), Partition: 1, Leader: NoLeader, LeaderEpoch: 300, ISR: []int32{3}}}})
	mustApply(t, m, SetBrokerConfigs{Broker: AllBrokers, Values: map[string]string{"num.partitions": "4"}})
	mustApply(t, m, SetBrokerConfigs{Broker: 2, Values: map[string]string{"max.connections": "5"}})
	mustApply(t, m, AllocateProducerIDs{Broker: 1, Count: 1000})
	return m
}

func TestGoldenSnapshot(t *testing.T) {
	const path = "testdata/snapshot-v5.bin"
	got := sample(t).Image().Encode()
	if *rewriteGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the encoding of snapshots has changed: old ones must stay readable, so take a new version number")
	}
	im, err := DecodeImage(want)
	if err != nil || !reflect.DeepEqual(im, sample(t).Image()) {
		t.Fatalf("golden snapshot reads as %+v, %v", im, err)
	}
}

// A snapshot of version 1 has the directories that could be meant only; one of version 2 has every feature at its default.
func TestGoldenSnapshotsOfOldVersions(t *testing.T) {
	for path, want := range map[string]*Machine{"testdata/snapshot-v1.bin": sample1(t), "testdata/snapshot-v2.bin": sample2(t), "testdata/snapshot-v3.bin": sample3(t),
		"testdata/snapshot-v4.bin": sample4(t)} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		im, err := DecodeImage(b)
		if err != nil || !reflect.DeepEqual(im, want.Image()) {
			t.Fatalf("%s reads as %+v, %v", path, im, err)
		}
		if got := im.FeatureLevel(GroupVersion); got != 1 && path < "testdata/snapshot-v3.bin" {
			t.Errorf("%s: level %d", path, got)
		}
	}
}

func TestDamagedSnapshots(t *testing.T) {
	b := sample(t).Image().Encode()
	for n := range b {
		if _, err := DecodeImage(b[:n]); err == nil {
			t.Fatalf("cut at %d: taken", n)
		}
		bent := bytes.Clone(b)
		bent[n] ^= 0x10
		if _, err := DecodeImage(bent); err == nil {
			t.Fatalf("flipped at %d: taken", n)
		}
	}
	newer := bytes.Clone(b)
	newer[len(snapshotMagic)] = snapshotVersion + 1
	_, err := DecodeImage(newer)
	wants[*VersionError](t, err)
	if _, err := ReadImage(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	_, err = ReadImage(bytes.NewReader(append(b, 0)))
	wants[*CorruptError](t, err)
}

// seal puts the frame of a snapshot around a body.
func seal(body []byte) []byte {
	b := append([]byte(snapshotMagic), snapshotVersion)
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// What passes the checksum is still not trusted: the orders that lookups rely on are checked.
func TestSnapshotsThatAreNotImages(t *testing.T) {
	bend := map[string]func(im *Image){
		"brokers":        func(im *Image) { im.brokers[0], im.brokers[1] = im.brokers[1], im.brokers[0] },
		"broker twice":   func(im *Image) { im.brokers[1] = im.brokers[0] },
		"topics":         func(im *Image) { im.byName[0], im.byName[1] = im.byName[1], im.byName[0] },
		"same id":        func(im *Image) { im.byName[0].ID = im.byName[1].ID },
		"same folded":    func(im *Image) { im.byName[1].Name = "a_b" },
		"illegal name":   func(im *Image) { im.byName[1].Name = "x/y" },
		"no partitions":  func(im *Image) { im.byName[1].Partitions = nil },
		"no replicas":    func(im *Image) { im.byName[1].Partitions[0].Replicas = nil },
		"half a target":  func(im *Image) { im.byName[1].Partitions[1].Original = nil },
		"strange target": func(im *Image) { im.byName[1].Partitions[1].Target = []int32{77} },
		"groups":         func(im *Image) { im.groupConfigs[0], im.groupConfigs[1] = im.groupConfigs[1], im.groupConfigs[0] },
		"group twice":    func(im *Image) { im.groupConfigs[1] = im.groupConfigs[0] },
		"nameless group": func(im *Image) { im.groupConfigs[0].Group = "" },
		"quotas":         func(im *Image) { slices.Reverse(im.quotas.Clients) },
		"quota twice":    func(im *Image) { im.quotas.Clients[1] = im.quotas.Clients[0] },
		"quota of all":   func(im *Image) { im.quotas.Clients[0].Entity = QuotaEntity{} },
		"quota of none":  func(im *Image) { im.quotas.Clients[0].Entity.ClientID = QuotaName{Kind: QuotaNamed} },
		"strange quota":  func(im *Image) { im.quotas.Clients[1].Entity.User.Kind = 3 },
		"no values":      func(im *Image) { im.quotas.Clients[1].Values = nil },
		"ACLs":           func(im *Image) { slices.Reverse(im.acls.ACLs) },
		"ACL twice":      func(im *Image) { im.acls.ACLs[1] = im.acls.ACLs[0] },
		"nameless ACL":   func(im *Image) { im.acls.ACLs[0].Name = "" },
		"config brokers": func(im *Image) { im.brokerConfigs = append(im.brokerConfigs, im.brokerConfigs[0]) },
	}
	for name, change := range bend {
		im, err := DecodeImage(sample(t).Image().Encode())
		if err != nil {
			t.Fatal(err)
		}
		change(im)
		if _, err := DecodeImage(im.Encode()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// randomCommand draws a command that is sometimes refused, over few names so that they meet.
func randomCommand(r *rand.Rand, im *Image) Command {
	id := func() UUID { return uuid(byte(1 + r.IntN(12))) }
	configs := map[string]string{fmt.Sprint("k", r.IntN(3)): fmt.Sprint(r.IntN(5))}
	expected := AnyIndex
	if r.IntN(3) == 0 {
		expected = uint64(r.IntN(int(im.Index()) + 1))
	}
	switch r.IntN(18) {
	case 0:
		return SetClusterID{ID: fmt.Sprint("cluster-", r.IntN(2))}
	case 1:
		b := int32(1 + r.IntN(4))
		return RegisterBroker{ID: b, Directory: uuid(byte(b) + byte(10*r.IntN(2))), Rack: fmt.Sprint(r.IntN(2)),
			Endpoints: []Endpoint{{"PLAINTEXT", "h", uint16(r.IntN(65536))}}, Internal: []string{"", "h:1"}[r.IntN(2)]}
	case 2:
		return UnregisterBroker{ID: int32(1 + r.IntN(4))}
	case 3, 4:
		c := CreateTopics{NowMillis: r.Int64(), MaxPartitions: 60}
		for range 1 + r.IntN(3) {
			topic := NewTopic{Name: fmt.Sprintf("t%c%d", "._-"[r.IntN(3)], r.IntN(5)), ID: id(), Configs: configs}
			topic.Assignment, _ = im.Place(topic.ID, 1+r.IntN(4), 1+r.IntN(3))
			c.Topics = append(c.Topics, topic)
		}
		return c
	case 5:
		return DeleteTopics{IDs: []UUID{id(), id()}}
	case 6:
		p := NewPartitions{ID: id(), Current: int32(1 + r.IntN(4))}
		p.Assignment, _ = im.Place(p.ID, 1+r.IntN(2), 1+r.IntN(2))
		return CreatePartitions{Topics: []NewPartitions{p}, MaxPartitions: 60}
	case 7:
		return SetTopicConfigs{Changes: []TopicConfigs{{ID: id(), Expected: expected, Values: configs}}}
	case 8:
		return SetBrokerConfigs{Broker: int32(r.IntN(5)) - 1, Expected: expected, Values: configs}
	case 9:
		return randomBrokerChange(r, im)
	case 10, 11, 12:
		return randomReassignment(r, im)
	case 14:
		return SetFeatures{Expected: expected, Levels: map[string]int16{fmt.Sprint("f", r.IntN(2)): int16(r.IntN(3) - 1)}}
	case 16:
		return randomQuotas(r)
	case 17:
		return randomACLs(r)
	case 15:
		c := SetGroupConfigs{Group: fmt.Sprint("g", r.IntN(4)), Expected: expected}
		if r.IntN(2) == 0 {
			c.Values = configs
		}
		return c
	}
	if r.IntN(2) == 0 {
		return AllocateProducerIDs{Broker: int32(1 + r.IntN(4)), Count: int32(r.IntN(100))}
	}
	return AlterPartitions{Changes: []PartitionChange{{ID: id(), Partition: int32(r.IntN(3)), Leader: int32(r.IntN(4)), LeaderEpoch: int32(r.IntN(9)), ISR: []int32{int32(1 + r.IntN(4))}}}}
}

func randomQuotas(r *rand.Rand) Command {
	name := func() QuotaName {
		n := QuotaName{Kind: QuotaNameKind(r.IntN(3))}
		if n.Kind == QuotaNamed {
			n.Name = fmt.Sprint("n", r.IntN(2))
		}
		return n
	}
	var c AlterQuotas
	for range 1 + r.IntN(3) {
		c.Changes = append(c.Changes, QuotaChange{Entity: QuotaEntity{User: name(), ClientID: name()},
			Values: map[string]float64{fmt.Sprint("q", r.IntN(2)): float64(r.IntN(3))}})
	}
	return c
}

func randomACLs(r *rand.Rand) Command {
	var acls []ACL
	for range 1 + r.IntN(3) {
		acls = append(acls, ACL{Resource: byte(r.IntN(2)), Pattern: byte(r.IntN(2)), Name: strings.Repeat("n", r.IntN(3)), Principal: "User:u", Host: "*", Operation: byte(r.IntN(2))})
	}
	if r.IntN(2) == 0 {
		return RemoveACLs{ACLs: acls}
	}
	return AddACLs{ACLs: acls}
}

func randomBrokerChange(r *rand.Rand, im *Image) Command {
	e := BrokerEpoch{ID: int32(1 + r.IntN(4)), Epoch: uint64(r.IntN(9))}
	if b, ok := im.Broker(e.ID); ok && r.IntN(4) > 0 {
		e.Epoch = b.Epoch
	}
	switch r.IntN(3) {
	case 0:
		return UnfenceBroker(e)
	case 1:
		return DrainBroker{ID: e.ID, Drain: r.IntN(2) == 0}
	}
	return FenceBrokers{Brokers: []BrokerEpoch{e}}
}

// randomReassignment begins, cancels, completes and replaces, mostly of what is there.
func randomReassignment(r *rand.Rand, im *Image) Command {
	if len(im.Topics()) == 0 {
		return AlterReassignments{Changes: []Reassignment{{ID: uuid(1)}}}
	}
	topic := im.Topics()[r.IntN(len(im.Topics()))]
	index := r.IntN(len(topic.Partitions))
	p := topic.Partitions[index]
	switch r.IntN(5) {
	case 0, 1:
		var target []int32
		for _, at := range r.Perm(4)[:r.IntN(4)] {
			target = append(target, int32(at+1))
		}
		return AlterReassignments{Changes: []Reassignment{{ID: topic.ID, Partition: int32(index), Target: target}}}
	case 2:
		node := p.Replicas[r.IntN(len(p.Replicas))]
		old, _ := p.Replica(node)
		return ReplaceDirectories{Changes: []DirectoryChange{{ID: topic.ID, Partition: int32(index), Node: node, Old: old.Directory, New: im.directory(node)}}}
	}
	c := CompleteReassignment{ID: topic.ID, Partition: int32(index)}
	for _, node := range p.Goal() {
		replica, _ := p.Replica(node)
		c.Replicas = append(c.Replicas, replica)
	}
	return c
}

// checkPartitions holds what every image must keep of its partitions.
func checkPartitions(t *testing.T, im *Image) {
	t.Helper()
	for _, topic := range im.Topics() {
		for i, p := range topic.Partitions {
			sound := len(p.Replicas) == len(p.Directories) && p.fault() == "" && len(p.Goal()) > 0 &&
				len(without(p.ISR, p.Replicas)) == 0 && (p.Leader == NoLeader || slices.Contains(p.Replicas, p.Leader)) &&
				p.Reassigning() == (len(p.Target) > 0) && (p.Reassigning() || p.Adding == nil && p.Removing == nil)
			for j, id := range p.Replicas {
				_, registered := im.Broker(id)
				sound = sound && registered && p.Directories[j] != UUID{} && !slices.Contains(p.Replicas[:j], id)
			}
			if !sound {
				t.Fatalf("partition %d of %s: %+v", i, topic.Name, p)
			}
		}
	}
}

// The same commands lead to the same image, also when a machine is restored from a snapshot in
// the middle; every refusal is the same; every diff leads from one image to the next.
func TestReplay(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		one, two := NewMachine(), NewMachine()
		for step := range 120 {
			c := randomCommand(r, one.Image())
			old := one.Image()
			result1, err1 := apply(t, one, c)
			result2, err2 := apply(t, two, c)
			if fmt.Sprint(err1) != fmt.Sprint(err2) || !reflect.DeepEqual(result1, result2) {
				t.Fatalf("seed %d step %d: %T gave %v, %v and %v, %v", seed, step, c, result1, err1, result2, err2)
			}
			checkDiff(t, old, one.Image())
			checkPartitions(t, one.Image())
			if r.IntN(20) == 0 {
				im, err := DecodeImage(two.Image().Encode())
				if err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
				two.Restore(im)
			}
		}
		if !bytes.Equal(one.Image().Encode(), two.Image().Encode()) {
			t.Fatalf("seed %d: images differ", seed)
		}
	}
}

// checkDiff applies the differences to the old set of topics and compares with the new one.
func checkDiff(t *testing.T, old, new *Image) {
	t.Helper()
	topics := map[UUID]*Topic{}
	for _, topic := range old.Topics() {
		topics[topic.ID] = topic
	}
	d := Diff(old, new)
	for _, topic := range d.Deleted {
		if topics[topic.ID] != topic {
			t.Fatal("deleted what was not there")
		}
		delete(topics, topic.ID)
	}
	for _, topic := range d.Created {
		if topics[topic.ID] != nil {
			t.Fatal("created what was there")
		}
		topics[topic.ID] = topic
	}
	for _, c := range d.Changed {
		if topics[c.Old.ID] != c.Old || c.Old.ID != c.New.ID {
			t.Fatal("changed what was not there")
		}
		topics[c.New.ID] = c.New
	}
	partitions := 0
	for _, topic := range new.Topics() {
		if topics[topic.ID] != topic {
			t.Fatal("a topic is missing from the diff")
		}
		partitions += len(topic.Partitions)
	}
	if len(topics) != len(new.Topics()) || partitions != new.PartitionCount() {
		t.Fatal("a deleted topic is missing from the diff, or partitions are miscounted")
	}
	if same := reflect.DeepEqual(old.brokers, new.brokers); same == d.Brokers {
		t.Fatal("brokers")
	}
	same := reflect.DeepEqual(old.clusterConfigs, new.clusterConfigs) && len(old.brokerConfigs) == len(new.brokerConfigs)
	if !same && !d.BrokerConfigs {
		t.Fatal("broker configurations")
	}
}

func FuzzDecodeImage(f *testing.F) {
	f.Add(sample(f).Image().Encode()[len(snapshotMagic)+1:])
	f.Add((&Image{}).Encode()[len(snapshotMagic)+1:])
	f.Fuzz(func(t *testing.T, body []byte) {
		im, err := DecodeImage(seal(body))
		if err != nil {
			return
		}
		if !bytes.Equal(im.Encode(), seal(body)) {
			t.Fatal("two encodings of one image")
		}
		for _, topic := range im.Topics() {
			byName, _ := im.Topic(topic.Name)
			byID, _ := im.TopicByID(topic.ID)
			if byName != topic || byID != topic {
				t.Fatal("a topic that cannot be found")
			}
		}
	})
}
