package adminhttp

import (
	"errors"

	"weir/cluster"
)

// totals are of all replicas on a broker.
type totals struct {
	partitions, led, under, underMin, offline int
	bytes                                     int64
	compaction                                cluster.Compaction
	compacting, uncleanable                   int
	dirty                                     int64
	dirtyRatio                                float64
}

// replicas tells of the partitions that have a replica here, and more of those that are led here.
func (s sink) replicas(n *cluster.Node, each partitions) {
	all := totals{compaction: n.Compaction()}
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
	s.compaction(&all)
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
	if of, known := all.compaction.Of[p]; known {
		all.compacted(of, each)
	}
	if leading {
		s.led(n, t, i, each, all)
	}
}

// compacted tells of a replica of a compacted topic.
func (all *totals) compacted(of cluster.PartitionCompaction, each partitions) {
	all.dirty += of.Dirty
	if of.Dirty > 0 {
		all.dirtyRatio = max(all.dirtyRatio, float64(of.Dirty)/float64(of.Clean+of.Dirty))
	}
	if of.Failed {
		all.uncleanable++
	}
	each.set(weirDirtyOf, float64(of.Dirty))
	if of.Running {
		all.compacting++
		each.set(weirPlannedOf, float64(of.Planned))
		each.set(weirReadOf, float64(of.Read))
	}
}

func (s sink) compaction(all *totals) {
	c := all.compaction
	s.counter(weirPasses, c.Passes)
	s.counter(weirPassesFailed, c.Failures)
	s.counter(weirPassesRead, c.Read)
	s.counter(weirPassesWrote, c.Written)
	s.counter(weirPassesRemoved, c.Removed)
	s.seconds(weirPassesTime, c.Time)
	s.seconds(weirPassesWaited, c.Throttled)
	s.gauge(weirPassesRunning, float64(all.compacting))
	s.gauge(weirDirty, float64(all.dirty))
	s.gauge(weirDirtyRatio, all.dirtyRatio)
	s.gauge(weirUncleanable, float64(all.uncleanable))
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
