package group

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// TestSubscription: what is no subscription is none, whatever it says of its length.
func TestSubscription(t *testing.T) {
	for _, x := range []struct {
		name     string
		metadata string
		topics   []string
		ok       bool
	}{
		{"version 0", "\x00\x00\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff", []string{"a", "bc"}, true},
		{"version 3, what follows is not looked at", "\x00\x03\x00\x00\x00\x01\x00\x01agarbage", []string{"a"}, true},
		{"no topics", "\x00\x01\x00\x00\x00\x00", nil, true},
		{"null topics", "\x00\x01\xff\xff\xff\xff", nil, true},
		{"nothing", "", nil, false},
		{"cut off", "\x00\x01\x00\x00\x00", nil, false},
		{"a negative version", "\xff\xff\x00\x00\x00\x00", nil, false},
		{"a negative count", "\x00\x01\xff\xff\xff\xfe", nil, false},
		{"two billion", "\x00\x01\x7f\xff\xff\xff\x00\x01a", nil, false},
		{"a topic beyond the end", "\x00\x01\x00\x00\x00\x01\x00\x02a", nil, false},
		{"fewer than announced", "\x00\x01\x00\x00\x00\x02\x00\x03abc", nil, false},
	} {
		g := Restore(&Limits{Size: 1, MaxSession: time.Minute}, Snapshot{ProtocolType: ConsumerType, Protocol: "range", Members: []SnapshotMember{
			{ID: "m", Subscription: []byte(x.metadata)},
		}}, time.Now())
		topics, known := g.Subscribed()
		if known != x.ok || !slices.Equal(slices.Sorted(maps.Keys(topics)), x.topics) {
			t.Errorf("%s: %v, %t", x.name, topics, known)
		}
	}
}

// TestRestoreAnything: a stored group that no broker has written is made sense of.
func TestRestoreAnything(t *testing.T) {
	now := time.Now()
	limits := &Limits{Size: 3, MinSession: time.Second, MaxSession: time.Minute}
	g := Restore(limits, Snapshot{Generation: -5, Leader: "nobody", Members: []SnapshotMember{
		{ID: "a", InstanceID: "i", Session: -time.Hour, Rebalance: -time.Hour},
		{ID: "a", InstanceID: "j"},
		{ID: "b", InstanceID: "i", Session: 1 << 62},
		{ID: "c", Session: 1 << 62, Rebalance: 1 << 62},
	}}, now)
	if g.State() != Stable || g.Generation() != 0 || len(g.members) != 2 || g.members[g.leader] == nil {
		t.Errorf("%+v", g.Describe())
	}
	if due := g.Deadline(); due.Before(now) || due.After(now.Add(time.Minute)) {
		t.Errorf("its first session ends at %v, now is %v", due, now)
	}
	g.Expire(now.Add(time.Hour))
	if g.State() != Empty || !g.Idle() || g.Bytes() != groupBytes {
		t.Errorf("nobody is left, %s with %d bytes", g.State(), g.Bytes())
	}
}
