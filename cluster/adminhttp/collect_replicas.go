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
		at := labelled(weirLogBytes, t.Name, id(i))
		s.of(at, weirLogBytes, float64(size))
		s.of(at, weirSegments, float64(p.Segments()))
		s.of(at, weirStart, float64(p.LogStartOffset()))
		s.of(at, weirHigh, float64(p.HighWatermark()))
		s.of(at, weirEnd, float64(p.LogEndOffset()))
		s.of(at, weirTerm, float64(p.LeaderEpoch()))
		s.of(at, weirLeading, oneIf(leading))
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
	at := labelled(kafkaCurrent, t.Name, id(i))
	s.of(at, kafkaCurrent, float64(p.HighWatermark()))
	s.of(at, kafkaOldest, float64(p.LogStartOffset()))
	s.of(at, kafkaLeader, float64(n.ID()))
	s.of(at, kafkaReplicas, float64(len(described.Replicas)))
	s.of(at, kafkaInSync, float64(len(l.ISR)))
	s.of(at, kafkaPreferred, oneIf(len(described.Replicas) > 0 && described.Replicas[0] == n.ID()))
	s.of(at, kafkaUnder, oneIf(under))
}
