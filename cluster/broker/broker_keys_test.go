package broker_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/cluster/config"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// brokerKeyCases has what shows the effect of the keys that a running broker takes and that are no defaults of topics.
var brokerKeyCases = map[string]struct {
	value string
	shows func(l *liveTopic) bool
}{
	"num.partitions": {"3", func(l *liveTopic) bool {
		l.last++
		return createTopics(l.c, true, newTopic("new", -1, -1))[0].NumPartitions == 3
	}},
	"default.replication.factor": {"2", func(l *liveTopic) bool {
		return protocol.ErrorCode(createTopics(l.c, true, newTopic("new", -1, -1))[0].ErrorCode) == protocol.CodeInvalidReplicationFactor
	}},
	"log.dir.free.bytes.min": {"1000000000000000", func(l *liveTopic) bool { return l.b.Node().Folders()[0].Low }},
	"producer.id.expiration.ms": {"1000", func(l *liveTopic) bool {
		h := plain
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = int64(10+l.last), 0, 0
		l.last++
		l.c.produce(l.name, 0, -1, batchOf(l.t, h, recordbatch.CodecNone, at(0)))
		l.maintain()
		return len(l.partition().Producers()) == 0
	}},
	"leader.replication.throttled.rate":              {"5", func(l *liveTopic) bool { return l.b.Node().Config().Peers.ThrottledRate == 5 }},
	"replica.alter.log.dirs.io.max.bytes.per.second": {"5", func(l *liveTopic) bool { return l.b.Node().Config().MoveRate == 5 }},
	"log.cleaner.threads":                            {"2", func(l *liveTopic) bool { return l.b.Node().Config().Cleaner.Threads == 2 }},
	"log.cleaner.dedupe.buffer.size":                 {"1048576", func(l *liveTopic) bool { return l.b.Node().Config().Cleaner.BufferBytes == 1<<20 }},
	"log.cleaner.io.max.bytes.per.second":            {"1e6", func(l *liveTopic) bool { return l.b.Node().Config().Cleaner.Rate == 1e6 }},
	"log.cleaner.backoff.ms":                         {"7", func(l *liveTopic) bool { return l.b.Node().Config().Cleaner.Backoff == 7*time.Millisecond }},
	"broker.drained":                                 {"true", func(l *liveTopic) bool { return l.b.Node().Config().Leaders.Drained }},
	"max.connections":                                {"7", func(l *liveTopic) bool { return l.b.Node().Config().Network.MaxConnections == 7 }},
	"max.connections.per.ip":                         {"7", func(l *liveTopic) bool { return l.b.Node().Config().Network.MaxConnectionsPerIP == 7 }},
	"group.consumer.heartbeat.interval.ms": {"6000", func(l *liveTopic) bool {
		return l.b.Node().GroupConfig("g").HeartbeatInterval == 6*time.Second
	}},
	"group.consumer.session.timeout.ms": {"50000", func(l *liveTopic) bool {
		return l.b.Node().GroupConfig("g").SessionTimeout == 50*time.Second
	}},
	"group.consumer.max.size":         {"7", func(l *liveTopic) bool { return l.b.Node().Config().Groups.Consumer.MaxSize == 7 }},
	"group.consumer.assignors":        {"range", func(l *liveTopic) bool { return l.b.Node().Config().Groups.Consumer.Assignors[0] == "range" }},
	"group.consumer.migration.policy": {"upgrade", func(l *liveTopic) bool { return !l.b.Node().Config().Groups.Consumer.Downgrade }},
}

// inheritedBy is the topic key that takes its default from a broker key.
func inheritedBy(name string) *config.Key {
	for _, k := range config.Keys(config.ScopeTopic) {
		if slices.ContainsFunc(k.From, func(s config.Source) bool { return s.Name == name }) {
			return k
		}
	}
	return nil
}

// TestBrokerKeysTakeEffect walks all keys that can be changed while brokers run: a value for all brokers is in force at
// once, one for the single broker wins over it, and deleted values leave what was before.
func TestBrokerKeysTakeEffect(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	kind, id := kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.Node().ID()))
	alter := func(t *testing.T, name, key string, op kmsg.IncrementalAlterConfigOp, value string) {
		t.Helper()
		if got := incremental(c, kind, name, key, op, value); got != 0 {
			t.Fatalf("%s=%s of %q: %v", key, value, name, got)
		}
	}
	const set, remove = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete
	for _, k := range config.Keys(config.ScopeBroker) {
		if !k.Dynamic || k.Status != config.Supported {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			l := &liveTopic{t: t, c: c, b: b, name: k.Name}
			c.createTopic(l.name, 1, nil)
			if x, known := brokerKeyCases[k.Name]; known {
				name := map[bool]string{true: id, false: ""}[k.ByRequest]
				if x.shows(l) {
					t.Fatal("there is an effect already")
				}
				alter(t, name, k.Name, set, x.value)
				brokertest.Eventually(t, "there is an effect", func() bool { return x.shows(l) })
				alter(t, name, k.Name, remove, "")
				brokertest.Eventually(t, "what was deleted has no effect", func() bool { return !x.shows(l) })
				return
			}
			heir := inheritedBy(k.Name)
			if heir == nil {
				t.Fatal("there is no test of what it does")
			}
			value := topicKeyCases[heir.Name].value
			before := b.Node().Topic(l.name).Config
			inForce := func(want string, source kmsg.ConfigSource) {
				t.Helper()
				d := described(c, kmsg.ConfigResourceTypeTopic, l.name, heir.Name)
				if d.Value == nil || *d.Value != want || d.Source != source {
					t.Errorf("%s is shown as %+v, want %s of %v", heir.Name, d, want, source)
				}
				if same := b.Node().Topic(l.name).Config == before; same != (want == heir.Default) {
					t.Errorf("with %s=%s the topic runs with %+v", heir.Name, want, b.Node().Topic(l.name).Config)
				}
			}
			alter(t, "", k.Name, set, value)
			inForce(value, kmsg.ConfigSourceDynamicDefaultBrokerConfig)
			alter(t, id, k.Name, set, heir.Default)
			inForce(heir.Default, kmsg.ConfigSourceDynamicBrokerConfig)
			if d := described(c, kind, "", k.Name); d.Value == nil || *d.Value != value || d.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig {
				t.Errorf("for all brokers there is %+v", d)
			}
			alter(t, "", k.Name, remove, "")
			inForce(heir.Default, kmsg.ConfigSourceDynamicBrokerConfig)
			alter(t, id, k.Name, remove, "")
			inForce(heir.Default, kmsg.ConfigSourceDefaultConfig)
		})
	}
}

// TestBrokerKeysRefused: what brokers do not take is refused as Kafka does, by both requests, and changes nothing.
func TestBrokerKeysRefused(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	id := strconv.Itoa(int(b.Node().ID()))
	for _, x := range []struct {
		name, key, value string
		want             protocol.ErrorCode
		words            string
	}{
		{"", "node.id", "7", protocol.CodeInvalidRequest, "Cannot update these configs dynamically: [node.id]"},
		{id, "node.id", "7", protocol.CodeInvalidRequest, "Cannot update these configs dynamically: [node.id]"},
		{"", "log.retention.hours", "7", protocol.CodeInvalidRequest, "Cannot update these configs dynamically: [log.retention.hours]"},
		{"", "broker.drained", "true", protocol.CodeInvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: [broker.drained]"},
		{"", "log.retention.ms", "soon", protocol.CodeInvalidRequest, "log.retention.ms"},
		{id, "log.retention.ms", "-2", protocol.CodeInvalidRequest, "at least -1"},
		{id, "log.retention.ms", "99999999999999999999", protocol.CodeInvalidRequest, "log.retention.ms"},
		{"", "message.max.bytes", "2147483647", protocol.CodeInvalidRequest, "socket.request.max.bytes"}, // each by itself would do
		{"", "log.cleaner.threads", "129", protocol.CodeInvalidRequest, "at least 1 MiB for each of log.cleaner.threads (129)"},
		{id, "log.cleaner.max.compaction.lag.ms", "0", protocol.CodeInvalidRequest, "at least 1"},
		{"", "retention.ms", "7", protocol.CodeInvalidConfig, `"log.retention.ms"`},
		{"-1", "log.retention.ms", "7", protocol.CodeInvalidRequest, "broker"},
		{"one", "log.retention.ms", "7", protocol.CodeInvalidRequest, "broker"},
	} {
		inc := kmsg.NewPtrIncrementalAlterConfigsRequest()
		inc.Version = 1
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, x.name
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: x.key, Value: &x.value})
		inc.Resources = append(inc.Resources, r)
		full := kmsg.NewPtrAlterConfigsRequest()
		full.Version = 2
		f := kmsg.NewAlterConfigsRequestResource()
		f.ResourceType, f.ResourceName = kmsg.ConfigResourceTypeBroker, x.name
		f.Configs = append(f.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: x.key, Value: &x.value})
		full.Resources = append(full.Resources, f)
		got := ask[*kmsg.IncrementalAlterConfigsResponse](c, inc).Resources[0]
		gotFull := ask[*kmsg.AlterConfigsResponse](c, full).Resources[0]
		for _, y := range []struct {
			code    int16
			message *string
		}{{got.ErrorCode, got.ErrorMessage}, {gotFull.ErrorCode, gotFull.ErrorMessage}} {
			if protocol.ErrorCode(y.code) != x.want || y.message == nil || !strings.Contains(*y.message, x.words) {
				message := ""
				if y.message != nil {
					message = *y.message
				}
				t.Errorf("%s=%s of %q: %v, %q", x.key, x.value, x.name, protocol.ErrorCode(y.code), message)
			}
		}
	}
	if set := b.Node().Image().ClusterConfigs().Values; len(set) > 0 {
		t.Errorf("set after all: %v", set)
	}
}
