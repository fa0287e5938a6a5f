package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"weir/bench"
	"weir/bench/internal/fakebroker"
)

// TestParseReplicated: three brokers have defaults of their own, which give way to what is asked for.
func TestParseReplicated(t *testing.T) {
	o, err := parse([]string{"-brokers", "3", "-raw-mib", "2048"})
	if err != nil {
		t.Fatal(err)
	}
	if o.rawMiB != 2048 || o.partitions != 3 || o.out != filepath.Join("bench", "RESULTS-3.md") || !slices.Equal(o.names(), []string{nameWeir, nameFloor, nameKafka}) {
		t.Errorf("got %+v", o)
	}
	for _, bad := range [][]string{{"-brokers", "0"}, {"-brokers", "2"}, {"-brokers", "3", "-peers", "weir,nats"}, {"-brokers", "3", "-partitions", "4"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, l := range rawLoads(o) {
		if !l.produce {
			t.Errorf("%s is not about replicas", l.name)
		}
	}
}

func TestWeirArgs(t *testing.T) {
	clients, peers := []string{"c1", "c2", "c3"}, []string{"p1", "p2", "p3"}
	for _, c := range []struct {
		id, brokers int
		want        string
	}{
		{1, 1, "start --data d/1 --listen c1 --set admin.listener="},
		{1, 3, "start --data d/1 --listen c1 --set admin.listener= --node-id 1 --peer-listen p1"},
		{3, 3, "start --data d/3 --listen c3 --set admin.listener= --node-id 3 --peer-listen p3 --join p1"},
	} {
		if got := strings.Join(weirArgs("d", c.id, clients[:c.brokers], peers[:c.brokers]), " "); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestKafkaProperties(t *testing.T) {
	alone := kafkaProperties(1, []string{"127.0.0.1:1"}, []string{"127.0.0.1:2"})
	third := kafkaProperties(3, []string{"b1", "b2", "b3"}, []string{"c1", "c2", "c3"})
	for properties, lines := range map[string][]string{
		alone: {"controller.quorum.voters=1@127.0.0.1:2", "offsets.topic.replication.factor=1", "transaction.state.log.min.isr=1", "controlled.shutdown.enable=true"},
		third: {"node.id=3", "listeners=PLAINTEXT://b3,CONTROLLER://c3", "controller.quorum.voters=1@c1,2@c2,3@c3", "offsets.topic.replication.factor=3", "transaction.state.log.min.isr=2"},
	} {
		for _, line := range lines {
			if !strings.Contains("\n"+properties, "\n"+line+"\n") {
				t.Errorf("no line %s in\n%s", line, properties)
			}
		}
	}
}

// TestSettled: led where it should be, by partitions that all have all replicas in sync.
func TestSettled(t *testing.T) {
	want := bench.Target{Partitions: 2, ReplicationFactor: 3}
	topic := func(change func(*kadm.PartitionDetail)) kadm.TopicDetail {
		other := kadm.PartitionDetail{Partition: 1, Leader: 2, Replicas: []int32{2, 3, 1}, ISR: []int32{1, 2, 3}}
		change(&other)
		return kadm.TopicDetail{Partitions: kadm.PartitionDetails{0: {Leader: 1, Replicas: []int32{1, 2, 3}, ISR: []int32{3, 2, 1}}, 1: other}}
	}
	if !settled(topic(func(*kadm.PartitionDetail) {}), want) {
		t.Error("not settled")
	}
	for name, change := range map[string]func(*kadm.PartitionDetail){
		"another leader": func(p *kadm.PartitionDetail) { p.Leader = 3 },
		"no leader":      func(p *kadm.PartitionDetail) { p.Leader = -1 },
		"behind":         func(p *kadm.PartitionDetail) { p.ISR = p.ISR[:2] },
		"fewer replicas": func(p *kadm.PartitionDetail) { p.Replicas, p.ISR = p.Replicas[:2], p.ISR[:2] },
		"an error":       func(p *kadm.PartitionDetail) { p.Err = errors.New("no") },
	} {
		if settled(topic(change), want) {
			t.Errorf("%s: settled", name)
		}
	}
	if settled(kadm.TopicDetail{}, want) {
		t.Error("a topic that is not there is settled")
	}
}

// TestStartCluster: a cluster is ready when each broker knows all, and one that fails ends the others.
func TestStartCluster(t *testing.T) {
	fake := fakebroker.Start(t, fakebroker.Faults{})
	if err := knowsBrokers(fake.Addr, 1); err != nil {
		t.Error(err)
	}
	if err := knowsBrokers(fake.Addr, 3); err == nil {
		t.Error("a broker alone knows three")
	}
	c, err := startCluster(t.Context(), t.TempDir(), []string{fake.Addr}, []*exec.Cmd{exec.Command("sleep", "1000")})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := c.memory(); err != nil || m.RSSBytes == 0 || c.started() <= 0 {
		t.Errorf("got %+v after %v, %v", m, c.started(), err)
	}
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	left := exec.Command("sleep", "1000")
	_, err = startCluster(t.Context(), t.TempDir(), []string{fake.Addr, fake.Addr}, []*exec.Cmd{exec.Command("sh", "-c", "echo broken; exit 3"), left})
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a broker that ends: %v", err)
	}
	if left.ProcessState == nil {
		t.Error("the other one still runs")
	}
}

// TestAcknowledgements runs all loads of several brokers on one that is in this process: each has its
// figures, and nothing is left behind.
func TestAcknowledgements(t *testing.T) {
	fake := fakebroker.Start(t, fakebroker.Faults{})
	o, err := parse([]string{"-brokers", "3", "-records", "1000", "-raw-mib", "1", "-sync-mib", "1", "-seconds", "1", "-partitions", "3"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSitting(o, nil)
	c := cluster{&server{address: fake.Addr, pid: os.Getpid()}}
	p := promises{cached: map[string]string{"cached": "yes"}, synced: map[string]string{"cached": "no"}}
	k := &kafkaSide{sitting: s, peer: nameWeir, cluster: c, promises: p}
	if err := errors.Join(k.rawReplicated(t.Context()), k.acknowledgements(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, r := range replicatedRows() {
		if _, ok := s.median(r, nameWeir); !ok && r.load != loadProcess && r.load != loadLatency {
			t.Errorf("%s: no %s", r.load, r.metric)
		}
	}
	full, part := s.samples[sampleKey{loadClosed + "acks=1", nameWeir, metricThroughput}], s.samples[sampleKey{loadShare + "acks=1", nameWeir, metricThroughput}]
	if ratio := part[0] / full[0]; ratio > 0.25 {
		t.Errorf("the open loop ran at %.2f of the closed loop", ratio)
	}
	target := bench.Target{Brokers: c.addresses(), Topic: "new", Partitions: 3, ReplicationFactor: 1, TopicConfigs: p.cached}
	if err := k.replicate(t.Context(), &target); err != nil {
		t.Fatal(err)
	}
	if fake.Config("new", "min.insync.replicas") != "1" || fake.Config("new", "cached") != "yes" || len(p.cached) != 1 {
		t.Errorf("made with %v of %v", target.TopicConfigs, p.cached)
	}
	if fake.Config("peers-1", "cached") != "" {
		t.Error("a topic is left behind")
	}
}

// TestReplicatedMarkdown: no column that cannot be, and the two promises beside each other.
func TestReplicatedMarkdown(t *testing.T) {
	o, err := parse([]string{"-brokers", "3"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSitting(o, []string{"-brokers", "3"})
	s.samples = map[sampleKey][]float64{
		{loadRaw64, nameWeir, metricThroughput}:              {300},
		{loadRaw64, nameFloor, metricThroughput}:             {500},
		{loadRaw64, nameKafka, metricThroughput}:             {100},
		{loadRawSynced, nameWeir, metricThroughput}:          {150},
		{loadShare + "acks=all", nameWeir, metricP99}:        {2},
		{loadShare + "acks=all", nameKafka, metricP99}:       {8},
		{loadClosed + "acks=1", nameKafka, metricThroughput}: {70},
	}
	got := s.markdown([]peer{&weirPeer{brokers: 3}, &floorPeer{replicas: 3}, &kafkaPeer{brokers: 3}})
	for _, want := range []string{
		"# Weir beside its peers, 3 brokers each\n",
		"| load | promise | metric | Weir | floor | Kafka | Weir / floor | Weir / Kafka |\n|---|---|---|--:|--:|--:|--:|--:|\n",
		"| produce, prebuilt batches of 64 KiB | page cache | MiB/s | 300 | 500 | 100 | **0.60** | **3.00** |",
		"| produce at 20 % load, acks=all | page cache | p99 ms | 2.000 | — | 8.000 | — | **0.25** |",
		"| produce, full client, acks=1 | leader's page cache | MiB/s | — | — | 70.0 | — | — |",
		"| produce, prebuilt batches of 64 KiB | MiB/s | 300 → 150 (**0.50**) | — | — |",
		"3 brokers, each a process", "3 processes, the bytes written 3 times", "KRaft, 3 nodes", "min.insync.replicas=2",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "NATS") {
		t.Error("NATS is in the report")
	}
}
