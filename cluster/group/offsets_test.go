package group

import (
	"reflect"
	"testing"
)

func TestOffsets(t *testing.T) {
	o := NewOffsets()
	a0, a1, b0 := TopicPartition{"a", 0}, TopicPartition{"a", 1}, TopicPartition{"b", 0}
	if _, ok := o.Get("g", a0); ok || o.Has("g") {
		t.Fatal("an empty table has a commit")
	}
	o.Set("g", b0, Commit{Offset: 3})
	o.Set("g", a1, Commit{Offset: 1})
	o.Set("g", a0, Commit{Offset: 9})
	o.Set("g", a0, Commit{Offset: 2, LeaderEpoch: 4, Metadata: "m", Timestamp: 5}) // the last one counts, also when lower
	o.Set("other", a0, Commit{Offset: 7})

	if c, _ := o.Get("g", a0); c != (Commit{Offset: 2, LeaderEpoch: 4, Metadata: "m", Timestamp: 5}) {
		t.Errorf("got %+v", c)
	}
	if got := o.Partitions("g"); !reflect.DeepEqual(got, []TopicPartition{a0, a1, b0}) {
		t.Errorf("partitions: got %v", got)
	}
	if got := o.Groups(); !reflect.DeepEqual(got, []string{"g", "other"}) {
		t.Errorf("groups: got %v", got)
	}
	if got := o.OfTopic("a"); !reflect.DeepEqual(got, map[string][]TopicPartition{"g": {a0, a1}, "other": {a0}}) {
		t.Errorf("of topic a: got %v", got)
	}

	o.Delete("other", b0) // not there: nothing happens
	o.Delete("other", a0)
	if o.Has("other") || len(o.Groups()) != 1 {
		t.Error("a group without commits is still listed")
	}
}
