package main

import (
	"fmt"
	"strings"
)

const promiseLeader = "leader's page cache"

func replicatedRows() []row {
	closed := []row{{load: loadRaw64, promise: promiseCached}, {load: loadRaw1024, promise: promiseCached}, {load: loadRawSynced, promise: promiseSynced}}
	var open []row
	for _, a := range acknowledgements() {
		closed = append(closed, row{load: loadClosed + a.name, promise: a.promise})
		open = append(open, row{load: loadShare + a.name, promise: a.promise})
	}
	out := measuredBy([]string{metricThroughput, metricCPU}, closed...)
	out = append(out, measuredBy([]string{metricThroughput, metricP50, metricP99, metricLag, metricCPU}, open...)...)
	out = append(out, measuredBy([]string{metricP50, metricP99, metricLag, metricCPU}, row{load: loadLatency, promise: promiseCached})...)
	return append(out, processRows()...)
}

// syncCost sets the two promises of acks=all beside each other, for each peer.
func (s *sitting) syncCost(b *strings.Builder) {
	fmt.Fprintf(b, "\n## What a sync before each acknowledgement costs\n\nPage cache → on disk, and the second as a multiple of the first.\n\n| load | metric |")
	for _, peer := range s.o.columns() {
		fmt.Fprintf(b, " %s |", titles[peer])
	}
	fmt.Fprintf(b, "\n|---|---|%s\n", strings.Repeat("--:|", len(s.o.columns())))
	all := acknowledgements()
	cached, synced := all[1].name, all[2].name
	for _, pair := range []struct {
		title, cached, synced string
		metrics               []string
	}{
		{loadRaw64, loadRaw64, loadRawSynced, []string{metricThroughput, metricCPU}},
		{"produce, full client", loadClosed + cached, loadClosed + synced, []string{metricThroughput, metricCPU}},
		{"produce at 20 % load", loadShare + cached, loadShare + synced, []string{metricP50, metricP99}},
	} {
		for _, m := range pair.metrics {
			fmt.Fprintf(b, "| %s | %s |", pair.title, m)
			for _, peer := range s.o.columns() {
				before, ok := s.median(row{load: pair.cached, metric: m}, peer)
				after, also := s.median(row{load: pair.synced, metric: m}, peer)
				fmt.Fprintf(b, " %s |", change(before, after, ok && also))
			}
			b.WriteString("\n")
		}
	}
}

func change(before, after float64, ok bool) string {
	if !ok {
		return absent
	}
	return fmt.Sprintf("%s → %s (%s)", number(before, true), number(after, true), quotient(after, before, true))
}

func (s *sitting) replicatedNotes(b *strings.Builder) {
	fmt.Fprintf(b, `
## What was run

- %[1]d brokers of each server, all on this machine, on one disk; topics of %[2]d partitions with %[1]d replicas and min.insync.replicas=%[3]d, each
  broker leading as many. CPU and memory are the sum over the brokers. Records of 1 KiB without keys.
- "Page cache": acks=all means in the page cache of the leader and of enough others to make %[3]d; "on disk": synced on as many. Weir answers when
  a majority has it, Kafka when all replicas in sync have it, at least %[3]d. "Leader's page cache" is acks=1.
- Prebuilt batches: %[4]d MiB of valid uncompressed batches over %[5]d connections, one to each leader, with 8 requests in flight each;
  answers are checked. The floor program gets the same frames, on connections to one of its processes.
  Kafka reads no request of a connection before the one before it is answered, so that it has one batch for each connection to replicate, where
  Weir has up to 8: that is how each serves such a client, and no measure of what more connections would get. The full client is.
- Full client: %[6]d records from 2 clients, franz-go with batches up to 256 KiB and a linger of 5 ms. It shares the %[7]d cores with the brokers.
- Each ack synced: %[8]d MiB.
- 20 %% load: %[9]d s of an open loop at a fifth of the records a second that the same peer took, in the same round, from the full client under the same
  promise; so a faster peer has more to do. Latency from the intended send time. Linger 0. How late the generator itself was is in the latency.
- Fixed rate: the same with acks=all at %[10]g records a second for every peer.
- Before the first measurement each server got %[11]d MiB both ways. The start lasts until every broker answers and knows all others. Memory is
  resident memory, what brokers share counted in each; for the peak since the start.

## What this does not prove

One machine, loopback, one disk: replicas take each other's CPU, and no network is in the way. No failure, no power loss; a few GiB, not days.
`, s.o.brokers, s.o.partitions, s.o.brokers/2+1, s.o.rawMiB, max(clients, s.o.brokers), s.o.records, s.env.Cores, s.o.syncMiB, s.o.seconds, s.o.rate, s.o.warmupMiB)
}
