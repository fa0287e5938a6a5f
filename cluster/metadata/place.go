package metadata

import (
	"encoding/binary"
	"slices"
)

// Place chooses the replicas of count new partitions, the preferred leader first: leaders go to
// the brokers that lead least, the other replicas to racks the partition is not on yet and then to
// the brokers that hold least. Ties are broken by seed (the topic's id), so that topics made from
// the same image do not all begin on the same broker. Errors are InvalidPartitionsError and
// InvalidReplicationFactorError.
func (im *Image) Place(seed UUID, count, factor int) ([][]int32, error) {
	if count < 1 {
		return nil, &InvalidPartitionsError{Reason: "at least one is needed"}
	}
	if factor < 1 || factor > len(im.brokers) {
		return nil, &InvalidReplicationFactorError{Factor: factor, Brokers: len(im.brokers)}
	}
	p := newPlacer(im, binary.BigEndian.Uint64(seed[:8]))
	out := make([][]int32, count)
	for i := range out {
		out[i] = p.partition(factor)
	}
	return out, nil
}

// placer knows how loaded each broker is, by its place in Image.brokers.
type placer struct {
	brokers  []*Broker
	leaders  []int
	replicas []int
	start    int // where ties are broken from; moves on with every partition
}

func newPlacer(im *Image, seed uint64) *placer {
	n := len(im.brokers)
	p := &placer{brokers: im.brokers, leaders: make([]int, n), replicas: make([]int, n), start: int(seed % uint64(n))}
	position := make(map[int32]int, n)
	for i, b := range im.brokers {
		position[b.ID] = i
	}
	for _, t := range im.byName {
		for _, part := range t.Partitions {
			for i, id := range part.Replicas {
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

func (p *placer) partition(factor int) []int32 {
	chosen := make([]int, 0, factor)
	ids := make([]int32, 0, factor)
	for len(chosen) < factor {
		best := -1
		for k := range p.brokers {
			i := (p.start + k) % len(p.brokers)
			if !slices.Contains(chosen, i) && (best < 0 || p.better(i, best, chosen)) {
				best = i
			}
		}
		if len(chosen) == 0 {
			p.leaders[best]++
		}
		p.replicas[best]++
		chosen = append(chosen, best)
		ids = append(ids, p.brokers[best].ID)
	}
	p.start = (p.start + 1) % len(p.brokers)
	return ids
}

// better compares two candidates for the next replica of a partition that has chosen already.
func (p *placer) better(a, b int, chosen []int) bool {
	if len(chosen) == 0 {
		if p.leaders[a] != p.leaders[b] {
			return p.leaders[a] < p.leaders[b]
		}
		return p.replicas[a] < p.replicas[b]
	}
	if ra, rb := p.onRack(a, chosen), p.onRack(b, chosen); ra != rb {
		return ra < rb
	}
	if p.replicas[a] != p.replicas[b] {
		return p.replicas[a] < p.replicas[b]
	}
	return p.leaders[a] < p.leaders[b]
}

// onRack counts the chosen replicas on the rack of broker i; a broker without a rack is its own.
func (p *placer) onRack(i int, chosen []int) int {
	n := 0
	for _, c := range chosen {
		if p.brokers[i].Rack != "" && p.brokers[c].Rack == p.brokers[i].Rack {
			n++
		}
	}
	return n
}
