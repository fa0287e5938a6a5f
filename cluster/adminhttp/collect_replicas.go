package adminhttp

import (
	"errors"

	"weir/cluster"
)

// totals are of all replicas on a broker.
type totals struct {
	partitions, led, under, underMin, offline int
	bytes                                     int64
}

// replicas tells of the partitions that have a replica here, and more of those that are led here.
func (s sink) replicas(n *cluster.Node, each partitions) {
	var all totals
	for _, t := range n.Topics() {
		for i := range int32(t.NumPartitions()) {
			s.replica(n, t, i, each, &all)
		}
	}
	s.gauge(weirPartitions, float64(all.partitions))
	s.gauge(weirLed, float64(all.led))
	s.gauge(weirUnder, float64(all.under))
	s.gauge(weirUnderMin, float64(all.underMin))
	s.gauge(weirOffline, float64(all.offline))
	s.gauge(weirLogTotal, float64(all.bytes))
}

func (s sink) replica(n *cluster.Node, t *cluster.Topic, i int32, each partitions, all *totals) {
	p, err := t.Replica(i)
	var offline *cluster.OfflineError
	if errors.As(err, &offline) {
		all.partitions++
		all.offline++
	}
	if err != nil {
		return // it is elsewhere
	}
	all.partitions++
	size := p.SizeBytes()
	all.bytes += size
	_, leading := p.Leading()
	if leading {
		all.led++
	}
	each.partition(t.Name, i)
	each.set(weirLogBytes, float64(size))
	each.set(weirSegments, float64(p.Segments()))
	each.set(weirStart, float64(p.LogStartOffset()))
	each.set(weirHigh, float64(p.HighWatermark()))
	each.set(weirEnd, float64(p.LogEndOffset()))
	each.set(weirTerm, float64(p.LeaderEpoch()))
	each.set(weirLeading, oneIf(leading))
	if leading {
		s.led(n, t, i, each, all)
	}
}

// led tells what only a partition's leader does.
func (s sink) led(n *cluster.Node, t *cluster.Topic, i int32, each partitions, all *totals) {
	described, ok := t.Described(i)
	p, err := t.Partition(i)
	if !ok || err != nil {
		return // not any more
	}
	l := n.Leadership(t, i)
	under := len(l.ISR) < len(described.Replicas)
	if under {
		all.under++
	}
	if len(l.ISR) < t.MinInsyncReplicas() {
		all.underMin++
	}
	each.set(kafkaCurrent, float64(p.HighWatermark()))
	each.set(kafkaOldest, float64(p.LogStartOffset()))
	each.set(kafkaLeader, float64(n.ID()))
	each.set(kafkaReplicas, float64(len(described.Replicas)))
	each.set(kafkaInSync, float64(len(l.ISR)))
	each.set(kafkaPreferred, oneIf(len(described.Replicas) > 0 && described.Replicas[0] == n.ID()))
	each.set(kafkaUnder, oneIf(under))
}
