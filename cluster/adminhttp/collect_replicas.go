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
func (s sink) replicas(n *cluster.Node, each bool) {
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

func (s sink) replica(n *cluster.Node, t *cluster.Topic, i int32, each bool, all *totals) {
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
	if each {
		partition := id(i)
		s.gauge(weirLogBytes, float64(size), t.Name, partition)
		s.gauge(weirSegments, float64(p.Segments()), t.Name, partition)
		s.gauge(weirStart, float64(p.LogStartOffset()), t.Name, partition)
		s.gauge(weirHigh, float64(p.HighWatermark()), t.Name, partition)
		s.gauge(weirEnd, float64(p.LogEndOffset()), t.Name, partition)
		s.gauge(weirTerm, float64(p.LeaderEpoch()), t.Name, partition)
		s.gauge(weirLeading, oneIf(leading), t.Name, partition)
	}
	if leading {
		s.led(n, t, i, each, all)
	}
}

// led tells what only a partition's leader does.
func (s sink) led(n *cluster.Node, t *cluster.Topic, i int32, each bool, all *totals) {
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
	if !each {
		return
	}
	partition := id(i)
	s.gauge(kafkaCurrent, float64(p.HighWatermark()), t.Name, partition)
	s.gauge(kafkaOldest, float64(p.LogStartOffset()), t.Name, partition)
	s.gauge(kafkaLeader, float64(n.ID()), t.Name, partition)
	s.gauge(kafkaReplicas, float64(len(described.Replicas)), t.Name, partition)
	s.gauge(kafkaInSync, float64(len(l.ISR)), t.Name, partition)
	s.gauge(kafkaPreferred, oneIf(len(described.Replicas) > 0 && described.Replicas[0] == n.ID()), t.Name, partition)
	s.gauge(kafkaUnder, oneIf(under), t.Name, partition)
}
