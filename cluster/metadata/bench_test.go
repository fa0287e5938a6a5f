package metadata

import (
	"fmt"
	"testing"
)

func manyTopics(b *testing.B, topics int) *Machine {
	m := newCluster(b, 3)
	c := CreateTopics{MaxPartitions: 1 << 30}
	for i := range topics {
		c.Topics = append(c.Topics, NewTopic{Name: fmt.Sprintf("topic.%d", i), ID: UUID{1: byte(i >> 16), 2: byte(i >> 8), 3: byte(i)}, Assignment: [][]int32{{1}, {2}, {3}, {1}}})
		c.Topics[i].ID[0] = 1
	}
	mustApply(b, m, c)
	return m
}

func BenchmarkCreateAmong10000(b *testing.B) {
	im := manyTopics(b, 10_000).Image()
	c := newTopic(9, "one.more")
	c.MaxPartitions = 1 << 30
	b.ReportAllocs()
	for b.Loop() {
		next, _, err := im.Apply(im.Index()+1, c)
		if err != nil || len(next.Topics()) != 10_001 {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookupByName(b *testing.B) {
	im := manyTopics(b, 10_000).Image()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := im.Topic("topic.7777"); !ok {
			b.Fatal("missing")
		}
	}
}

func BenchmarkLookupByID(b *testing.B) {
	im := manyTopics(b, 10_000).Image()
	id := UUID{0: 1, 2: 7777 >> 8, 3: 7777 & 0xff}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := im.TopicByID(id); !ok {
			b.Fatal("missing")
		}
	}
}

func BenchmarkDiff10000(b *testing.B) {
	m := manyTopics(b, 10_000)
	old := m.Image()
	mustApply(b, m, SetClusterID{ID: "test-cluster"})
	for b.Loop() {
		if d := Diff(old, m.Image()); !d.Empty() {
			b.Fatal("differs")
		}
	}
}

func BenchmarkSnapshot10000(b *testing.B) {
	im := manyTopics(b, 10_000).Image()
	for b.Loop() {
		if _, err := DecodeImage(im.Encode()); err != nil {
			b.Fatal(err)
		}
	}
}
