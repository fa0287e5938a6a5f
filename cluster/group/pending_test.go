package group

import (
	"math"
	"math/rand/v2"
	"testing"
)

var (
	tpA = TopicPartition{"t", 0}
	tpB = TopicPartition{"t", 1}
)

func (p *Pending) check(t *testing.T) {
	t.Helper()
	bytes, groups, holders := int64(0), map[string]int{}, map[pendingKey]int{}
	for _, of := range p.byProducer {
		for k, x := range of {
			bytes += x.commit.bytes(k.tp)
			groups[k.group]++
			holders[k]++
		}
	}
	if bytes != p.bytes || len(groups) != len(p.groups) || len(holders) != len(p.holders) || p.Empty() != (len(holders) == 0) {
		t.Errorf("%d bytes, %d groups, %d partitions are counted; there are %d, %d, %d", p.bytes, len(p.groups), len(p.holders), bytes, len(groups), len(holders))
	}
}

// TestPending: what is below its marker ends with it; what has been committed since is not brought back.
func TestPending(t *testing.T) {
	p := NewPending()
	p.Set(1, "g", tpA, Commit{Offset: 5}, 10)
	p.Set(1, "g", tpB, Commit{Offset: 6}, 10)
	p.Set(1, "h", tpB, Commit{Offset: 7}, 14) // of the next transaction, before the marker has been heard of
	if !p.Has("g", tpA) || !p.HasGroup("h") || p.Has("h", tpA) || p.HasGroup("x") || !p.HasProducer(1) || p.HasProducer(2) {
		t.Error("what is pending is not known")
	}
	if p.Supersede("g", tpB, 10); !p.Has("g", tpB) {
		t.Error("what is newer was superseded")
	}
	p.Supersede("g", tpB, 11)
	p.check(t)
	if ended := p.End(2, 12); len(ended) != 0 {
		t.Errorf("another producer ends %v", ended)
	}
	if ended := p.End(1, 12); len(ended) != 1 || ended[0] != (PendingCommit{"g", tpA, Commit{Offset: 5}, 10}) {
		t.Errorf("ended are %v", ended)
	}
	p.check(t)
	if got := p.Partitions("h"); len(got) != 1 || got[0] != tpB || p.Partitions("g") != nil {
		t.Errorf("left are %v", got)
	}
	p.Set(3, "h", tpB, Commit{Offset: 8}, 15)
	if got := p.Commits("h", tpB); len(got) != 2 || p.Commits("g", tpB) != nil {
		t.Errorf("of one partition are pending %v", got)
	}
	if got := p.Select(func(_ string, _ TopicPartition, c Commit) bool { return c.Offset == 8 }); len(got) != 0 {
		t.Errorf("%v is picked, by one of its commits", got)
	}
	for name, tps := range p.Select(func(_ string, tp TopicPartition, _ Commit) bool { return tp == tpB }) {
		for _, tp := range tps {
			p.Supersede(name, tp, math.MaxInt64)
		}
	}
	if p.check(t); !p.Empty() || p.HasProducer(1) || p.Bytes() != 0 {
		t.Error("something is left")
	}
}

// TestPendingCounts: whatever comes in whatever order, the counts are those of what is there.
func TestPendingCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPending()
	names := []string{"g", "h"}
	tps := []TopicPartition{tpA, tpB}
	for i := range int64(3000) {
		producer, name, tp := r.Int64N(3), names[r.IntN(2)], tps[r.IntN(2)]
		switch r.IntN(4) {
		case 0, 1:
			p.Set(producer, name, tp, Commit{Offset: i, Metadata: "m"}, i)
		case 2:
			p.End(producer, r.Int64N(i+1))
		default:
			p.Supersede(name, tp, r.Int64N(i+1))
		}
		p.check(t)
	}
}
