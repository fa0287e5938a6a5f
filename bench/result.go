package bench

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what one run measured. Latencies are microseconds; MiB is 1,048,576 bytes.
type Result struct {
	Kind    string    `json:"kind"` // produce, consume, e2e, raw-produce, raw-consume
	Loop    string    `json:"loop"` // open or closed loop, in words
	Config  any       `json:"config"`
	Started time.Time `json:"started"`

	ElapsedSeconds   float64 `json:"elapsed_seconds"` // first send to last answer
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"` // keys and values, uncompressed; whole batches in a raw load
	Errors           int64   `json:"errors"`
	RecordsPerSecond float64 `json:"records_per_second"`
	MiBPerSecond     float64 `json:"mib_per_second"`

	LatencyOf string `json:"latency_of,omitempty"` // from what to what the latency runs
	Latency   Micros `json:"latency_micros"`
	// SendLag is how late the generator itself was against its schedule, open loop only. When it is
	// near the latency, the machine that made the load was the limit.
	SendLag *Micros `json:"send_lag_micros,omitempty"`

	Intervals   []Interval        `json:"intervals"`
	ErrorTexts  []string          `json:"error_texts,omitempty"` // the first few distinct ones
	Verify      *VerifyReport     `json:"verify,omitempty"`
	Broker      *ProcessUse       `json:"broker,omitempty"`
	Client      ProcessUse        `json:"client"`
	Floor       *FloorReport      `json:"floor,omitempty"`
	Guarantees  *GuaranteesReport `json:"guarantees,omitempty"`
	Environment Environment       `json:"environment"`
	NotProven   []string          `json:"not_proven"`
}

// OK reports whether the run had no errors and, when verified, no violations.
func (r *Result) OK() bool {
	return r.Errors == 0 && (r.Verify == nil || r.Verify.OK())
}

// Micros summarises a latency distribution in microseconds.
type Micros struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   int64   `json:"p50"`
	P90   int64   `json:"p90"`
	P95   int64   `json:"p95"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p99_9"`
	P9999 int64   `json:"p99_99"`
	Max   int64   `json:"max"`
}

func summarize(h *hdrhistogram.Histogram) Micros {
	if h.TotalCount() == 0 {
		return Micros{}
	}
	return Micros{
		Count: h.TotalCount(),
		Mean:  h.Mean(),
		P50:   h.ValueAtQuantile(50),
		P90:   h.ValueAtQuantile(90),
		P95:   h.ValueAtQuantile(95),
		P99:   h.ValueAtQuantile(99),
		P999:  h.ValueAtQuantile(99.9),
		P9999: h.ValueAtQuantile(99.99),
		Max:   h.Max(),
	}
}

// Interval is one second of a run, half-open: [FromSeconds, ToSeconds) from the start.
type Interval struct {
	FromSeconds      float64 `json:"from_seconds"`
	ToSeconds        float64 `json:"to_seconds"`
	Records          int64   `json:"records"`
	Errors           int64   `json:"errors"`
	RecordsPerSecond float64 `json:"records_per_second"`
	MiBPerSecond     float64 `json:"mib_per_second"`
	P50Micros        int64   `json:"p50_micros"`
	P99Micros        int64   `json:"p99_micros"`
	MaxMicros        int64   `json:"max_micros"`
}

func newInterval(from, to time.Duration, c counts, h *hdrhistogram.Histogram) Interval {
	i := Interval{
		FromSeconds:      from.Seconds(),
		ToSeconds:        to.Seconds(),
		Records:          c.records,
		Errors:           c.errors,
		RecordsPerSecond: perSecond(float64(c.records), to-from),
		MiBPerSecond:     perSecond(float64(c.bytes)/(1<<20), to-from),
	}
	if h.TotalCount() > 0 {
		i.P50Micros, i.P99Micros, i.MaxMicros = h.ValueAtQuantile(50), h.ValueAtQuantile(99), h.Max()
	}
	return i
}

func perSecond(n float64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return n / d.Seconds()
}

// fill takes over what the meter gathered; end is when the last answer came.
func (r *Result) fill(m *meter, end time.Time) {
	elapsed := end.Sub(m.start)
	r.Started = m.start.Round(time.Millisecond)
	r.ElapsedSeconds = elapsed.Seconds()
	r.Records, r.Bytes, r.Errors = m.sum.records, m.sum.bytes, m.sum.errors
	r.RecordsPerSecond = perSecond(float64(r.Records), elapsed)
	r.MiBPerSecond = perSecond(float64(r.Bytes)/(1<<20), elapsed)
	r.Latency = summarize(m.total)
	r.Intervals = m.intervals
	if lag := m.lag(); lag.TotalCount() > 0 {
		summary := summarize(lag)
		r.SendLag = &summary
	}
}

// ratio is a/b, NaN without a b: JSON cannot hold it, so callers keep ratios in pointers.
func ratio(a, b float64) *float64 {
	if b == 0 || math.IsNaN(a) || math.IsNaN(b) {
		return nil
	}
	r := a / b
	return &r
}
