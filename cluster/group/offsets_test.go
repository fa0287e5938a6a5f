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
	ofTopicA := func(tp TopicPartition, _ Commit) bool { return tp.Topic == "a" }
	if got := o.Select(ofTopicA); !reflect.DeepEqual(got, map[string][]TopicPartition{"g": {a0, a1}, "other": {a0}}) {
		t.Errorf("of topic a: got %v", got)
	}

	o.Delete("other", b0) // not there: nothing happens
	o.Delete("other", a0)
	if o.Has("other") || len(o.Groups()) != 1 {
		t.Error("a group without commits is still listed")
	}
	if o.Count() != 1 || o.Bytes() != 3*entryBytes+3+1 {
		t.Errorf("%d groups in %d bytes", o.Count(), o.Bytes())
	}
	for _, tp := range o.Partitions("g") {
		o.Delete("g", tp)
	}
	if o.Count() != 0 || o.Bytes() != 0 {
		t.Errorf("an empty table has %d groups in %d bytes", o.Count(), o.Bytes())
	}
}
