package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/bench"
)

// What is measured of several brokers only.

// Loads of each kind of acknowledgement: as much as goes, then a share of that in an open loop.
const (
	loadClosed = "produce, full client, "
	loadShare  = "produce at 20 % load, "
)

// share is how much of its closed-loop throughput a peer gets in the open loop.
const share = 0.2

// acknowledgement is what a producer waits for.
type acknowledgement struct {
	name    string
	promise string
	acks    bench.Acks
	synced  bool
}

func acknowledgements() []acknowledgement {
	return []acknowledgement{
		{name: "acks=1", promise: promiseLeader, acks: bench.AcksLeader},
		{name: "acks=all", promise: promiseCached, acks: bench.AcksAll},
		{name: "acks=all, each ack synced", promise: promiseSynced, acks: bench.AcksAll, synced: true},
	}
}

func (p promises) of(synced bool) map[string]string {
	if synced {
		return p.synced
	}
	return p.cached
}

// Waits for a topic of several replicas.
const (
	replicateTimeout = 30 * time.Second
	replicateLook    = 100 * time.Millisecond
)

// replicate creates t with a replica on every broker, of which a majority must be in sync for acks=all,
// and returns once each partition is led by the replica that its assignment names first, with all others
// in sync: then the brokers lead equally many, and no load begins with an election.
func (k *kafkaSide) replicate(ctx context.Context, t *bench.Target) error {
	t.TopicConfigs = maps.Clone(t.TopicConfigs)
	t.TopicConfigs["min.insync.replicas"] = strconv.Itoa(t.ReplicationFactor/2 + 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(t.Brokers...), kgo.MetadataMinAge(replicateLook/2))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, replicateTimeout)
	defer cancel()
	admin := kadm.NewClient(client)
	configs := map[string]*string{}
	for name, value := range t.TopicConfigs {
		configs[name] = &value
	}
	if _, err := admin.CreateTopic(ctx, int32(t.Partitions), int16(t.ReplicationFactor), configs, t.Topic); err != nil {
		return fmt.Errorf("create %s: %w", t.Topic, err)
	}
	for look := 1; ; look++ {
		topics, err := admin.ListTopics(ctx, t.Topic)
		if err == nil && settled(topics[t.Topic], *t) {
			return nil
		}
		if look%10 == 0 { // some were elected in another place
			_, err = admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, topics.TopicsSet())
		}
		select {
		case <-time.After(replicateLook):
		case <-ctx.Done():
			return fmt.Errorf("%s is not led and replicated as it should be after %v: %+v, %w", t.Topic, replicateTimeout, topics[t.Topic].Partitions, err)
		}
	}
}

func settled(topic kadm.TopicDetail, want bench.Target) bool {
	if topic.Err != nil || len(topic.Partitions) != want.Partitions {
		return false
	}
	for _, p := range topic.Partitions {
		if p.Err != nil || len(p.Replicas) != want.ReplicationFactor || p.Leader != p.Replicas[0] || len(p.ISR) != len(p.Replicas) {
			return false
		}
	}
	return true
}

// rawReplicated runs the loads of prebuilt batches.
func (k *kafkaSide) rawReplicated(ctx context.Context) error {
	for _, l := range rawLoads(k.o) {
		t, err := k.target(ctx, k.promises.of(l.synced))
		if err != nil {
			return err
		}
		r, err := bench.RawProduce(ctx, k.raw(l, t))
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		k.result(l.name, k.peer, r)
		if err := k.drop(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// acknowledgements measures each kind.
func (k *kafkaSide) acknowledgements(ctx context.Context) error {
	for _, a := range acknowledgements() {
		if err := k.acknowledgement(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

func (k *kafkaSide) acknowledgement(ctx context.Context, a acknowledgement) error {
	records := k.o.records
	if a.synced {
		records = k.o.syncMiB << 10
	}
	t, err := k.target(ctx, k.promises.of(a.synced))
	if err != nil {
		return err
	}
	cfg := k.produce(t, records)
	cfg.Acks = a.acks
	r, err := bench.Produce(ctx, cfg)
	if err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("%v", r.ErrorTexts)
	}
	k.result(loadClosed+a.name, k.peer, r)
	if err := k.drop(ctx, t); err != nil {
		return err
	}
	if cfg.Target, err = k.target(ctx, k.promises.of(a.synced)); err != nil {
		return err
	}
	if err := k.openLoop(ctx, loadShare+a.name, cfg, share*r.RecordsPerSecond); err != nil {
		return err
	}
	return k.drop(ctx, cfg.Target)
}
