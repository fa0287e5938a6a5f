package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteText writes r for a reader: results first, what it does not prove last.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", r.Kind, r.Loop)
	fmt.Fprintf(&b, "  %s records, %s in %.2f s: %s msg/s, %.2f MiB/s", thousands(r.Records), byteSize(r.Bytes), r.ElapsedSeconds, thousands(int64(r.RecordsPerSecond+0.5)), r.MiBPerSecond)
	fmt.Fprintf(&b, ", %s errors\n", thousands(r.Errors))
	for _, e := range r.ErrorTexts {
		fmt.Fprintf(&b, "  error: %s\n", e)
	}
	if r.Latency.Count > 0 {
		fmt.Fprintf(&b, "  latency, %s:\n    %s\n", r.LatencyOf, r.Latency.text())
	}
	if r.SendLag != nil {
		fmt.Fprintf(&b, "  generator behind its schedule:\n    %s\n", r.SendLag.text())
	}
	if r.Verify != nil {
		r.Verify.writeText(&b)
	}
	if r.Broker != nil {
		fmt.Fprintf(&b, "  broker  %s\n", r.Broker.text())
	}
	fmt.Fprintf(&b, "  client  %s\n", r.Client.text())
	if r.Floor != nil {
		r.Floor.writeText(&b)
	}
	if r.Guarantees != nil {
		r.Guarantees.writeText(&b)
	}
	r.Environment.writeText(&b)
	if len(r.NotProven) > 0 {
		fmt.Fprintf(&b, "not proven by this run:\n")
		for _, s := range r.NotProven {
			fmt.Fprintf(&b, "  - %s\n", s)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes r as one indented JSON document.
func (r *Result) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (m Micros) text() string {
	return fmt.Sprintf("p50 %s  p90 %s  p99 %s  p99.9 %s  p99.99 %s  max %s  mean %s",
		micros(m.P50), micros(m.P90), micros(m.P99), micros(m.P999), micros(m.P9999), micros(m.Max), micros(int64(m.Mean+0.5)))
}

func progressLine(i Interval) string {
	line := fmt.Sprintf("%7.1f s  %s msg/s  %.2f MiB/s", i.ToSeconds, thousands(int64(i.RecordsPerSecond+0.5)), i.MiBPerSecond)
	if i.MaxMicros > 0 {
		line += fmt.Sprintf("  p50 %s  p99 %s  max %s", micros(i.P50Micros), micros(i.P99Micros), micros(i.MaxMicros))
	}
	if i.Errors > 0 {
		line += fmt.Sprintf("  %s errors", thousands(i.Errors))
	}
	return line + "\n"
}

// micros prints a latency with the unit that keeps three digits.
func micros(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d µs", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.2f ms", float64(n)/1e3)
	default:
		return fmt.Sprintf("%.2f s", float64(n)/1e6)
	}
}

func byteSize(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	}
}

func thousands(n int64) string {
	digits := fmt.Sprintf("%d", n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// WriteKafkaPerf writes r as Kafka's own tools do, so that scripts which read those keep working: the
// line of kafka-producer-perf-test for a load with latencies, header and line of
// kafka-consumer-perf-test for a consume load. "MB" is MiB there.
func (r *Result) WriteKafkaPerf(w io.Writer) error {
	if r.Kind == kindConsume || r.Kind == kindRawConsume {
		return r.writeKafkaConsumerPerf(w)
	}
	millis := func(us int64) int64 { return us / 1000 }
	_, err := fmt.Fprintf(w, "%d records sent, %f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, %d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.\n",
		r.Records, r.RecordsPerSecond, r.MiBPerSecond, r.Latency.Mean/1000, float64(millis(r.Latency.Max)),
		millis(r.Latency.P50), millis(r.Latency.P95), millis(r.Latency.P99), millis(r.Latency.P999))
	return err
}

func (r *Result) writeKafkaConsumerPerf(w io.Writer) error {
	// Go's own layouts take milliseconds only behind a point or a comma.
	stamp := func(t time.Time) string {
		return fmt.Sprintf("%s:%03d", t.Format(time.DateTime), t.Nanosecond()/1_000_000)
	}
	elapsed := time.Duration(r.ElapsedSeconds * float64(time.Second))
	end := r.Started.Add(elapsed)
	mib := float64(r.Bytes) / (1 << 20)
	// Without a group there is no rebalance: its time is 0 and the fetch time is the whole run.
	_, err := fmt.Fprintf(w, "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n%s, %s, %.4f, %.4f, %d, %.4f, %d, %d, %.4f, %.4f\n",
		stamp(r.Started), stamp(end), mib, r.MiBPerSecond, r.Records, r.RecordsPerSecond,
		0, elapsed.Milliseconds(), r.MiBPerSecond, r.RecordsPerSecond)
	return err
}
