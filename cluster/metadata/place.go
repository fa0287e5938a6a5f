package metadata

import (
	"encoding/binary"
	"slices"
)

// Place chooses the replicas of count new partitions among the usable brokers, the preferred
// leader first: leaders go to the brokers that lead least, the other replicas to racks the
// partition is not on yet and then to the brokers that hold least. Ties are broken by seed (the
// topic's id), so that topics made from the same image do not all begin on the same broker. Brokers to
// avoid are chosen only where there are not enough others. Errors are InvalidPartitionsError and
// InvalidReplicationFactorError.
func (im *Image) Place(seed UUID, count, factor int, avoid ...int32) ([][]int32, error) {
	if count < 1 {
		return nil, &InvalidPartitionsError{Reason: "at least one is needed"}
	}
	usable := im.UsableBrokers()
	if factor < 1 || factor > len(usable) {
		return nil, &InvalidReplicationFactorError{Factor: factor, Brokers: len(im.brokers), Usable: len(usable)}
	}
	others := slices.DeleteFunc(slices.Clone(usable), func(b *Broker) bool { return slices.Contains(avoid, b.ID) })
	if len(others) >= factor {
		usable = others
	}
	p := newPlacer(im, usable, binary.BigEndian.Uint64(seed[:8]))
	out := make([][]int32, count)
	for i := range out {
		out[i] = p.partition(factor)
	}
	return out, nil
}

// PlaceMoves chooses for each partition that is to stay on a broker another one to hold it
// instead, by the rules of Place, so that the broker can be unregistered once the reassignments
// are complete. The newcomer takes over the place in the order of replicas, preferred leadership
// included. Partitions that are leaving the broker already are not in the result; none at all
// gives nil. An InvalidReplicationFactorError says that a partition has more replicas than there
// are usable brokers beside this one.
func (im *Image) PlaceMoves(broker int32) ([]Reassignment, error) {
	usable := slices.DeleteFunc(im.UsableBrokers(), func(b *Broker) bool { return b.ID == broker })
	var p *placer
	var out []Reassignment
	for _, ref := range im.PartitionsOf(broker) {
		part := ref.Partition()
		goal := part.Goal()
		at := slices.Index(goal, broker)
		if at < 0 {
			continue
		}
		if p == nil {
			if len(usable) == 0 {
				return nil, &InvalidReplicationFactorError{Factor: len(goal), Brokers: len(im.brokers)}
			}
			p = newPlacer(im, usable, 0)
		}
		id, ok := p.replacement(goal, at)
		if !ok {
			return nil, &InvalidReplicationFactorError{Factor: len(goal), Brokers: len(im.brokers), Usable: len(usable)}
		}
		target := slices.Clone(goal)
		target[at] = id
		out = append(out, Reassignment{ID: ref.Topic.ID, Partition: ref.Index, Target: target})
	}
	return out, nil
}

// placer knows how loaded each of the brokers that it may choose is, by its place in brokers.
type placer struct {
	brokers  []*Broker
	racks    map[int32]string // of all registered brokers
	leaders  []int
	replicas []int
	start    int // where ties are broken from; moves on with every partition
}

func newPlacer(im *Image, brokers []*Broker, seed uint64) *placer {
	n := len(brokers)
	p := &placer{brokers: brokers, racks: make(map[int32]string, len(im.brokers)),
		leaders: make([]int, n), replicas: make([]int, n), start: int(seed % uint64(n))}
	for _, b := range im.brokers {
		p.racks[b.ID] = b.Rack
	}
	position := make(map[int32]int, n)
	for i, b := range brokers {
		position[b.ID] = i
	}
	for _, t := range im.byName {
		for _, part := range t.Partitions {
			for i, id := range part.Goal() {
				at, ok := position[id]
				if !ok {
					continue
				}
				p.replicas[at]++
				if i == 0 {
					p.leaders[at]++
				}
			}
		}
	}
	return p
}

// partition chooses all replicas of a new partition.
func (p *placer) partition(factor int) []int32 {
	ids := make([]int32, 0, factor)
	for len(ids) < factor {
		ids = append(ids, p.brokers[p.choose(ids, len(ids) == 0)].ID)
	}
	p.start = (p.start + 1) % len(p.brokers)
	return ids
}

// replacement chooses who takes the place of goal[at]; false when every broker holds a replica.
func (p *placer) replacement(goal []int32, at int) (id int32, ok bool) {
	others := slices.Delete(slices.Clone(goal), at, at+1)
	best := p.choose(others, at == 0)
	if best < 0 {
		return 0, false
	}
	p.start = (p.start + 1) % len(p.brokers)
	return p.brokers[best].ID, true
}

// choose returns the best broker, by its place, beside the chosen ones, and counts the replica on
// it; -1 when there is none.
func (p *placer) choose(chosen []int32, leads bool) int {
	best := -1
	for k := range p.brokers {
		i := (p.start + k) % len(p.brokers)
		if !slices.Contains(chosen, p.brokers[i].ID) && (best < 0 || p.better(i, best, chosen, leads)) {
			best = i
		}
	}
	if best >= 0 {
		p.replicas[best]++
		if leads {
			p.leaders[best]++
		}
	}
	return best
}

// better compares two candidates for the next replica of a partition that has chosen already.
func (p *placer) better(a, b int, chosen []int32, leads bool) bool {
	if ra, rb := p.onRack(a, chosen), p.onRack(b, chosen); ra != rb {
		return ra < rb
	}
	if leads && p.leaders[a] != p.leaders[b] {
		return p.leaders[a] < p.leaders[b]
	}
	if p.replicas[a] != p.replicas[b] {
		return p.replicas[a] < p.replicas[b]
	}
	return p.leaders[a] < p.leaders[b]
}

// onRack counts the chosen replicas on the rack of broker i; a broker without a rack is its own.
func (p *placer) onRack(i int, chosen []int32) int {
	n := 0
	for _, id := range chosen {
		if p.brokers[i].Rack != "" && p.racks[id] == p.brokers[i].Rack {
			n++
		}
	}
	return n
}
