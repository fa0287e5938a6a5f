package adminhttp

import (
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// partitionSeries is a gauge of single partitions, or of what a group has committed for them. There are so many of these
// that they do not go the way of the others: see partitionText.
type partitionSeries struct {
	name, help string
	desc       *prometheus.Desc
	place      int // in allPartitionSeries
}

// allPartitionSeries has them in the order of series.go.
var allPartitionSeries []*partitionSeries

func ofPartitions(name, help string, labels ...string) *partitionSeries {
	s := &partitionSeries{name: name, help: help, desc: desc(name, help, labels...), place: len(allPartitionSeries)}
	allPartitionSeries = append(allPartitionSeries, s)
	return s
}

// partitions takes the series of partitions: first which one, then its values.
type partitions interface {
	partition(topic string, index int32)
	committed(group, topic string, index int32)
	set(s *partitionSeries, value float64)
}

// noPartitions takes none.
type noPartitions struct{}

func (noPartitions) partition(string, int32)         {}
func (noPartitions) committed(string, string, int32) {}
func (noPartitions) set(*partitionSeries, float64)   {}

// partitionText writes series as both text formats have them, the lines of each series together. Client_golang checks,
// sorts and writes each as if it had never seen one like it, which takes three times as long.
type partitionText struct {
	labels string
	lines  [][]byte // by place of the series
}

// texts keeps the room for lines between scrapes: megabytes, with thousands of partitions.
var texts = sync.Pool{New: func() any { return &partitionText{lines: make([][]byte, len(allPartitionSeries))} }}

func newPartitionText() *partitionText { return texts.Get().(*partitionText) }

// release gives the room back; no lines may be used any more.
func (t *partitionText) release() {
	for i := range t.lines {
		t.lines[i] = t.lines[i][:0]
	}
	texts.Put(t)
}

func (t *partitionText) partition(topic string, index int32) {
	t.labels = `{partition="` + id(index) + `",topic="` + escaped(topic) + `"} `
}

func (t *partitionText) committed(group, topic string, index int32) {
	t.labels = `{consumergroup="` + escaped(group) + `",partition="` + id(index) + `",topic="` + escaped(topic) + `"} `
}

func (t *partitionText) set(s *partitionSeries, value float64) {
	b := append(append(t.lines[s.place], s.name...), t.labels...)
	if whole := int64(value); float64(whole) == value {
		b = strconv.AppendInt(b, whole, 10)
	} else {
		b = strconv.AppendFloat(b, value, 'g', -1, 64)
	}
	t.lines[s.place] = append(b, '\n')
}

// families are all lines, each series with its head.
func (t *partitionText) families() (all [][]byte) {
	for i, s := range allPartitionSeries {
		if len(t.lines[i]) > 0 {
			all = append(all, []byte("# HELP "+s.name+" "+s.help+"\n# TYPE "+s.name+" gauge\n"), t.lines[i])
		}
	}
	return all
}

var escapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func escaped(label string) string { return escapes.Replace(valid(label)) }

// valid is a label's value as Prometheus takes it; clients may call groups as they like.
func valid(label string) string { return strings.ToValidUTF8(label, "\uFFFD") }

// partitionMetrics hands series to client_golang, for the format that is no text.
type partitionMetrics struct {
	to     chan<- prometheus.Metric
	labels []*dto.LabelPair // for all series that follow
}

func (m *partitionMetrics) partition(topic string, index int32) {
	m.labels = prometheus.MakeLabelPairs(weirHigh.desc, []string{topic, id(index)})
}

func (m *partitionMetrics) committed(group, topic string, index int32) {
	m.labels = prometheus.MakeLabelPairs(kafkaLag.desc, []string{valid(group), topic, id(index)})
}

func (m *partitionMetrics) set(s *partitionSeries, value float64) {
	m.to <- &sharing{desc: s.desc, labels: m.labels, value: value}
}

// sharing is a gauge whose labels are not its own.
type sharing struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	value  float64
}

// Desc implements prometheus.Metric.
func (g *sharing) Desc() *prometheus.Desc { return g.desc }

// Write implements prometheus.Metric.
func (g *sharing) Write(out *dto.Metric) error {
	out.Label, out.Gauge = g.labels, &dto.Gauge{Value: &g.value}
	return nil
}
