package adminhttp

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
)

// serve serves a broker's admin port until the test ends; nil for one that has not started.
func serve(t testing.TB, b *broker.Broker) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, Config{Version: "1.2.3", PartitionMetrics: true, Logger: brokertest.Logger(t)})
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if b != nil {
		s.Ready(b)
	}
	return s
}

// get returns what a path answers.
func get(t testing.TB, s *Server, path string, accept ...string) (code int, kind, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accept {
		req.Header.Set("Accept", a)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

// scrape returns the values by series, as name{label="value",...}.
func scrape(t testing.TB, s *Server) map[string]float64 {
	t.Helper()
	code, _, body := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		addValues(values, f)
	}
	return values
}

func addValues(values map[string]float64, f *dto.MetricFamily) {
	for _, m := range f.Metric {
		values[series(f.GetName(), m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
}

func series(name string, m *dto.Metric) string {
	var labels []string
	for _, l := range m.Label {
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if slices.Sort(labels); len(labels) == 0 {
		return name
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}

// want compares some values.
func want(t testing.TB, got, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[name]; !ok || value != want[name] {
			t.Errorf("%s is %v (%v), want %v", name, value, ok, want[name])
		}
	}
}

// scene is a client of brokers with a topic orders.
type scene struct {
	*kadm.Client
	client *kgo.Client
}

func newScene(t testing.TB, partitions int32, replicas int16, brokers ...*broker.Broker) *scene {
	t.Helper()
	var seeds []string
	for _, b := range brokers {
		seeds = append(seeds, b.Addr())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s := &scene{Client: kadm.NewClient(client), client: client}
	if _, err := s.CreateTopic(t.Context(), partitions, replicas, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	return s
}

// produce writes n records into a partition, the first at a time and each a second later.
func (s *scene) produce(t testing.TB, partition int32, n int, at time.Time) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: "orders", Partition: partition, Value: []byte("v"), Timestamp: at.Add(time.Duration(i) * time.Second)})
	}
	if err := s.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) commit(t testing.TB, group string, partition int32, offset int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset("orders", partition, offset, -1)
	if err := s.CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
}

// TestMetricsOfABroker compares what is scraped with what was done.
func TestMetricsOfABroker(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"group.initial.rebalance.delay.ms": "0"})
	s := newScene(t, 2, 1, b)
	begun := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	s.produce(t, 0, 10, begun)
	s.produce(t, 1, 4, begun)
	s.commit(t, "billing", 0, 3)
	s.commit(t, "billing", 1, 4)
	if _, err := s.DeleteRecords(t.Context(), kadm.Offsets{"orders": {0: {Topic: "orders", Partition: 0, At: 1}}}); err != nil {
		t.Fatal(err)
	}
	member, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumerGroup("live"), kgo.ConsumeTopics("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	brokertest.Eventually(t, "the group is stable", func() bool {
		listed, err := s.ListGroups(t.Context())
		return err == nil && listed["live"].State == "Stable"
	})

	admin := serve(t, b)
	before := time.Now()
	got := scrape(t, admin)
	after := time.Now()
	want(t, got, map[string]float64{
		"kafka_brokers": 1,
		fmt.Sprintf(`kafka_broker_info{address="%s",id="1"}`, b.Addr()):                            1,
		`kafka_topic_partitions{topic="orders"}`:                                                   2,
		`kafka_topic_partition_current_offset{partition="0",topic="orders"}`:                       10,
		`kafka_topic_partition_current_offset{partition="1",topic="orders"}`:                       4,
		`kafka_topic_partition_oldest_offset{partition="0",topic="orders"}`:                        1,
		`kafka_topic_partition_leader{partition="0",topic="orders"}`:                               1,
		`kafka_topic_partition_leader_is_preferred{partition="0",topic="orders"}`:                  1,
		`kafka_topic_partition_replicas{partition="0",topic="orders"}`:                             1,
		`kafka_topic_partition_in_sync_replica{partition="0",topic="orders"}`:                      1,
		`kafka_topic_partition_under_replicated_partition{partition="0",topic="orders"}`:           0,
		`kafka_consumergroup_current_offset{consumergroup="billing",partition="0",topic="orders"}`: 3,
		`kafka_consumergroup_current_offset_sum{consumergroup="billing",topic="orders"}`:           7,
		`kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"}`:            7,
		`kafka_consumergroup_lag{consumergroup="billing",partition="1",topic="orders"}`:            0,
		`kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"}`:                      7,
		`kafka_consumergroup_lag_seconds{consumergroup="billing",partition="1",topic="orders"}`:    0,
		`kafka_consumergroup_members{consumergroup="billing"}`:                                     0,
		`kafka_consumergroup_members{consumergroup="live"}`:                                        1,
		`weir_groups{state="Empty"}`:                                                               1,
		`weir_groups{state="Stable"}`:                                                              1,
		`weir_partition_log_start_offset{partition="0",topic="orders"}`:                            1,
		`weir_partition_high_watermark{partition="0",topic="orders"}`:                              10,
		`weir_partition_log_end_offset{partition="0",topic="orders"}`:                              10,
		`weir_partition_segments{partition="0",topic="orders"}`:                                    1,
		`weir_partition_leader{partition="0",topic="orders"}`:                                      1,
		"weir_partitions": 6, "weir_partitions_led": 6, // with four of the offsets topic
		"weir_partitions_offline": 0, "weir_partitions_under_replicated": 0, "weir_partitions_under_min_isr": 0,
		"weir_cluster_partitions_leaderless": 0, "weir_controller_leader": 1, "weir_request_panics_total": 0,
		`weir_throttled_total{quota="producer_byte_rate"}`: 0, `weir_throttled_seconds_total{quota="consumer_byte_rate"}`: 0, `weir_throttled_clients{quota="request_percentage"}`: 0,
		`weir_request_seconds{api="CreateTopics"}`: 1, `weir_request_stage_seconds{api="CreateTopics",stage="await"}`: 1,
		`weir_request_stage_seconds{api="CreateTopics",stage="send"}`: 1,
	})
	// The fourth record is unread: its age was between those at the two moments.
	third := begun.Add(3 * time.Second)
	if age := got[`kafka_consumergroup_lag_seconds{consumergroup="billing",partition="0",topic="orders"}`]; age < before.Sub(third).Seconds() || age > after.Sub(third).Seconds() {
		t.Errorf("lag is %v s, want %v to %v", age, before.Sub(third).Seconds(), after.Sub(third).Seconds())
	}
	topic := b.Node().Topic("orders")
	p, err := topic.Replica(0)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, map[string]float64{
		`weir_partition_log_bytes{partition="0",topic="orders"}`: float64(p.SizeBytes()),
		`weir_partition_raft_term{partition="0",topic="orders"}`: float64(p.LeaderEpoch()),
	})
	for _, above := range []string{"weir_uptime_seconds", "weir_connections", "weir_connections_accepted_total", "weir_received_bytes_total", "weir_sent_bytes_total",
		"weir_log_sync_seconds", `weir_disk_free_bytes{folder="` + b.Node().DataDir() + `"}`, "weir_logs_bytes", `weir_request_seconds{api="Produce"}`, "process_start_time_seconds", "go_goroutines", "weir_controller_raft_term"} {
		if got[above] <= 0 {
			t.Errorf("%s is %v", above, got[above])
		}
	}
	for name := range got {
		if strings.HasPrefix(name, "weir_build_info{") && !strings.Contains(name, `version="1.2.3"`) {
			t.Error(name)
		}
	}
	if got, want := got[`weir_request_seconds{api="Produce"}`], got[`weir_request_stage_seconds{api="Produce",stage="handle"}`]; got != want {
		t.Errorf("%v requests, of which %v were handled", got, want)
	}
}

// TestMetricsOfACluster: each kafka_ series comes from one broker only, lag also where the coordinator does not
// lead the partition.
func TestMetricsOfACluster(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	s := newScene(t, 6, 2, brokers...)
	begun := time.Now().Add(-time.Minute)
	for p := range int32(6) {
		s.produce(t, p, 5, begun)
	}
	for _, group := range []string{"a", "b", "c", "d"} {
		for p := range int32(6) {
			s.commit(t, group, p, int64(p)-1) // -1: none
		}
	}
	var admins []*Server
	for _, b := range brokers {
		admins = append(admins, serve(t, b))
	}
	all := map[string]float64{}
	brokertest.Eventually(t, "all is in sync", func() bool {
		clear(all)
		for _, a := range admins {
			for name, value := range scrape(t, a) {
				if _, twice := all[name]; twice && strings.HasPrefix(name, "kafka_") {
					t.Fatalf("%s is served by two brokers", name)
				}
				all[name] += value
			}
		}
		return all["weir_partitions_under_replicated"] == 0 && all["weir_cluster_partitions_leaderless"] == 0
	})
	expected := map[string]float64{"kafka_brokers": 3, `kafka_topic_partitions{topic="orders"}`: 6, "weir_controller_leader": 1}
	for p := range 6 {
		at := fmt.Sprintf(`partition="%d",topic="orders"`, p)
		expected["kafka_topic_partition_current_offset{"+at+"}"] = 5
		expected["kafka_topic_partition_replicas{"+at+"}"] = 2
		expected["kafka_topic_partition_in_sync_replica{"+at+"}"] = 2
		expected["weir_partition_leader{"+at+"}"] = 1
		for _, group := range []string{"a", "b", "c", "d"} {
			if p > 0 {
				expected[fmt.Sprintf("kafka_consumergroup_lag{consumergroup=%q,%s}", group, at)] = float64(6 - p)
			}
		}
	}
	for _, group := range []string{"a", "b", "c", "d"} {
		expected[fmt.Sprintf(`kafka_consumergroup_lag_sum{consumergroup=%q,topic="orders"}`, group)] = 5 + 4 + 3 + 2 + 1
	}
	want(t, all, expected)
	if age := all[`kafka_consumergroup_lag_seconds{consumergroup="a",partition="3",topic="orders"}`]; age < 58 || age > 600 {
		t.Errorf("lag is %v s", age)
	}
	brokertest.Eventually(t, "all are ready", func() bool {
		for _, a := range admins {
			if code, _, _ := get(t, a, "/readyz"); code != http.StatusOK {
				return false
			}
		}
		return true
	})
}

// TestFormats: OpenMetrics and native histograms for who asks for them.
func TestFormats(t *testing.T) {
	b := brokertest.Start(t, nil)
	newScene(t, 1, 1, b)
	admin := serve(t, b)
	if _, kind, body := get(t, admin, "/metrics", "application/openmetrics-text; version=1.0.0"); !strings.HasPrefix(kind, "application/openmetrics-text") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("OpenMetrics: %s", kind)
	}
	_, kind, body := get(t, admin, "/public_metrics", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	decoder := expfmt.NewDecoder(strings.NewReader(body), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); err != nil {
			t.Fatalf("no weir_request_seconds in %s: %v", kind, err)
		}
		if f.GetName() != "weir_request_seconds" {
			continue
		}
		for _, m := range f.Metric {
			h, n, total := m.GetHistogram(), int64(0), uint64(0)
			for _, d := range h.PositiveDelta {
				n += d
				total += uint64(n)
			}
			length := 0
			for _, s := range h.PositiveSpan {
				length += int(s.GetLength())
			}
			if h.GetSchema() != 2 || total != h.GetSampleCount() || length != len(h.PositiveDelta) {
				t.Errorf("%v", m)
			}
		}
		return
	}
}

// TestPartitionMetricsOff: what is left is of topics, groups and the broker.
func TestPartitionMetricsOff(t *testing.T) {
	b := brokertest.Start(t, nil)
	s := newScene(t, 1, 1, b)
	s.produce(t, 0, 3, time.Now())
	s.commit(t, "billing", 0, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := Serve(ln, Config{Logger: brokertest.Logger(t)})
	defer func() { http.DefaultClient.CloseIdleConnections(); admin.Close() }()
	admin.Ready(b)
	got := scrape(t, admin)
	want(t, got, map[string]float64{`kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"}`: 2, "weir_partitions": 5})
	for name := range got {
		if strings.Contains(name, `partition="`) {
			t.Error(name)
		}
	}
}

// TestSeriesOfPartitionsInAllFormats: the same values in the text formats, compressed or not, and in the one that is no text;
// groups may be called what breaks lines or is no text.
func TestSeriesOfPartitionsInAllFormats(t *testing.T) {
	b := brokertest.Start(t, nil)
	s := newScene(t, 2, 1, b)
	s.produce(t, 0, 5, time.Now().Add(-time.Minute))
	for _, group := range []string{"plain", "\"quoted\\\n", "\xff\xfe"} {
		s.commit(t, group, 0, 2)
	}
	admin := serve(t, b)
	const lag = "kafka_consumergroup_lag{consumergroup="
	expected := map[string]float64{
		`kafka_topic_partition_current_offset{partition="0",topic="orders"}`: 5, `weir_partition_log_end_offset{partition="1",topic="orders"}`: 0,
		lag + `"plain",partition="0",topic="orders"}`: 3, lag + fmt.Sprintf("%q", "\"quoted\\\n") + `,partition="0",topic="orders"}`: 3,
		lag + `"�",partition="0",topic="orders"}`: 3, `kafka_consumergroup_members{consumergroup="plain"}`: 0,
	}
	want(t, scrape(t, admin), expected) // compressed, as Go's client asks for
	for _, accept := range []string{"text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		code, kind, body := get(t, admin, "/metrics", accept)
		if code != http.StatusOK {
			t.Fatalf("%s: %d", accept, code)
		}
		if strings.HasPrefix(kind, "application/openmetrics") { // which nothing here decodes
			for name, value := range expected {
				if strings.Contains(name, "partition=") && !strings.Contains(body, fmt.Sprintf("\n%s %v\n", name, value)) {
					t.Errorf("%s lacks %s %v", kind, name, value)
				}
			}
			if !strings.HasSuffix(body, "\n# EOF\n") {
				t.Errorf("%s has no end", kind)
			}
			continue
		}
		values := map[string]float64{}
		decoder := expfmt.NewDecoder(strings.NewReader(body), expfmt.ResponseFormat(http.Header{"Content-Type": {kind}}))
		for {
			var f dto.MetricFamily
			if err := decoder.Decode(&f); err != nil {
				if err != io.EOF {
					t.Errorf("%s: %v", kind, err)
				}
				break
			}
			addValues(values, &f)
		}
		want(t, values, expected)
	}
}

// BenchmarkScrape reads a broker of 1,000 partitions with a group in each.
func BenchmarkScrape(b *testing.B) {
	broker := brokertest.Start(b, nil)
	s := newScene(b, 1000, 1, broker)
	var records []*kgo.Record
	var offsets kadm.Offsets
	for p := range int32(1000) {
		records = append(records, &kgo.Record{Topic: "orders", Partition: p, Value: []byte("a")}, &kgo.Record{Topic: "orders", Partition: p, Value: []byte("b")})
		offsets.AddOffset("orders", p, 1, -1)
	}
	if err := s.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	if err := s.CommitAllOffsets(context.Background(), "billing", offsets); err != nil {
		b.Fatal(err)
	}
	admin := serve(b, broker)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	used := cpu()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, body := get(b, admin, "/metrics"); !strings.Contains(body, `partition="999"`) {
			b.Fatal("999 is missing")
		}
	}
	b.ReportMetric(float64((cpu()-used).Milliseconds())/float64(b.N), "cpu-ms/op")
}
