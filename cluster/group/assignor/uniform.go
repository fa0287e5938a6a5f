package assignor

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
)

// Uniform gives members as many partitions each as their subscriptions allow, the difference being one
// at most where all subscribe to the same, and moves as few as that takes.
func Uniform(members []Member, topics map[TopicID]int32) map[string]Assignment {
	u := newUniform(members, topics)
	if u.alike() {
		u.trim()
	}
	u.fill()
	for u.balance() {
	}
	out := make(map[string]Assignment, len(u.shares))
	for _, s := range u.shares {
		out[s.ID] = Normal(s.has)
	}
	return out
}

// share is what a member gets.
type share struct {
	*Member
	has   Assignment
	count int
}

// uniform is one run of Uniform.
type uniform struct {
	topics      map[TopicID]int32
	ids         []TopicID // of topics with subscribers, in order
	subscribers map[TopicID][]*share
	shares      []*share            // by member id
	free        map[TopicID][]int32 // that nobody has yet, in order
	total       int
}

func newUniform(members []Member, topics map[TopicID]int32) *uniform {
	sorted := slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	u := &uniform{topics: topics, subscribers: make(map[TopicID][]*share), free: make(map[TopicID][]int32)}
	taken := make(map[TopicID][]bool)
	for i := range sorted {
		s := &share{Member: &sorted[i], has: make(Assignment)}
		u.shares = append(u.shares, s)
		for _, id := range s.Topics {
			if n := topics[id]; n > 0 {
				if taken[id] == nil {
					taken[id] = make([]bool, n)
					u.total += int(n)
				}
				u.subscribers[id] = append(u.subscribers[id], s)
				s.keep(id, taken[id])
			}
		}
	}
	u.ids = slices.SortedFunc(maps.Keys(u.subscribers), compareID)
	for _, id := range u.ids {
		for p, is := range taken[id] {
			if !is {
				u.free[id] = append(u.free[id], int32(p))
			}
		}
	}
	return u
}

// keep leaves a member what it had of a topic and nobody else has.
func (s *share) keep(id TopicID, taken []bool) {
	for _, p := range s.Owned[id] {
		if p >= 0 && int(p) < len(taken) && !taken[p] {
			taken[p] = true
			s.give(id, p)
		}
	}
}

func (s *share) give(id TopicID, p int32) {
	s.has[id] = append(s.has[id], p)
	s.count++
}

// take takes the last partition of a topic.
func (s *share) take(id TopicID) int32 {
	last := len(s.has[id]) - 1
	p := s.has[id][last]
	if s.has[id] = s.has[id][:last]; last == 0 {
		delete(s.has, id)
	}
	s.count--
	return p
}

// alike says that all subscribe to the same.
func (u *uniform) alike() bool {
	for _, who := range u.subscribers {
		if len(who) != len(u.shares) {
			return false
		}
	}
	return true
}

// trim takes from members that are alike what is above their quota; those that have most keep one more,
// where not all can have the same.
func (u *uniform) trim() {
	if len(u.shares) == 0 {
		return
	}
	quota, larger := u.total/len(u.shares), u.total%len(u.shares)
	byCount := slices.SortedStableFunc(slices.Values(u.shares), func(a, b *share) int { return cmp.Compare(b.count, a.count) })
	for i, s := range byCount {
		may := quota
		if i < larger {
			may++
		}
		for n := len(u.ids) - 1; n >= 0 && s.count > may; {
			id := u.ids[n]
			if len(s.has[id]) == 0 {
				n--
				continue
			}
			u.free[id] = append(u.free[id], s.take(id))
		}
	}
}

// fill gives what is free to who has least, topics with few subscribers first.
func (u *uniform) fill() {
	ids := slices.SortedStableFunc(slices.Values(u.ids), func(a, b TopicID) int {
		return cmp.Compare(len(u.subscribers[a]), len(u.subscribers[b]))
	})
	for _, id := range ids {
		if len(u.free[id]) == 0 {
			continue
		}
		slices.Sort(u.free[id])
		least := newLeastFirst(u.subscribers[id])
		for _, p := range u.free[id] {
			least[0].give(id, p)
			heap.Fix(least, 0)
		}
	}
	clear(u.free)
}

// balance moves partitions from who has more to who has less by two or more, topic by topic; false
// when there is no such move. Each makes the sum of the squares of all counts smaller, so it ends.
func (u *uniform) balance() (moved bool) {
	for _, id := range u.ids {
		who := u.subscribers[id]
		if !uneven(who) {
			continue
		}
		givers := slices.DeleteFunc(slices.Clone(who), func(s *share) bool { return len(s.has[id]) == 0 })
		least := newLeastFirst(who)
		for len(givers) > 0 {
			most := slices.MaxFunc(givers, func(a, b *share) int { return cmp.Compare(a.count, b.count) })
			if most.count <= least[0].count+1 {
				break
			}
			least[0].give(id, most.take(id))
			heap.Init(least)
			moved = true
			if len(most.has[id]) == 0 {
				givers = slices.DeleteFunc(givers, func(s *share) bool { return s == most })
			}
		}
	}
	return moved
}

// uneven says whether counts differ by two or more.
func uneven(who []*share) bool {
	least, most := who[0].count, who[0].count
	for _, s := range who {
		least, most = min(least, s.count), max(most, s.count)
	}
	return most > least+1
}
