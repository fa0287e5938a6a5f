package metadata

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

func everyCommand() []Command {
	return []Command{
		SetClusterID{ID: "c"},
		RegisterBroker{ID: math.MaxInt32, Directory: uuid(1), Rack: "r", Endpoints: []Endpoint{{"A", "h", 65535}, {"B", "::", 0}}},
		UnregisterBroker{ID: 0},
		CreateTopics{NowMillis: math.MinInt64, MaxPartitions: 9, Topics: []NewTopic{
			{Name: "n", ID: uuid(2), Assignment: [][]int32{{1, 2}, nil}, Configs: map[string]string{"b": "1", "a": ""}}, {}}},
		DeleteTopics{IDs: []UUID{uuid(1), uuid(2)}},
		CreatePartitions{MaxPartitions: 3, Topics: []NewPartitions{{ID: uuid(1), Current: 2, Assignment: [][]int32{{4}}}}},
		SetTopicConfigs{Changes: []TopicConfigs{{ID: uuid(1), Expected: AnyIndex, Values: map[string]string{"k": "v"}}, {}}},
		SetBrokerConfigs{Broker: AllBrokers, Expected: 7},
		AllocateProducerIDs{Broker: 1, Count: -1},
		AlterPartitions{Changes: []PartitionChange{{ID: uuid(1), Partition: 3, Leader: NoLeader, LeaderEpoch: math.MaxInt32, ISR: []int32{1}}}},
		RegisterBroker{ID: 2, Directory: uuid(1), Endpoints: []Endpoint{{"A", "h", 1}}, Internal: "10.0.0.1:9093"},
		FenceBrokers{Brokers: []BrokerEpoch{{ID: 1, Epoch: math.MaxUint64}, {}}},
		UnfenceBroker{ID: 1, Epoch: 300},
		DrainBroker{ID: 3, Drain: true},
		AlterReassignments{Changes: []Reassignment{{ID: uuid(1), Partition: 2, Target: []int32{3, 1}}, {Target: []int32{}}, {ID: uuid(2)}}},
		CompleteReassignment{ID: uuid(1), Partition: 2, Replicas: []ReplicaID{{3, uuid(3)}, {1, uuid(1)}}},
		ReplaceDirectories{Changes: []DirectoryChange{{ID: uuid(1), Partition: 2, Node: 1, Old: uuid(1), New: uuid(9)}, {}}},
		SetFeatures{Expected: 7, Levels: map[string]int16{"b": math.MaxInt16, "a": math.MinInt16}},
		SetGroupConfigs{Group: "g", Expected: AnyIndex, Values: map[string]string{"k": "v"}},
		AlterQuotas{Changes: []QuotaChange{
			{Entity: QuotaEntity{User: QuotaName{QuotaNamed, "u"}, ClientID: QuotaName{Kind: QuotaDefault}}, Values: map[string]float64{"b": 0, "a": 0.5}}, {}}},
		AddACLs{ACLs: []ACL{{2, 3, "orders", "User:u", "10.0.0.0/8", 3, 3}, {}}},
		RemoveACLs{ACLs: []ACL{{255, 255, "*", "User:*", "*", 255, 255}}},
	}
}

func TestCommandsComeBackEqual(t *testing.T) {
	kinds := map[byte]bool{}
	for _, c := range everyCommand() {
		b, err := EncodeCommand(c)
		if err != nil {
			t.Fatal(err)
		}
		kinds[b[1]] = true
		got, err := DecodeCommand(b)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%T: got %+v, %v, want %+v", c, got, err, c)
		}
		for n := range b {
			if _, err := DecodeCommand(b[:n]); err == nil {
				t.Errorf("%T cut at %d: taken", c, n)
			}
		}
		_, err = DecodeCommand(append(b, 0))
		wants[*CorruptError](t, err)
	}
	if len(kinds) != kindLast {
		t.Errorf("%d kinds are tested, there are %d", len(kinds), kindLast)
	}
}

func TestCommandsOfNewerVersions(t *testing.T) {
	_, err := DecodeCommand([]byte{commandVersion + 1, kindSetClusterID, 0})
	wants[*VersionError](t, err)
	_, err = DecodeCommand([]byte{commandVersion, kindLast + 1})
	wants[*VersionError](t, err)
	_, err = EncodeCommand(SetClusterID{ID: string(make([]byte, MaxCommandBytes))})
	wants[*LimitError](t, err)
}

// Bytes that are not what an encoder writes, one for each check of the decoder.
func TestMalformedCommands(t *testing.T) {
	for name, body := range map[string][]byte{
		"string longer than its bytes": {kindSetClusterID, 5, 'a'},
		"huge count":                   {kindDeleteTopics, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"varint without end":           {kindUnregisterBroker, 0x80},
		"varint too long":              {kindUnregisterBroker, 0x80, 0x00},
		"varint of 11 bytes":           append([]byte{kindUnregisterBroker}, bytes.Repeat([]byte{0xff}, 11)...),
		"number over 32 bits":          {kindUnregisterBroker, 0x80, 0x80, 0x80, 0x80, 0x20},
		"keys out of order":            {kindSetBrokerConfigs, 1, 0, 2, 1, 'b', 0, 1, 'a', 0},
		"level over 16 bits":           {kindSetFeatures, 0, 1, 1, 'f', 0x80, 0x80, 0x04},
		"negative quota":               {kindAlterQuotas, 1, 1, 0, 1, 1, 'q', 0xbf, 0xf0, 0, 0, 0, 0, 0, 0},
		"quota that is no number":      {kindAlterQuotas, 1, 1, 0, 1, 1, 'q', 0x7f, 0xf8, 0, 0, 0, 0, 0, 1},
		"quota cut short":              {kindAlterQuotas, 1, 1, 0, 1, 1, 'q', 0x3f},
		"ACL cut short":                {kindAddACLs, 1, 2, 3, 1, 't', 1, 'u', 1, '*', 3},
		"bool of 2":                    {kindDrainBroker, 2, 2},
		"internal address of nothing":  append(append([]byte{kindRegisterInternal, 2}, make([]byte, 16)...), 0, 0, 0),
		"key twice":                    {kindSetBrokerConfigs, 1, 0, 2, 1, 'a', 0, 1, 'a', 0},
	} {
		if c, err := DecodeCommand(append([]byte{commandVersion}, body...)); err == nil {
			t.Errorf("%s: %+v", name, c)
		} else {
			wants[*CorruptError](t, err)
		}
	}
}

// What the log of an older Weir holds still means the same.
func TestOldCommandsStillDecode(t *testing.T) {
	old := append([]byte{1, 2, 0x06}, bytes.Repeat([]byte{7}, 16)...)
	old = append(old, 1, 'r', 1, 1, 'P', 1, 'h', 0xac, 0x02)
	want := RegisterBroker{ID: 3, Directory: [16]byte(bytes.Repeat([]byte{7}, 16)), Rack: "r", Endpoints: []Endpoint{{"P", "h", 300}}}
	if got, err := DecodeCommand(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range everyCommand() {
		b, err := EncodeCommand(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	base := sample(f).Image()
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			return
		}
		again, err := EncodeCommand(c)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%+v has two encodings: % x and % x (%v)", c, b, again, err)
		}
		next, _, _ := base.Apply(base.Index()+1, c)
		if back, err := DecodeImage(next.Encode()); err != nil || !bytes.Equal(back.Encode(), next.Encode()) {
			t.Fatalf("%+v leads to an image that cannot be read again: %v", c, err)
		}
	})
}
