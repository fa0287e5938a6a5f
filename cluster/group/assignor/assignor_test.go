package assignor

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func topicID(n int) TopicID { return TopicID{15: byte(n)} }

// draw makes members and topics at random; alike: all subscribe to all.
func draw(rng *rand.Rand, alike bool) (members []Member, topics map[TopicID]int32) {
	topics = make(map[TopicID]int32)
	for i := range 1 + rng.IntN(6) {
		topics[topicID(i)] = int32(rng.IntN(12))
	}
	for i := range 1 + rng.IntN(8) {
		m := Member{ID: fmt.Sprintf("m%d", i)}
		if rng.IntN(3) == 0 {
			m.Instance = fmt.Sprintf("i%d", i)
		}
		m.Topics = subscribe(rng, topics, alike)
		members = append(members, m)
	}
	return members, topics
}

func subscribe(rng *rand.Rand, topics map[TopicID]int32, alike bool) (ids []TopicID) {
	for _, id := range slices.SortedFunc(maps.Keys(topics), compareID) {
		if alike || rng.IntN(2) == 0 {
			ids = append(ids, id)
		}
	}
	return append(ids, topicID(200)) // which does not exist
}

// change has members come and go, and topics grow.
func change(rng *rand.Rand, members []Member, topics map[TopicID]int32, was map[string]Assignment, alike bool) []Member {
	members = slices.Clone(members)
	for i := range members {
		members[i].Owned = was[members[i].ID]
	}
	switch rng.IntN(4) {
	case 0:
		members = append(members, Member{ID: fmt.Sprintf("n%d", rng.IntN(1000)), Topics: subscribe(rng, topics, alike)})
	case 1:
		if len(members) > 1 {
			n := rng.IntN(len(members))
			members = slices.Delete(members, n, n+1)
		}
	case 2:
		topics[topicID(rng.IntN(6))] += int32(rng.IntN(4))
	case 3:
		if !alike {
			members[rng.IntN(len(members))].Topics = subscribe(rng, topics, false)
		}
	}
	if alike { // a topic may be new
		for i := range members {
			members[i].Topics = subscribe(rng, topics, true)
		}
	}
	return members
}

// complete wants every partition with a subscriber to be given to one of them, and nothing else.
func complete(t *testing.T, members []Member, topics map[TopicID]int32, got map[string]Assignment) {
	t.Helper()
	type partition struct {
		id TopicID
		p  int32
	}
	owner := make(map[partition]string)
	for _, m := range members {
		a, ok := got[m.ID]
		if !ok {
			t.Errorf("no answer for %s", m.ID)
		}
		for id, partitions := range a {
			if !slices.Contains(m.Topics, id) || !slices.IsSorted(partitions) || len(partitions) == 0 {
				t.Errorf("%s gets %v of %v", m.ID, partitions, id)
			}
			for _, p := range partitions {
				if other := owner[partition{id, p}]; other != "" || p < 0 || p >= topics[id] {
					t.Errorf("%s gets %d of %d, which has %d; %q has it", m.ID, p, id[15], topics[id], other)
				}
				owner[partition{id, p}] = m.ID
			}
		}
	}
	want := 0
	for id, who := range subscribersOf(members, topics) {
		if len(who) > 0 {
			want += int(topics[id])
		}
	}
	if len(owner) != want || len(got) != len(members) {
		t.Errorf("%d of %d partitions are given away, to %d of %d members", len(owner), want, len(got), len(members))
	}
}

// TestUniform: complete, balanced as far as subscriptions allow, and nothing moves without need, over
// generations of members and topics.
func TestUniform(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		alike := seed%2 == 0
		members, topics := draw(rng, alike)
		var was map[string]Assignment
		for range 8 {
			got := Uniform(members, topics)
			complete(t, members, topics, got)
			noBetterMove(t, members, got)
			if alike {
				fewestMoves(t, members, topics, got)
			}
			again := withOwned(members, got)
			if same := Uniform(again, topics); !maps.EqualFunc(same, got, Assignment.Equal) {
				t.Errorf("what is balanced has changed: %v, %v", got, same)
			}
			if t.Failed() {
				t.Fatalf("seed %d: %v of %v from %v", seed, got, topics, was)
			}
			was = got
			members = change(rng, members, topics, was, alike)
		}
	}
}

func withOwned(members []Member, owned map[string]Assignment) []Member {
	members = slices.Clone(members)
	for i := range members {
		members[i].Owned = owned[members[i].ID]
	}
	return members
}

// noBetterMove wants no partition to have a subscriber with two less than its owner.
func noBetterMove(t *testing.T, members []Member, got map[string]Assignment) {
	t.Helper()
	for _, m := range members {
		for id := range got[m.ID] {
			for _, other := range members {
				if slices.Contains(other.Topics, id) && got[other.ID].Count()+1 < got[m.ID].Count() {
					t.Errorf("%s has %d partitions, %s only %d", m.ID, got[m.ID].Count(), other.ID, got[other.ID].Count())
				}
			}
		}
	}
}

// fewestMoves wants members that are alike to lose only what is above their quota.
func fewestMoves(t *testing.T, members []Member, topics map[TopicID]int32, got map[string]Assignment) {
	t.Helper()
	total := 0
	for _, n := range topics {
		total += int(n)
	}
	quota, larger := total/len(members), total%len(members)
	var owned []int
	lost := 0
	taken := make(map[TopicID]map[int32]bool)
	for _, m := range slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) }) {
		mine := m.Owned.Where(func(id TopicID, p int32) bool {
			if taken[id] == nil {
				taken[id] = make(map[int32]bool)
			}
			was := taken[id][p]
			taken[id][p] = true
			return !was && p < topics[id]
		})
		owned = append(owned, mine.Count())
		lost += mine.Minus(got[m.ID]).Count()
	}
	slices.Sort(owned)
	slices.Reverse(owned)
	need := 0
	for i, n := range owned {
		may := quota
		if i < larger {
			may++
		}
		need += max(n-may, 0)
	}
	if lost != need {
		t.Errorf("%d partitions move, %d have to", lost, need)
	}
}

// TestRange: complete, in ranges that differ by one, the same ones of topics that are alike.
func TestRange(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		members, topics := draw(rng, seed%2 == 0)
		got := Range(members, topics)
		complete(t, members, topics, got)
		subscribers := subscribersOf(members, topics)
		for _, m := range members {
			for a, x := range got[m.ID] {
				if x[len(x)-1]-x[0] != int32(len(x)-1) {
					t.Errorf("%v is no range", x)
				}
				if each := int(topics[a]) / len(subscribers[a]); len(x) != each && len(x) != each+1 {
					t.Errorf("%s has %d of %d partitions, of %d members", m.ID, len(x), topics[a], len(subscribers[a]))
				}
				for b := range topics {
					if topics[a] == topics[b] && slices.Equal(subscribers[a], subscribers[b]) && !slices.Equal(x, got[m.ID][b]) {
						t.Errorf("%s has %v of one and %v of the other of two topics that are alike", m.ID, x, got[m.ID][b])
					}
				}
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, got)
		}
	}
}

// TestRangeOfInstances: a static member gets the same under another id.
func TestRangeOfInstances(t *testing.T) {
	topics := map[TopicID]int32{topicID(1): 7}
	members := []Member{{ID: "x", Topics: []TopicID{topicID(1)}}, {ID: "a", Instance: "z", Topics: []TopicID{topicID(1)}}}
	before := Range(members, topics)
	members[1].ID = "y"
	if after := Range(members, topics); !after["y"].Equal(before["a"]) || before["a"].Has(topicID(1), 6) {
		t.Errorf("%v became %v", before, after)
	}
}

// TestAssignment is the arithmetic of assignments.
func TestAssignment(t *testing.T) {
	one, two := topicID(1), topicID(2)
	a := Normal(Assignment{one: {3, 1, 3}, two: {}})
	b := Assignment{one: {1, 2}, two: {0}}
	for what, ok := range map[string]bool{
		"normal": a.Equal(Assignment{one: {1, 3}}), "and": a.And(b).Equal(Assignment{one: {1}}), "minus": a.Minus(b).Equal(Assignment{one: {3}}),
		"plus":   a.Plus(b).Equal(Assignment{one: {1, 2, 3}, two: {0}}) && Assignment(nil).Plus(a).Equal(a) && a.Equal(Assignment{one: {1, 3}}),
		"within": a.And(b).Within(a) && !a.Within(b) && Assignment(nil).Within(nil), "meets": a.Meets(b) && !a.Meets(a.Minus(a)),
		"count": b.Count() == 3, "topics": slices.Equal(b.Topics(), []TopicID{one, two}), "named": Named("uniform") != nil && Named("range") != nil && Named("x") == nil,
	} {
		if !ok {
			t.Errorf("%s: %v, %v", what, a, b)
		}
	}
}

// BenchmarkUniform has somebody join a group as large as any.
func BenchmarkUniform(b *testing.B) {
	topics := make(map[TopicID]int32)
	var ids []TopicID
	for i := range 200 {
		topics[topicID(i)] = 100
		ids = append(ids, topicID(i))
	}
	var members []Member
	for i := range 1000 {
		members = append(members, Member{ID: fmt.Sprint(i), Topics: ids})
	}
	members = withOwned(members, Uniform(members, topics))
	members = append(members, Member{ID: "new", Topics: ids})
	for b.Loop() {
		Uniform(members, topics)
	}
}
