package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What an acknowledgement promised, in words.
const (
	durableNothing   = "no answer is awaited, nothing is promised"
	durableLeader    = "the leader has it in its page cache; a power loss loses it"
	durableOnDisk    = "on disk before the acknowledgement"
	durablePageCache = "in the page cache of a majority (write.caching=true); a power loss loses what was not yet synced"
	durableKafka     = "in the page cache of the in-sync replicas (the broker syncs later); a power loss loses what was not yet synced"
	durableUnknown   = "not known: the broker does not describe its topics' configs"
)

// setupTimeout bounds what comes before and after the measured part.
const setupTimeout = 60 * time.Second

const dialTimeout = 5 * time.Second

// session is a run's view of the cluster beside the load.
type session struct {
	target     Target
	client     *kgo.Client
	admin      *kadm.Client
	partitions []int32
	replicas   int
	brokers    int
}

func clientOptions(t Target) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(t.Brokers...),
		kgo.ClientID("weir-bench"),
		kgo.DisableClientMetrics(),
	}
}

// openSession connects, creates the topic when asked to, and learns its partitions.
func openSession(ctx context.Context, t Target) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if err := reachable(ctx, t.Brokers); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(clientOptions(t)...)
	if err != nil {
		return nil, err
	}
	s := &session{target: t, client: client, admin: kadm.NewClient(client)}
	if err := s.prepare(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

// reachable dials the addresses until one answers: the client itself would try for a minute.
func reachable(ctx context.Context, addresses []string) error {
	var errs []error
	for _, a := range addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(a, "9092")
		}
		dialer := net.Dialer{Timeout: dialTimeout}
		c, err := dialer.DialContext(ctx, "tcp", a)
		if err == nil {
			return c.Close()
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("no broker answers: %w", errors.Join(errs...))
}

func (s *session) close() { s.client.Close() }

func (s *session) prepare(ctx context.Context) error {
	if s.target.CreateTopic {
		if err := s.createTopic(ctx); err != nil {
			return err
		}
	}
	// A topic just created may not have leaders everywhere yet, nor every leader know that it is one.
	for {
		ready, err := s.describe(ctx)
		if ready {
			_, err = s.startOffsets(ctx)
		}
		if unsettled := errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.UnknownTopicOrPartition); s.target.CreateTopic && unsettled {
			ready, err = false, nil
		}
		if err != nil || ready {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topic %q: partitions without a leader: %w", s.target.Topic, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *session) createTopic(ctx context.Context) error {
	configs := map[string]*string{}
	for name, value := range s.target.TopicConfigs {
		configs[name] = &value
	}
	_, err := s.admin.CreateTopic(ctx, int32(s.target.Partitions), int16(s.target.ReplicationFactor), configs, s.target.Topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %q: %w", s.target.Topic, err)
	}
	return nil
}

func (s *session) describe(ctx context.Context) (ready bool, err error) {
	m, err := s.admin.Metadata(ctx, s.target.Topic)
	if err != nil {
		return false, fmt.Errorf("metadata of topic %q: %w", s.target.Topic, err)
	}
	topic, ok := m.Topics[s.target.Topic]
	unknown := !ok || errors.Is(topic.Err, kerr.UnknownTopicOrPartition)
	switch {
	case unknown && s.target.CreateTopic:
		return false, nil
	case unknown:
		return false, fmt.Errorf("topic %q does not exist on %v (UNKNOWN_TOPIC_OR_PARTITION): create it, or let this run create it", s.target.Topic, s.target.Brokers)
	case topic.Err != nil && !kerr.IsRetriable(topic.Err):
		return false, fmt.Errorf("metadata of topic %q: %w", s.target.Topic, topic.Err)
	case topic.Err != nil || len(topic.Partitions) == 0:
		return false, nil
	}
	s.partitions, s.brokers = s.partitions[:0], len(m.Brokers)
	for _, p := range topic.Partitions {
		if p.Leader < 0 || p.Err != nil {
			return false, nil
		}
		s.partitions = append(s.partitions, p.Partition)
		s.replicas = max(s.replicas, len(p.Replicas))
	}
	slices.Sort(s.partitions)
	return true, nil
}

// environment describes the run; acks is empty for a load that does not produce.
func (s *session) environment(ctx context.Context, acks Acks) Environment {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	e := LocalEnvironment(ClientVersion())
	e.Replication, e.Brokers, e.Acks = s.replicas, s.brokers, string(acks)
	e.Loopback = allLoopback(s.target.Brokers)
	if versions, err := s.admin.ApiVersions(ctx); err == nil {
		for _, v := range versions {
			if v.Err == nil {
				e.Broker = apisText(v)
			}
		}
	}
	if acks != "" {
		e.Durability = s.durability(ctx, acks)
	}
	if len(s.target.BrokerPIDs) > 0 {
		e.Filesystem = brokerFilesystem(s.target.BrokerPIDs[0])
	}
	return e
}

// apisText tells brokers and their releases apart, which no API names.
func apisText(v kadm.BrokerApiVersions) string {
	count := 0
	v.EachKeySorted(func(int16, int16, int16) { count++ })
	produce, _ := v.KeyMaxVersion(int16(kmsg.Produce))
	fetch, _ := v.KeyMaxVersion(int16(kmsg.Fetch))
	return fmt.Sprintf("with %d APIs, Produce to v%d, Fetch to v%d", count, produce, fetch)
}

func (s *session) durability(ctx context.Context, acks Acks) string {
	switch acks {
	case AcksNone:
		return durableNothing
	case AcksLeader:
		return durableLeader
	}
	configs, err := s.admin.DescribeTopicConfigs(ctx, s.target.Topic)
	if err != nil || len(configs) != 1 || configs[0].Err != nil {
		return durableUnknown
	}
	values := map[string]string{}
	for _, c := range configs[0].Configs {
		values[c.Key] = c.MaybeValue()
	}
	return durabilityOf(values)
}

// durabilityOf reads the promise of acks=all from a topic's configs. Only Weir has write.caching;
// elsewhere a sync comes before the answer only when each append is flushed.
func durabilityOf(configs map[string]string) string {
	caching, weir := configs["write.caching"]
	switch {
	case weir && caching == "true":
		return durablePageCache
	case weir, configs["flush.messages"] == "1":
		return durableOnDisk
	default:
		return durableKafka
	}
}

// allLoopback reports whether each address names this machine's loopback device.
func allLoopback(addresses []string) bool {
	for _, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			host = a
		}
		ip := net.ParseIP(host)
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// endOffsets returns partition → log end offset, exclusive.
func (s *session) endOffsets(ctx context.Context) (map[int32]int64, error) {
	return s.offsets(ctx, s.admin.ListEndOffsets)
}

func (s *session) startOffsets(ctx context.Context) (map[int32]int64, error) {
	return s.offsets(ctx, s.admin.ListStartOffsets)
}

func (s *session) offsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	listed, err := list(ctx, s.target.Topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of topic %q: %w", s.target.Topic, err)
	}
	out := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out, nil
}

// errorSet keeps the first few distinct error texts. It is not safe for concurrent use.
type errorSet struct{ texts []string }

const maxErrorTexts = 5

func (e *errorSet) add(err error) {
	if text := err.Error(); len(e.texts) < maxErrorTexts && !slices.Contains(e.texts, text) {
		e.texts = append(e.texts, text)
	}
}
