package record

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

// facts are one of each kind, and the bytes that Kafka's schemas have for them.
var facts = []struct {
	key       group.FactKey
	value     any
	wantKey   string
	wantValue string
}{
	{key: group.FactKey{Kind: group.FactGroup}, value: group.GroupFact{Epoch: 5},
		wantKey: "0003 0001 67", wantValue: "0000 00000005 00"},
	{key: group.FactKey{Kind: group.FactGroup}, value: group.GroupFact{Epoch: 5, Hash: 1<<63 + 2},
		wantKey: "0003 0001 67", wantValue: "0000 00000005 01 00 08 8000000000000002"},
	{key: group.FactKey{Kind: group.FactMember, Name: "m"},
		value: group.MemberFact{InstanceID: "i", Rack: "r", ClientID: "c", ClientHost: "/h", Topics: []string{"t"}, Regex: "x.*",
			Rebalance: time.Second, Assignor: "range"},
		wantKey: "0005 0001 67 0001 6d", wantValue: "0000 0269 0272 0263 032f68 02 0274 04782e2a 000003e8 0672616e6765 00"},
	{key: group.FactKey{Kind: group.FactMember, Name: "m"},
		value:   group.MemberFact{Topics: []string{}, Classic: &group.ClassicFact{Session: time.Second, Protocols: []group.Protocol{{Name: "p", Metadata: []byte{9}}}}},
		wantKey: "0005 0001 67 0001 6d", wantValue: "0000 00 00 01 01 01 00 00000000 00 01 00 0c 01 000003e8 02 0270 0209 00 00"},
	{key: group.FactKey{Kind: group.FactTarget}, value: group.TargetFact{Epoch: 4},
		wantKey: "0006 0001 67", wantValue: "0000 00000004 00"},
	{key: group.FactKey{Kind: group.FactTargetMember, Name: "m"}, value: assignor.Assignment{{15: 1}: {0, 2}},
		wantKey:   "0007 0001 67 0001 6d",
		wantValue: "0000 02 00000000000000000000000000000001 03 00000000 00000002 00 00"},
	{key: group.FactKey{Kind: group.FactCurrent, Name: "m"},
		value:     group.CurrentFact{Epoch: 4, Previous: 3, State: group.MemberUnrevoked, Assigned: assignor.Assignment{}, Revoking: assignor.Assignment{{15: 2}: {7}}},
		wantKey:   "0008 0001 67 0001 6d",
		wantValue: "0000 00000004 00000003 01 01 02 00000000000000000000000000000002 02 00000007 00 00"},
	{key: group.FactKey{Kind: group.FactPattern, Name: "x"}, value: group.PatternFact{Topics: []string{"xa", "xb"}, Timestamp: 1},
		wantKey: "0010 0001 67 0001 78", wantValue: "0000 03 037861 037862 0000000000000000 0000000000000001 00"},
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFormat: bytes are those of Kafka's schemas, and are read back.
func TestFormat(t *testing.T) {
	for _, f := range facts {
		key, value := Key("g", f.key), Value(f.value)
		if want := unhex(t, f.wantKey); !bytes.Equal(key, want) {
			t.Errorf("key of %v: got %x, want %x", f.key, key, want)
		}
		if want := unhex(t, f.wantValue); !bytes.Equal(value, want) {
			t.Errorf("value of %v: got %x, want %x", f.value, value, want)
		}
		name, k, err := ParseKey(key)
		if name != "g" || k != f.key || err != nil {
			t.Errorf("key of %v: got %q %v %v", f.key, name, k, err)
		}
		got, err := ParseValue(f.key.Kind, value)
		if err != nil || !reflect.DeepEqual(got, f.value) {
			t.Errorf("got %#v %v, want %#v", got, err, f.value)
		}
	}
	if Value(nil) != nil {
		t.Error("nil is not a tombstone")
	}
}

// TestCutShort: every beginning of a record is an error, and so is one with more behind it.
func TestCutShort(t *testing.T) {
	for _, f := range facts {
		key, value := Key("g", f.key), Value(f.value)
		for n := range key {
			if _, _, err := ParseKey(key[:n]); err == nil {
				t.Errorf("%x is taken for a key", key[:n])
			}
		}
		for n := range value {
			if got, err := ParseValue(f.key.Kind, value[:n]); err == nil {
				t.Errorf("%x is taken for %#v", value[:n], got)
			}
		}
		if _, err := ParseValue(f.key.Kind, append(value, 0)); err == nil {
			t.Errorf("%x and a byte is taken for a value", value)
		}
	}
}

// TestUnknown: other kinds and versions are refused, fields in tags are skipped.
func TestUnknown(t *testing.T) {
	if _, _, err := ParseKey(unhex(t, "0004 0001 67")); err == nil {
		t.Error("a key of another kind is read")
	}
	if _, err := ParseValue(group.FactTarget, unhex(t, "0001 00000004 00")); err == nil {
		t.Error("a value of another version is read")
	}
	if _, err := ParseValue(4, unhex(t, "0000")); err == nil {
		t.Error("a value of another kind is read")
	}
	got, err := ParseValue(group.FactTarget, unhex(t, "0000 00000004 02 05 01 ff 06 00"))
	if err != nil || got != (group.TargetFact{Epoch: 4}) {
		t.Errorf("got %v %v", got, err)
	}
}

// FuzzParse: whatever is read can be written and is the same again, and costs little.
func FuzzParse(f *testing.F) {
	for _, x := range facts {
		f.Add(Key("g", x.key), Value(x.value))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		name, k, err := ParseKey(key)
		if err != nil {
			return
		}
		if again := Key(name, k); !bytes.Equal(again, key) {
			t.Errorf("%x is read, %x is written", key, again)
		}
		fact, err := ParseValue(k.Kind, value)
		if err != nil {
			return
		}
		again, err := ParseValue(k.Kind, Value(fact))
		if err != nil || !reflect.DeepEqual(again, fact) {
			t.Errorf("%#v is written, %#v is read: %v", fact, again, err)
		}
	})
}
