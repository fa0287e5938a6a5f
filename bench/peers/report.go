package main

import (
	"fmt"
	"slices"
	"strings"

	"weir/bench"
)

// row is one line of the table: a load and a metric, and who it is compared with. alternative is a
// second load of NATS that does the same by another way: the better of the two is compared.
type row struct {
	load        string
	metric      string
	promise     string
	alternative string
}

const (
	promiseCached = "page cache"
	promiseSynced = "on disk"
)

func rows() []row {
	out := measuredBy([]string{metricThroughput, metricCPU},
		row{load: loadRaw64, promise: promiseCached},
		row{load: loadRaw1024, promise: promiseCached},
		row{load: loadRawConsume, promise: "reads"},
		row{load: loadClient, promise: promiseCached, alternative: loadNATSFast},
		row{load: loadClientConsume, promise: "reads"},
		row{load: loadRawSynced, promise: promiseSynced},
		row{load: loadNATSSynced, promise: promiseSynced})
	out = append(out, measuredBy([]string{metricP50, metricP99, metricCPU}, row{load: loadLatency, promise: promiseCached})...)
	return append(out, processRows()...)
}

func processRows() []row {
	return measuredBy([]string{metricStart, metricIdle, metricPeak, metricPeakAnon}, row{load: loadProcess, promise: absent})
}

// measuredBy returns each load's row once for each metric.
func measuredBy(metrics []string, loads ...row) []row {
	var out []row
	for _, l := range loads {
		for _, l.metric = range metrics {
			out = append(out, l)
		}
	}
	return out
}

// median returns a peer's median of r, or of its alternative when that is better.
func (s *sitting) median(r row, peer string) (float64, bool) {
	values := s.samples[sampleKey{r.load, peer, r.metric}]
	value := bench.Median(values)
	other := s.samples[sampleKey{r.alternative, peer, r.metric}]
	if len(other) > 0 {
		o := bench.Median(other)
		if len(values) == 0 || (r.metric == metricThroughput) == (o > value) {
			value, values = o, other
		}
	}
	return value, len(values) > 0
}

// markdown writes the whole report.
func (s *sitting) markdown(peers []peer) string {
	var b strings.Builder
	title := "Weir beside its peers"
	if s.o.brokers > 1 {
		title += fmt.Sprintf(", %d brokers each", s.o.brokers)
	}
	fmt.Fprintf(&b, "# %s\n\nWritten by `make bench-peers`; do not edit. %s, one sitting of %d rounds, servers in turn, medians.\n\n", title, s.started.UTC().Format("2006-01-02 15:04 MST"), s.o.rounds)
	fmt.Fprintf(&b, "    go run ./bench/peers%s\n\n", flags(s.args))
	e := s.env
	fmt.Fprintf(&b, "%s, %d cores, %s of memory, %s, %s; %s. Load and server share the machine and its loopback device.\n\n", e.CPU, e.Cores, gib(e.Memory), e.Kernel, e.Go, e.Client)
	fmt.Fprintf(&b, "| server | version | settings |\n|---|---|---|\n")
	for _, p := range peers {
		version, settings := p.describe()
		fmt.Fprintf(&b, "| %s | %s | %s |\n", p.name(), version, settings)
	}
	if s.o.brokers > 1 {
		s.table(&b, replicatedRows())
		s.syncCost(&b)
		s.replicatedNotes(&b)
	} else {
		s.table(&b, rows())
		s.notes(&b)
	}
	s.everyRound(&b)
	return b.String()
}

func flags(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return " " + strings.Join(args, " ")
}

func gib(n int64) string { return fmt.Sprintf("%.0f GiB", float64(n)/(1<<30)) }

// titles of columns.
var titles = map[string]string{nameWeir: "Weir", nameFloor: "floor", nameKafka: "Kafka", nameNATS: "NATS"}

func (s *sitting) table(b *strings.Builder, rows []row) {
	columns := s.o.columns()
	var names, ratios []string
	for _, peer := range columns {
		names = append(names, titles[peer])
		if peer != nameWeir {
			ratios = append(ratios, titles[nameWeir]+" / "+titles[peer])
		}
	}
	fmt.Fprintf(b, "\n## Medians and ratios\n\nA ratio is Weir's median divided by the other's: above 1 is better for throughput, below 1 for all else.\n\n")
	fmt.Fprintf(b, "| load | promise | metric | %s | %s |\n|---|---|---|%s\n", strings.Join(names, " | "), strings.Join(ratios, " | "), strings.Repeat("--:|", len(names)+len(ratios)))
	for _, r := range rows {
		var cells, against []string
		mine, have := s.median(r, nameWeir)
		for _, peer := range columns {
			value, ok := s.median(r, peer)
			cells = append(cells, number(value, ok))
			if peer != nameWeir {
				against = append(against, quotient(mine, value, have && ok))
			}
		}
		if slices.ContainsFunc(cells, func(c string) bool { return c != absent }) {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", r.load, r.promise, r.metric, strings.Join(cells, " | "), strings.Join(against, " | "))
		}
	}
}

const absent = "—"

func number(v float64, ok bool) string {
	switch {
	case !ok:
		return absent
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

func quotient(a, b float64, ok bool) string {
	if !ok || b == 0 {
		return absent
	}
	return fmt.Sprintf("**%.2f**", a/b)
}

func (s *sitting) notes(b *strings.Builder) {
	fmt.Fprintf(b, `
## What was run

- Records of 1 KiB without keys, %[1]d clients, topics of %[2]d partitions, 1 replica, acks=all. "Page cache" and "on disk" say what an
  acknowledgement promised; a load compares servers under the same promise only.
- Prebuilt batches: %[3]d MiB of valid uncompressed batches over %[1]d connections with 8 requests in flight each; answers are
  checked. The floor program gets the same frames. Consumers read what was just written, from the page cache.
- Full client: %[4]d records, franz-go with batches up to 256 KiB and a linger of 5 ms; for NATS its own bench with as many
  messages (async, fast batches when they were better; ordered consumer, 1 client). It takes more CPU than the server and shares
  its %[5]d cores, so throughput there is that of client and server together.
- Each ack synced: %[6]d MiB; NATS gets a 64th of the messages, because it syncs each one.
- Fixed rate: %[7]g records a second for %[8]d s in an open loop; latency from the intended send time. Linger 0.
- Before the first measurement each server got %[9]d MiB both ways. Memory is resident memory; for the peak since the start.

## What this does not prove

One machine, loopback, one replica; nobody read from the disk; no failure, no power loss; a few GiB, not days.
`, clients, s.o.partitions, s.o.rawMiB, s.o.records, s.env.Cores, s.o.syncMiB, s.o.rate, s.o.seconds, s.o.warmupMiB)
}

// everyRound lists the single values, so that spread can be seen.
func (s *sitting) everyRound(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Every round\n\n| load | metric | server | values |\n|---|---|---|---|\n")
	keys := make([]sampleKey, 0, len(s.samples))
	for k := range s.samples {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y sampleKey) int {
		return strings.Compare(x.load+"|"+x.metric+"|"+x.peer, y.load+"|"+y.metric+"|"+y.peer)
	})
	for _, k := range keys {
		var values []string
		for _, v := range s.samples[k] {
			values = append(values, number(v, true))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", k.load, k.metric, k.peer, strings.Join(values, " "))
	}
}
