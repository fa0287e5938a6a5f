package adminhttp

import (
	"context"
	"net"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/metadata"
	"weir/cluster/quota"
	"weir/protocol"
	"weir/protocol/wire"
)

// collectTimeout bounds what a scrape waits for other brokers: of partitions whose leaders do not answer, no
// lag is told.
const collectTimeout = 2 * time.Second

// collector makes every value when it is asked for, from what the broker counts and knows anyway.
type collector struct {
	broker *atomic.Pointer[broker.Broker] // nil until it has started
	cfg    Config
	since  time.Time
}

func newCollector(b *atomic.Pointer[broker.Broker], cfg Config) *collector {
	return &collector{broker: b, cfg: cfg, since: time.Now()}
}

// collection is one scrape. The series of partitions go to text, with all others if that is nil.
type collection struct {
	*collector
	text partitions
}

// Describe implements prometheus.Collector. It promises nothing: what there is depends on the broker.
func (s *collection) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *collection) Collect(to chan<- prometheus.Metric) {
	out, each := sink(to), s.text
	if !s.cfg.PartitionMetrics {
		each = noPartitions{}
	} else if each == nil {
		each = &partitionMetrics{to: to}
	}
	out.gauge(weirBuild, 1, s.cfg.Version, runtime.Version())
	out.gauge(weirUptime, time.Since(s.since).Seconds())
	b := s.broker.Load()
	if b == nil {
		return
	}
	n := b.Node()
	out.clients(b.Stats())
	out.quotas(b.Quotas())
	out.disk(n)
	out.controller(n)
	out.replicas(n, each)
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	out.groups(ctx, b, each)
}

// sink takes values.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	for i, label := range labels {
		labels[i] = valid(label)
	}
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s sink) counter(d *prometheus.Desc, value int64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func (s sink) seconds(d *prometheus.Desc, total time.Duration, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, total.Seconds(), labels...)
}

func (s sink) clients(st *wire.Stats) {
	s.gauge(weirConnections, float64(st.ConnectionsOpen.Load()))
	s.counter(weirAccepted, st.ConnectionsTotal.Load())
	s.counter(weirRejected, st.ConnectionsRejected.Load())
	s.counter(weirReceived, st.BytesIn.Load())
	s.counter(weirSent, st.BytesOut.Load())
	s.gauge(weirRequestMemory, float64(st.InFlightBytes.Load()))
	s.gauge(weirRequestsHeld, float64(st.RequestsHeld.Load()))
	s.counter(weirPanics, st.HandlerPanics.Load())
	for _, api := range protocol.APIs() {
		a := st.API(api.Key)
		total := a.Total.Snapshot()
		if total.Count == 0 {
			continue // nobody has asked for it
		}
		s <- newHistogram(weirRequest, total, api.Name)
		for _, stage := range wire.Stages() {
			s <- newHistogram(weirRequestStage, a.Stage(stage).Snapshot(), api.Name, stage.String())
		}
	}
}

func (s sink) quotas(b *quota.Buckets) {
	for _, k := range quota.Kinds() {
		t := b.Throttled(k)
		s.counter(weirThrottled, t.Answers.Load(), k.String())
		s.seconds(weirThrottledTime, time.Duration(t.Nanos.Load()), k.String())
		s.gauge(weirWaiting, float64(b.Waiting(k, time.Now())), k.String())
	}
}

func (s sink) disk(n *cluster.Node) {
	s <- newHistogram(weirSync, n.SyncTimes())
	for _, f := range n.Folders() {
		failed := 0.0
		if f.Err != nil {
			failed = 1
		} else {
			s.gauge(weirDiskFree, float64(f.Free), f.Path)
			s.gauge(weirDiskTotal, float64(f.Total), f.Path)
		}
		s.gauge(weirFolderFailed, failed, f.Path)
	}
	room := n.Room()
	s.gauge(weirDiskMark, float64(room.MarkBytes))
	s.gauge(weirDiskLow, float64(room.Level))
}

// controller tells of the controller's group, and where this broker leads it, of the cluster.
func (s sink) controller(n *cluster.Node) {
	term, high := n.ControllerTerm()
	leads := n.ControllerID() == n.ID()
	s.gauge(weirController, oneIf(leads))
	s.gauge(weirControllerTerm, float64(term))
	s.gauge(weirControllerHigh, float64(high))
	if !leads {
		return
	}
	heard := 0
	for _, b := range n.Image().Brokers() {
		if b.Fenced {
			continue
		}
		heard++
		address := ""
		if len(b.Endpoints) > 0 {
			address = net.JoinHostPort(b.Endpoints[0].Host, strconv.Itoa(int(b.Endpoints[0].Port)))
		}
		s.gauge(kafkaBrokerInfo, 1, id(b.ID), address)
	}
	s.gauge(kafkaBrokers, float64(heard))
	leaderless := 0
	for _, t := range n.Topics() {
		s.gauge(kafkaTopicPartitions, float64(t.NumPartitions()), t.Name)
		for i := range int32(t.NumPartitions()) {
			if n.Leadership(t, i).Leader == metadata.NoLeader {
				leaderless++
			}
		}
	}
	s.gauge(weirLeaderless, float64(leaderless))
}

func id(n int32) string { return strconv.Itoa(int(n)) }

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
