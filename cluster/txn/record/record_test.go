package record

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/txn"
)

// snapshots are what is stored in each shape, and the bytes that Kafka's schema has for it.
var snapshots = []struct {
	snapshot txn.Snapshot
	want     string
}{
	{txn.Snapshot{Producer: txn.Producer{ID: 7, Epoch: 0}, Last: txn.NoProducer, NextID: txn.NoID, Timeout: time.Second, Started: -1, Updated: 9},
		"0001 0000000000000007 0000 000003e8 00 00 0000000000000009 ffffffffffffffff 00"},
	{txn.Snapshot{Producer: txn.Producer{ID: 7, Epoch: 3}, Last: txn.NoProducer, NextID: txn.NoID, State: txn.Ongoing, Version: 2, Timeout: time.Minute,
		Partitions: []txn.Partition{{Topic: "a", Index: 0}, {Topic: "a", Index: 2}, {Topic: "b", Index: 1}}, Started: 5, Updated: 9},
		"0001 0000000000000007 0003 0000ea60 01 03 0261 03 00000000 00000002 00 0262 02 00000001 00 0000000000000009 0000000000000005 01 02 02 0002"},
	{txn.Snapshot{Producer: txn.Producer{ID: 7, Epoch: 32767}, Last: txn.Producer{ID: 7, Epoch: 32766}, NextID: 8, State: txn.PrepareCommit, Version: 2,
		Timeout: time.Second, Partitions: []txn.Partition{{Topic: "a", Index: 1}}, Started: 5, Updated: 9},
		"0001 0000000000000007 7fff 000003e8 02 02 0261 02 00000001 00 0000000000000009 0000000000000005" +
			"04 00 08 0000000000000007 01 08 0000000000000008 02 02 0002 e807 02 7ffe"},
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFormat: bytes are those of Kafka's schemas, are read back, and say the same to a reader of Kafka's.
func TestFormat(t *testing.T) {
	key := Key("id")
	if want := unhex(t, "0000 0002 6964"); !bytes.Equal(key, want) {
		t.Errorf("key: got %x, want %x", key, want)
	}
	if id, err := ParseKey(key); id != "id" || err != nil {
		t.Errorf("key: got %q %v", id, err)
	}
	for _, x := range snapshots {
		value := Value(&x.snapshot)
		if want := unhex(t, x.want); !bytes.Equal(value, want) {
			t.Errorf("%+v:\ngot  %x\nwant %x", x.snapshot, value, want)
		}
		got, err := ParseValue(value)
		if err != nil || !reflect.DeepEqual(got, x.snapshot) {
			t.Errorf("got %+v %v, want %+v", got, err, x.snapshot)
		}
		var kafka kmsg.TxnMetadataValue
		if err := kafka.ReadFrom(value); err != nil || kafka.ProducerID != x.snapshot.Producer.ID || kafka.ProducerEpoch != x.snapshot.Producer.Epoch ||
			kafka.State.String() != x.snapshot.State.String() || kafka.NextProducerID != x.snapshot.NextID ||
			kafka.PreviousProducerID != x.snapshot.Last.ID || kafka.ClientTransactionVersion != x.snapshot.Version {
			t.Errorf("a reader of Kafka's has %+v %v, want %+v", kafka, err, x.snapshot)
		}
	}
}

// TestCutShort: every beginning of a record is an error, and so is one with more behind it.
func TestCutShort(t *testing.T) {
	key := Key("id")
	for n := range key {
		if _, err := ParseKey(key[:n]); err == nil {
			t.Errorf("%x is taken for a key", key[:n])
		}
	}
	for _, x := range snapshots {
		value := Value(&x.snapshot)
		for n := range value {
			if got, err := ParseValue(value[:n]); err == nil {
				t.Errorf("%x is taken for %+v", value[:n], got)
			}
		}
		if _, err := ParseValue(append(value, 0)); err == nil {
			t.Errorf("%x and a byte is taken for a value", value)
		}
	}
}

// TestRefused: what no coordinator writes is an error, and tags of others are skipped.
func TestRefused(t *testing.T) {
	if _, err := ParseKey(unhex(t, "0001 0002 6964")); err == nil {
		t.Error("a key of another version is read")
	}
	good := snapshots[1].snapshot
	for what, spoil := range map[string]func(*txn.Snapshot){
		"a negative id":           func(s *txn.Snapshot) { s.Producer.ID = -1 },
		"a negative epoch":        func(s *txn.Snapshot) { s.Producer.Epoch = -1 },
		"an epoch without a next": func(s *txn.Snapshot) { s.Producer.Epoch = 32767 },
		"Dead":                    func(s *txn.Snapshot) { s.State = txn.Dead },
		"no state":                func(s *txn.Snapshot) { s.State = -1 },
		"partitions while Empty":  func(s *txn.Snapshot) { s.State = txn.Empty },
		"partitions out of order": func(s *txn.Snapshot) { s.Partitions = []txn.Partition{{Topic: "b"}, {Topic: "a"}} },
		"a partition twice":       func(s *txn.Snapshot) { s.Partitions = []txn.Partition{{Topic: "b"}, {Topic: "b"}} },
	} {
		s := good
		spoil(&s)
		if _, err := ParseValue(Value(&s)); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	value := unhex(t, "0000 0000000000000007 0000 000003e8 00 00000000 0000000000000009 ffffffffffffffff")
	if _, err := ParseValue(value); err == nil {
		t.Error("a value of another version is read")
	}
	value = Value(&snapshots[0].snapshot)
	value = append(value[:len(value)-1], unhex(t, "01 63 01 ff")...)
	if got, err := ParseValue(value); err != nil || !reflect.DeepEqual(got, snapshots[0].snapshot) {
		t.Errorf("with a tag of others: got %+v %v", got, err)
	}
}

// FuzzParse: whatever is read can be written and is the same again.
func FuzzParse(f *testing.F) {
	for _, x := range snapshots {
		f.Add(Key("id"), Value(&x.snapshot))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if id, err := ParseKey(key); err == nil && !bytes.Equal(Key(id), key) {
			t.Errorf("%x is read, %x is written", key, Key(id))
		}
		s, err := ParseValue(value)
		if err != nil {
			return
		}
		again, err := ParseValue(Value(&s))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%+v is written, %+v is read: %v", s, again, err)
		}
	})
}
