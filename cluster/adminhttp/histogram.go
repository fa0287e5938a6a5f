package adminhttp

import (
	"maps"
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"weir/protocol/histogram"
)

// Bounds of the classic buckets, as powers of two of a second: 61 µs to 16 s in steps of four. Scrapers that
// know native histograms get all that was counted.
const (
	classicFirst = -14
	classicLast  = 4
	classicStep  = 2
)

// counted is a histogram as it was at one moment.
type counted struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	was    histogram.Snapshot
}

func newHistogram(d *prometheus.Desc, was histogram.Snapshot, labels ...string) prometheus.Metric {
	return &counted{desc: d, labels: prometheus.MakeLabelPairs(d, labels), was: was}
}

// Desc implements prometheus.Metric.
func (c *counted) Desc() *prometheus.Desc { return c.desc }

// Write implements prometheus.Metric.
func (c *counted) Write(out *dto.Metric) error {
	h := &dto.Histogram{SampleCount: ptr(c.was.Count), SampleSum: ptr(c.was.Sum.Seconds())}
	for e := classicFirst; e <= classicLast; e += classicStep {
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: ptr(math.Exp2(float64(e))), CumulativeCount: ptr(c.was.AtMost(e))})
	}
	c.native(h)
	out.Label, out.Histogram = c.labels, h
	return nil
}

// native adds the fine buckets: runs of neighbours, and of each bucket the difference to the one before.
func (c *counted) native(h *dto.Histogram) {
	h.Schema, h.ZeroThreshold, h.ZeroCount = ptr(int32(histogram.Schema)), ptr(0.0), ptr(uint64(0))
	next, before := 0, int64(0)
	for k, i := range slices.Sorted(maps.Keys(c.was.Counts)) {
		if k == 0 || i != next {
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: ptr(int32(i - next)), Length: ptr(uint32(0))})
		}
		span := h.PositiveSpan[len(h.PositiveSpan)-1]
		*span.Length++
		n := int64(c.was.Counts[i])
		h.PositiveDelta = append(h.PositiveDelta, n-before)
		next, before = i+1, n
	}
	if len(h.PositiveSpan) == 0 { // what tells an empty native histogram from none
		h.PositiveSpan = []*dto.BucketSpan{{Offset: ptr(int32(0)), Length: ptr(uint32(0))}}
	}
}

func ptr[T any](v T) *T { return &v }
