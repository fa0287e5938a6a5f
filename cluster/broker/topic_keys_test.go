package broker_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/cluster/config"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// liveTopic is a topic of a running broker, of which a key is changed.
type liveTopic struct {
	t    *testing.T
	c    *rawClient
	b    *broker.Broker
	name string
	last int // what shows looked at the last time
}

func (l *liveTopic) partition() *partition.Partition {
	l.t.Helper()
	p, err := l.b.Node().Topic(l.name).Partition(0)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// put produces one batch.
func (l *liveTopic) put(records ...recordbatch.Record) protocol.ErrorCode {
	return protocol.ErrorCode(l.c.produce(l.name, 0, -1, batchOf(l.t, plain, recordbatch.CodecNone, records...)).ErrorCode)
}

// at is a record of a time, in milliseconds after testTime.
func at(ms int64) recordbatch.Record {
	r := record("k", strings.Repeat("v", 100))
	r.Timestamp += ms
	return r
}

// maintain has retention look as if an hour later.
func (l *liveTopic) maintain() int64 {
	l.t.Helper()
	p := l.partition()
	if err := p.Maintain(time.Now().Add(time.Hour)); err != nil {
		l.t.Fatal(err)
	}
	return p.LogStartOffset()
}

// compact makes a pass, as if so much later, and says how many records it removed.
func (l *liveTopic) compact(later time.Duration) int64 {
	l.t.Helper()
	done, err := l.partition().Compact(l.t.Context(), time.Now().Add(later), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return int64(done.Records)
}

// stored is the newest batch as it is read.
func (l *liveTopic) stored() []byte {
	l.t.Helper()
	return l.c.fetch(l.name, 0, l.partition().HighWatermark()-1).RecordBatches
}

// otherSize says whether text is stored in another size than the time before.
func otherSize(l *liveTopic) bool {
	var text bytes.Buffer
	for i := range 2000 {
		text.WriteString(strconv.Itoa(i * i % 977))
		text.WriteString(" of the words ")
	}
	l.put(recordbatch.Record{Timestamp: testTime, Key: []byte("k"), Value: text.Bytes()})
	size := len(l.stored())
	other := l.last != 0 && size != l.last
	l.last = size
	return other
}

// synced says whether what is produced is synced to disk soon.
func synced(l *liveTopic) bool {
	l.put(at(0))
	n := int(l.b.Node().SyncTimes().Count)
	grew := n > l.last
	l.last = n
	return grew
}

func (l *liveTopic) rolls(records ...recordbatch.Record) bool {
	n := l.partition().Segments()
	for _, r := range records {
		l.put(r)
	}
	return l.partition().Segments() > n
}

const never = "9223372036854775807"

// topicKeyCases has for each topic key with an effect what it is set to on a running broker, and what shows the effect:
// shows is false before and true soon after.
var topicKeyCases = map[string]struct {
	begin map[string]string // what else the topic has
	value string
	shows func(l *liveTopic) bool
}{
	"cleanup.policy": {value: "compact", shows: func(l *liveTopic) bool {
		return l.put(recordbatch.Record{Timestamp: testTime, Value: []byte("keyless")}) == protocol.CodeInvalidRecord
	}},
	"retention.ms": {map[string]string{"segment.bytes": "200"}, "1", func(l *liveTopic) bool {
		l.put(at(time.Now().UnixMilli() - testTime))
		return l.maintain() > 0
	}},
	"retention.bytes": {map[string]string{"segment.bytes": "200", "retention.ms": "-1"}, "1", func(l *liveTopic) bool {
		l.put(at(0))
		return l.maintain() > 0
	}},
	"segment.bytes":     {nil, "200", func(l *liveTopic) bool { return l.rolls(at(0), at(0), at(0)) }},
	"segment.ms":        {nil, "1000", func(l *liveTopic) bool { return l.rolls(at(0), at(5000)) }},
	"segment.jitter.ms": {map[string]string{"segment.ms": "100000"}, "100000", func(l *liveTopic) bool { return l.rolls(at(0), at(99_999)) }},
	"index.interval.bytes": {map[string]string{"segment.bytes": "2000"}, "0", func(l *liveTopic) bool {
		for range 40 {
			l.put(at(0))
		}
		files, err := filepath.Glob(filepath.Join(l.partition().Dir(), "*.index"))
		if err != nil || len(files) < 3 {
			l.t.Fatalf("%d index files, %v", len(files), err)
		}
		info, err := os.Stat(files[len(files)-2]) // of the newest sealed one
		return err == nil && info.Size() > 100
	}},
	"max.message.bytes":   {nil, "100", func(l *liveTopic) bool { return l.put(at(0)) == protocol.CodeMessageTooLarge }},
	"min.insync.replicas": {nil, "2", func(l *liveTopic) bool { return l.put(at(0)) == protocol.CodeNotEnoughReplicas }},
	"compression.type": {nil, "gzip", func(l *liveTopic) bool {
		l.put(at(0))
		h, err := recordbatch.ParseHeader(l.stored())
		return err == nil && h.Codec() == recordbatch.CodecGzip
	}},
	"compression.gzip.level": {map[string]string{"compression.type": "gzip"}, "1", otherSize},
	"compression.lz4.level":  {map[string]string{"compression.type": "lz4"}, "1", otherSize},
	"compression.zstd.level": {map[string]string{"compression.type": "zstd"}, "22", otherSize},
	"message.timestamp.type": {nil, "LogAppendTime", func(l *liveTopic) bool {
		return l.c.produce(l.name, 0, -1, batchOf(l.t, plain, recordbatch.CodecNone, at(0))).LogAppendTime > testTime
	}},
	"message.timestamp.before.max.ms": {nil, "1000", func(l *liveTopic) bool { return l.put(at(0)) == protocol.CodeInvalidTimestamp }},
	"message.timestamp.after.max.ms": {nil, "1000", func(l *liveTopic) bool {
		return l.put(at(time.Now().Add(time.Minute).UnixMilli()-testTime)) == protocol.CodeInvalidTimestamp
	}},
	"delete.retention.ms": {map[string]string{"cleanup.policy": "compact", "segment.bytes": "200", "min.cleanable.dirty.ratio": "0"}, "0",
		func(l *liveTopic) bool {
			l.put(recordbatch.Record{Timestamp: testTime, Key: []byte("gone")}) // the last of its key
			l.put(at(0))
			l.put(at(0))
			l.compact(0)
			l.put(at(0))
			l.put(at(0))
			l.compact(time.Minute)
			for h, err := range l.partition().Batches(0, l.partition().HighWatermark()) {
				if err != nil {
					l.t.Fatal(err)
				}
				if h.RecordCount > 0 && h.SizeBytes() < 100 { // the tombstone; the others are larger
					return false
				}
			}
			return true
		}},
	"min.compaction.lag.ms": {map[string]string{"cleanup.policy": "compact", "segment.bytes": "200", "min.cleanable.dirty.ratio": "0", "min.compaction.lag.ms": "9000000000000"}, "0",
		func(l *liveTopic) bool {
			l.rolls(at(0), at(0), at(0))
			return l.compact(0) > 0
		}},
	"max.compaction.lag.ms": {map[string]string{"cleanup.policy": "compact"}, "1000", func(l *liveTopic) bool { return l.rolls(at(0), at(5000)) }},
	"min.cleanable.dirty.ratio": {map[string]string{"cleanup.policy": "compact", "segment.bytes": "200", "min.cleanable.dirty.ratio": "1"}, "0",
		func(l *liveTopic) bool {
			l.rolls(at(0), at(0), at(0))
			l.compact(0) // all is dirty the first time
			l.rolls(at(0), at(0), at(0))
			return l.compact(0) > 0
		}},
	"flush.messages": {map[string]string{"write.caching": "true", "flush.ms": never}, "1", synced},
	"flush.ms":       {map[string]string{"write.caching": "true", "flush.ms": never}, "0", synced},
	"write.caching": {nil, "true", func(l *liveTopic) bool {
		l.put(at(0))
		_, err := os.Stat(filepath.Join(l.partition().Dir(), "cached"))
		return err == nil
	}},
}

// TestTopicKeysTakeEffect walks all keys that a topic takes: what has an effect has it on a running broker, at once, and
// is without it before; what has none is taken, shown, and says so.
func TestTopicKeysTakeEffect(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	topic := kmsg.ConfigResourceTypeTopic
	for _, k := range config.Keys(config.ScopeTopic) {
		t.Run(k.Name, func(t *testing.T) {
			l := &liveTopic{t: t, c: c, b: b, name: k.Name}
			x, known := topicKeyCases[k.Name]
			switch {
			case k.Name == "remote.storage.enable": // its effect is to be refused
				l.c.createTopic(l.name, 1, nil)
				if got := incremental(c, topic, l.name, k.Name, kmsg.IncrementalAlterConfigOpSet, "true"); got != protocol.CodeInvalidConfig {
					t.Errorf("true: %v", got)
				}
				return
			case known != (k.Status == config.Supported):
				t.Fatalf("the key is to have an effect: %v; there is a test of that: %v", k.Status == config.Supported, known)
			case !known:
				l.c.createTopic(l.name, 1, nil)
				value := k.Default
				if k.Null {
					value = "1"
				}
				if got := incremental(c, topic, l.name, k.Name, kmsg.IncrementalAlterConfigOpSet, value); got != 0 {
					t.Fatal(got)
				}
				d := described(c, topic, l.name, k.Name)
				if d.Value == nil || *d.Value != value || d.Source != kmsg.ConfigSourceDynamicTopicConfig || !strings.Contains(*d.Documentation, "without effect") {
					t.Errorf("shown as %+v", d)
				}
				return
			}
			l.c.createTopic(l.name, 1, x.begin)
			brokertest.Eventually(t, "there is no effect yet", func() bool { return !x.shows(l) })
			if got := incremental(c, topic, l.name, k.Name, kmsg.IncrementalAlterConfigOpSet, x.value); got != 0 {
				t.Fatal(got)
			}
			brokertest.Eventually(t, "there is an effect", func() bool { return x.shows(l) })
		})
	}
}

// described is one key with its documentation and synonyms.
func described(c *rawClient, kind kmsg.ConfigResourceType, name, key string) kmsg.DescribeConfigsResponseResourceConfig {
	c.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeDocumentation, req.IncludeSynonyms = 4, true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, []string{key}
	req.Resources = append(req.Resources, r)
	got := ask[*kmsg.DescribeConfigsResponse](c, req).Resources[0]
	if got.ErrorCode != 0 || len(got.Configs) > 1 {
		c.t.Fatalf("describe %s of %q: %+v", key, name, got)
	}
	if len(got.Configs) == 0 {
		return kmsg.NewDescribeConfigsResponseResourceConfig()
	}
	return got.Configs[0]
}
