//go:build interop

package interop

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const configCommand = "kafka.admin.ConfigCommand"

// TestKafkaConfigs alters settings of all kinds with kafka-configs, on three brokers. Each describe sees the change before it,
// it is in force without a restart, and what makes no sense is refused with a reason.
func TestKafkaConfigs(t *testing.T) {
	if os.Getenv("WEIR_INTEROP_BROKERS") != "" {
		t.Skip("what is set for all of another's brokers is not ours to change")
	}
	c := startCluster(t, nil)
	javaCommand(t, configCommand) // before they run side by side
	for name, story := range map[string]func(*testing.T, *cluster){
		"topics": topicConfigs, "brokers": brokerConfigs, "quotas": quotaConfigs, "groups": groupConfigs,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, c)
		})
	}
}

// entity is what a call of kafka-configs is about.
type entity struct {
	cluster *cluster
	args    []string
}

func (c *cluster) entity(args ...string) entity { return entity{c, args} }

func (e entity) run(t *testing.T, args ...string) (out, complaints string, err error) {
	t.Helper()
	return tryTool(t, configCommand, "", append(append([]string{"--bootstrap-server", e.cluster.addresses()}, e.args...), args...)...)
}

// alters sets or deletes.
func (e entity) alters(t *testing.T, args ...string) {
	t.Helper()
	out, complaints, err := e.run(t, append([]string{"--alter"}, args...)...)
	if err != nil || !strings.Contains(out, "Completed updating") {
		t.Fatalf("%q %q: %v\n%s%s", e.args, args, err, out, tail([]byte(complaints), 4000))
	}
}

// shows describes, and wants these to be there, and those after "no" not to be.
func (e entity) shows(t *testing.T, args []string, parts ...string) {
	t.Helper()
	out, complaints, err := e.run(t, append([]string{"--describe"}, args...)...)
	if err != nil {
		t.Fatalf("%q %q: %v\n%s%s", e.args, args, err, out, tail([]byte(complaints), 4000))
	}
	for _, part := range parts {
		part, absent := strings.CutPrefix(part, "no ")
		if strings.Contains(out, part) == absent {
			t.Errorf("%q %q: %q is there: %t, in\n%s", e.args, args, part, !absent, out)
		}
	}
}

// refuses wants the tool to fail with this reason.
func (e entity) refuses(t *testing.T, reason string, args ...string) {
	t.Helper()
	out, complaints, err := e.run(t, append([]string{"--alter"}, args...)...)
	if err == nil || !strings.Contains(complaints, reason) {
		t.Errorf("%q %q: %v, want %q in\n%s%s", e.args, args, err, reason, out, tail([]byte(complaints), 4000))
	}
}

var all = []string{"--all"}

func topicConfigs(t *testing.T, c *cluster) {
	c.createTopics(t, "configured")
	e := c.entity("--entity-type", "topics", "--entity-name", "configured")
	const large = 5000
	e.shows(t, nil, "no retention.ms")
	e.alters(t, "--add-config", fmt.Sprintf("retention.ms=3600000,max.message.bytes=%d,cleanup.policy=[compact,delete]", large/2))
	e.shows(t, nil, "retention.ms=3600000", "max.message.bytes=2500", "cleanup.policy=compact,delete", "DYNAMIC_TOPIC_CONFIG", "no segment.bytes")
	e.shows(t, all, "retention.ms=3600000", "segment.bytes=1073741824", "DEFAULT_CONFIG")
	c.wantsProduced(t, "configured", 0, large, kerr.MessageTooLarge)
	e.alters(t, "--delete-config", "max.message.bytes,cleanup.policy")
	e.shows(t, nil, "retention.ms=3600000", "no max.message.bytes=2500", "no compact")
	c.wantsProduced(t, "configured", 0, large, nil)

	e.refuses(t, "retention.mss", "--add-config", "retention.mss=1")
	e.refuses(t, "retention.ms", "--add-config", "retention.ms=soon")
	c.entity("--entity-type", "topics", "--entity-name", "nowhere").refuses(t, "nowhere", "--add-config", "retention.ms=1")
	c.entity("--entity-type", "topics").shows(t, nil, "Dynamic configs for topic configured are", "retention.ms=3600000")
}

func brokerConfigs(t *testing.T, c *cluster) {
	c.createTopics(t, "bounded")
	everyone, second := c.entity("--entity-type", "brokers", "--entity-default"), c.entity("--entity-type", "brokers", "--entity-name", "2")
	const large = 200_000
	var led, other int32 = -1, -1
	topics, err := c.admin.ListTopics(t.Context(), "bounded")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range topics["bounded"].Partitions {
		if p.Leader == 2 {
			led = p.Partition
		} else {
			other = p.Partition
		}
	}
	if led < 0 || other < 0 {
		t.Fatalf("broker 2 leads none or all of %+v", topics["bounded"].Partitions)
	}

	everyone.alters(t, "--add-config", fmt.Sprint("message.max.bytes=", large/2))
	everyone.shows(t, nil, "message.max.bytes=100000", "DYNAMIC_DEFAULT_BROKER_CONFIG")
	second.shows(t, all, "message.max.bytes=100000", "DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=100000", "DEFAULT_CONFIG:message.max.bytes=1048588")
	c.wantsProduced(t, "bounded", led, large, kerr.MessageTooLarge)
	c.wantsProduced(t, "bounded", other, large, kerr.MessageTooLarge)
	second.alters(t, "--add-config", fmt.Sprint("message.max.bytes=", 2*large))
	second.shows(t, nil, "message.max.bytes=400000", "DYNAMIC_BROKER_CONFIG:message.max.bytes=400000", "DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=100000")
	c.wantsProduced(t, "bounded", led, large, nil)
	c.wantsProduced(t, "bounded", other, large, kerr.MessageTooLarge)
	everyone.alters(t, "--delete-config", "message.max.bytes")
	everyone.shows(t, nil, "no message.max.bytes")
	second.alters(t, "--delete-config", "message.max.bytes")
	second.shows(t, nil, "no message.max.bytes")
	c.wantsProduced(t, "bounded", other, large, nil)

	everyone.refuses(t, "message.max.byte", "--add-config", "message.max.byte=1")
	everyone.refuses(t, "log.retention.ms", "--add-config", "log.retention.ms=soon")
	second.refuses(t, "log.dirs", "--add-config", "log.dirs=/tmp")
	c.entity("--entity-type", "brokers", "--entity-name", "9").refuses(t, "9", "--add-config", "message.max.bytes=1")
	c.entity("--entity-type", "brokers", "--entity-name", "nobody").refuses(t, "nobody", "--add-config", "message.max.bytes=1")
}

func quotaConfigs(t *testing.T, c *cluster) {
	c.createTopics(t, "metered")
	client := c.entity("--entity-type", "clients", "--entity-name", "greedy")
	// An idle client may have ten seconds of its rate at once, of each broker.
	const rate, bytes = 10_000, 450_000
	if throttle := c.throttle(t, "greedy", bytes); throttle != 0 {
		t.Errorf("without a quota a client is throttled, %v ms", throttle)
	}
	client.alters(t, "--add-config", fmt.Sprintf("producer_byte_rate=%d,request_percentage=150.5", rate))
	client.shows(t, nil, "client-id 'greedy'", "producer_byte_rate=10000.0", "request_percentage=150.5")
	if throttle := c.throttle(t, "greedy", bytes); throttle <= 0 {
		t.Errorf("a client over its quota is throttled, %v ms", throttle)
	}
	if throttle := c.throttle(t, "modest", bytes); throttle != 0 {
		t.Errorf("a client of another name is throttled, %v ms", throttle)
	}

	client.alters(t, "--delete-config", "producer_byte_rate,request_percentage")
	client.shows(t, nil, "no producer_byte_rate", "no request_percentage")

	anyClient, anyUser := []string{"--entity-type", "clients", "--entity-default"}, []string{"--entity-type", "users", "--entity-default"}
	oneClient, oneUser := []string{"--entity-type", "clients", "--entity-name", "greedy"}, []string{"--entity-type", "users", "--entity-name", "alice"}
	for _, of := range []struct {
		args  []string
		shown string
	}{
		{anyClient, "the default client-id"}, {oneUser, "user-principal 'alice'"}, {anyUser, "the default user-principal"},
		{slices.Concat(oneUser, oneClient), "user-principal 'alice', client-id 'greedy'"},
		{slices.Concat(anyUser, anyClient), "the default user-principal, the default client-id"},
	} {
		e := c.entity(of.args...)
		e.alters(t, "--add-config", "consumer_byte_rate=1000000")
		e.shows(t, nil, "Quota configs for "+of.shown+" are consumer_byte_rate=1000000.0\n")
		e.alters(t, "--delete-config", "consumer_byte_rate")
		e.shows(t, nil, "no consumer_byte_rate")
	}
	client.refuses(t, "producer_byte_rates", "--add-config", "producer_byte_rates=1")
	client.refuses(t, "fast", "--add-config", "producer_byte_rate=fast")
	client.refuses(t, "above 0", "--add-config", "producer_byte_rate=-1")
	c.entity(oneUser...).refuses(t, "ALTER_USER_SCRAM_CREDENTIALS", "--add-config", "SCRAM-SHA-256=[password=secret]")
}

func groupConfigs(t *testing.T, c *cluster) {
	e := c.entity("--entity-type", "groups", "--entity-name", "planned")
	e.alters(t, "--add-config", "consumer.session.timeout.ms=50000")
	e.shows(t, nil, "consumer.session.timeout.ms=50000", "DYNAMIC_GROUP_CONFIG", "no heartbeat")
	e.shows(t, all, "consumer.session.timeout.ms=50000", "consumer.heartbeat.interval.ms=5000")
	e.refuses(t, "consumer.session.timeout.ms", "--add-config", "consumer.session.timeout.ms=1")
	e.refuses(t, "consumer.session", "--add-config", "consumer.session=1")
	e.alters(t, "--delete-config", "consumer.session.timeout.ms")
	e.shows(t, all, "consumer.session.timeout.ms=45000")
}

// wantsProduced writes a record of so many bytes, and wants it refused as said.
func (c *cluster) wantsProduced(t *testing.T, topic string, partition int32, size int, want error) {
	t.Helper()
	kafka := c.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer kafka.Close()
	record := &kgo.Record{Topic: topic, Partition: partition, Key: []byte("k"), Value: make([]byte, size)}
	if err := kafka.ProduceSync(t.Context(), record).FirstErr(); !errors.Is(err, want) {
		t.Errorf("%d bytes to %s-%d: %v, want %v", size, topic, partition, err, want)
	}
}

var throttleMetric = regexp.MustCompile(`producer-metrics:produce-throttle-time-max:\{client-id=[^}]*\}\s*:\s*(\S+)`)

// throttle writes so many bytes with Kafka's own producer, and returns for how long it was told to wait at most, in
// milliseconds, by its own metrics.
func (c *cluster) throttle(t *testing.T, clientID string, bytes int) float64 {
	t.Helper()
	const recordBytes = 1000
	out := runTool(t, "org.apache.kafka.tools.ProducerPerformance", "", "--topic", "metered", "--num-records", fmt.Sprint(bytes/recordBytes),
		"--record-size", fmt.Sprint(recordBytes), "--throughput", "-1", "--print-metrics",
		"--bootstrap-server", c.addresses(), "--command-property", "client.id="+clientID)
	found := throttleMetric.FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no throttle among the metrics:\n%s", out)
	}
	millis, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return millis
}
