package group

import (
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestEmbedded: consumers' own formats are read as kmsg writes them, of every version, and written as it reads
// them; every beginning of one is none, but for a subscription that leaves out the owned partitions.
func TestEmbedded(t *testing.T) {
	for version := range int16(4) {
		m := kmsg.NewConsumerMemberMetadata()
		m.Version, m.Topics, m.UserData, m.Generation, m.Rack = version, []string{"a", "bc"}, []byte("user"), 7, kmsg.StringPtr("r")
		owned := kmsg.NewConsumerMemberMetadataOwnedPartition()
		owned.Topic, owned.Partitions = "bc", []int32{1, 5}
		m.OwnedPartitions = append(m.OwnedPartitions, owned)
		b := m.AppendTo(nil)
		s, ok := ParseSubscription(b)
		if !ok || s.Version != version || !slices.Equal(s.Topics, m.Topics) || !slices.Equal(s.Owned["bc"], []int32{1, 5}) != (version == 0) {
			t.Errorf("version %d: %+v, %t", version, s, ok)
		}
		if version == 1 {
			userEnd := 2 + 4 + 2 + len("a") + 2 + len("bc") + 4 + len("user")
			for n := range b {
				if s, ok := ParseSubscription(b[:n]); ok != (n == userEnd) || ok && (!slices.Equal(s.Topics, m.Topics) || len(s.Owned) > 0) {
					t.Errorf("%x is read as %+v, %t", b[:n], s, ok)
				}
			}
		}

		want := map[string][]int32{"a": {0}, "bc": {1, 5}}
		written := AppendAssignment(nil, version, want)
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(written); err != nil || a.Version != version || len(a.Topics) != 2 || !slices.Equal(a.Topics[1].Partitions, []int32{1, 5}) {
			t.Errorf("version %d: %+v, %v", version, a, err)
		}
		got, ok := ParseAssignment(a.AppendTo(nil))
		if !ok || !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("version %d: %v, %t", version, got, ok)
		}
		for n := 1; n < len(written)-4; n++ { // the user data are not looked at
			if got, ok := ParseAssignment(written[:n]); ok {
				t.Errorf("%x is read as %v", written[:n], got)
			}
		}
	}
	for _, bad := range []string{"\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff", "\x00\x01\x7f\xff\xff\xff", "\x00\x01\x00\x00\x00\x01\xff\xff"} {
		if s, ok := ParseSubscription([]byte(bad)); ok {
			t.Errorf("%x is read as %+v", bad, s)
		}
	}
	if got, ok := ParseAssignment(nil); !ok || len(got) != 0 {
		t.Errorf("nothing is read as %v, %t", got, ok)
	}
}
