package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatencyMicros is the largest latency told apart, one hour; what is longer counts as this.
const maxLatencyMicros = int64(time.Hour / time.Microsecond)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatencyMicros, 3) }

// counts is what a load did in some span of time. Bytes are those of keys and values, uncompressed,
// or of whole batches in a raw load.
type counts struct {
	records int64
	bytes   int64
	errors  int64
}

func (c *counts) add(o counts) {
	c.records += o.records
	c.bytes += o.bytes
	c.errors += o.errors
}

// recorder takes the measurements of one sender or receiver. Its lock is taken by that one and, once
// a second, by the meter.
type recorder struct {
	mu      sync.Mutex // guards all below
	span    counts
	latency *hdrhistogram.Histogram // since the meter last looked
	lag     *hdrhistogram.Histogram // how late the generator itself sent, whole run
}

// answered counts one answer about records, with its one latency.
func (r *recorder) answered(records, bytes int64, latency time.Duration) {
	r.mu.Lock()
	r.span.records += records
	r.span.bytes += bytes
	recordMicros(r.latency, latency)
	r.mu.Unlock()
}

// count is answered without a latency.
func (r *recorder) count(records, bytes int64) {
	r.mu.Lock()
	r.span.records += records
	r.span.bytes += bytes
	r.mu.Unlock()
}

func (r *recorder) failed(records int64) {
	r.mu.Lock()
	r.span.errors += records
	r.mu.Unlock()
}

func (r *recorder) sentLate(by time.Duration) {
	r.mu.Lock()
	recordMicros(r.lag, by)
	r.mu.Unlock()
}

func recordMicros(h *hdrhistogram.Histogram, d time.Duration) {
	micros := min(max(d.Microseconds(), 0), maxLatencyMicros)
	// A value within the histogram's range is always taken.
	_ = h.RecordValue(micros)
}

// meter gathers the recorders once a second, keeps the per-second series and reports progress.
type meter struct {
	out       Output
	recorders []*recorder
	start     time.Time
	total     *hdrhistogram.Histogram
	sum       counts
	intervals []Interval
	last      time.Time // end of the newest interval
	printed   time.Time
	pending   counts // since the last progress line
	pendingH  *hdrhistogram.Histogram
	log       *hdrLog
	done      chan struct{}
	cancel    context.CancelFunc
}

func newMeter(out Output, senders int) (*meter, error) {
	m := &meter{out: out, total: newHistogram(), pendingH: newHistogram()}
	for range senders {
		m.recorders = append(m.recorders, &recorder{latency: newHistogram(), lag: newHistogram()})
	}
	if out.HDRLogPath != "" {
		log, err := createHDRLog(out.HDRLogPath)
		if err != nil {
			return nil, err
		}
		m.log = log
	}
	return m, nil
}

// run starts the clock and the reporting goroutine; stop ends both.
func (m *meter) run(start time.Time) {
	m.start, m.last, m.printed = start, start, start
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan struct{})
	if m.log != nil {
		m.log.begin(start)
	}
	go func() {
		defer close(m.done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				m.collect(now)
				m.report(now)
			case <-ctx.Done():
				return
			}
		}
	}()
}

// stop ends the run at end, which is when the last answer came. It returns the error of the .hdr log.
func (m *meter) stop(end time.Time) error {
	m.cancel()
	<-m.done
	m.collect(end)
	if m.log != nil {
		return m.log.close()
	}
	return nil
}

func (m *meter) collect(now time.Time) {
	var span counts
	h := newHistogram()
	for _, r := range m.recorders {
		r.mu.Lock()
		span.add(r.span)
		h.Merge(r.latency)
		r.span = counts{}
		r.latency.Reset()
		r.mu.Unlock()
	}
	if span == (counts{}) && now.Sub(m.last) < 100*time.Millisecond {
		return
	}
	m.sum.add(span)
	m.pending.add(span)
	m.total.Merge(h)
	m.pendingH.Merge(h)
	m.intervals = append(m.intervals, newInterval(m.last.Sub(m.start), now.Sub(m.start), span, h))
	if m.log != nil {
		m.log.add(m.last, now, h)
	}
	m.last = now
}

func (m *meter) report(now time.Time) {
	// A tick that comes a little early still prints.
	if m.out.Progress == nil || now.Sub(m.printed) < m.out.ProgressEvery-200*time.Millisecond {
		return
	}
	line := progressLine(newInterval(m.printed.Sub(m.start), now.Sub(m.start), m.pending, m.pendingH))
	// Progress is a courtesy: a closed terminal does not end a measurement.
	_, _ = io.WriteString(m.out.Progress, line)
	m.printed, m.pending = now, counts{}
	m.pendingH.Reset()
}

func (m *meter) lag() *hdrhistogram.Histogram {
	h := newHistogram()
	for _, r := range m.recorders {
		r.mu.Lock()
		h.Merge(r.lag)
		r.mu.Unlock()
	}
	return h
}

// hdrLog writes HdrHistogram's interval log. The first error is kept and returned by close.
type hdrLog struct {
	file *os.File
	buf  *bufio.Writer
	w    *hdrhistogram.HistogramLogWriter
	err  error
}

func createHDRLog(path string) (*hdrLog, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create hdr log: %w", err)
	}
	buf := bufio.NewWriter(f)
	return &hdrLog{file: f, buf: buf, w: hdrhistogram.NewHistogramLogWriter(buf)}, nil
}

func (l *hdrLog) begin(start time.Time) {
	l.w.SetBaseTime(start.UnixMilli())
	l.err = errors.Join(
		l.w.OutputLogFormatVersion(),
		l.w.OutputComment("[values in microseconds, interval maxima in seconds]"),
		l.w.OutputStartTime(start.UnixMilli()),
		l.w.OutputLegend(),
	)
}

func (l *hdrLog) add(from, to time.Time, h *hdrhistogram.Histogram) {
	h.SetStartTimeMs(from.UnixMilli())
	h.SetEndTimeMs(to.UnixMilli())
	if err := l.w.OutputIntervalHistogram(h); l.err == nil {
		l.err = err
	}
}

func (l *hdrLog) close() error {
	err := errors.Join(l.err, l.buf.Flush(), l.file.Close())
	if err != nil {
		return fmt.Errorf("write hdr log: %w", err)
	}
	return nil
}
