package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func find(t *testing.T, list []Description, name string) Description {
	t.Helper()
	if !slices.IsSortedFunc(list, func(a, b Description) int { return strings.Compare(a.Name, b.Name) }) {
		t.Fatal("not sorted")
	}
	i := slices.IndexFunc(list, func(d Description) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("%s is missing", name)
	}
	return list[i]
}

func synonyms(d Description) string {
	var parts []string
	for _, s := range d.Synonyms {
		parts = append(parts, fmt.Sprintf("%s=%s@%d", s.Name, s.Value, s.Source.ConfigSource()))
	}
	return strings.Join(parts, " ")
}

func TestDescribeTopic(t *testing.T) {
	b, err := New(map[string]string{"log.retention.hours": "2", "log.retention.minutes": "3", "log.segment.bytes": "99"})
	if err != nil {
		t.Fatal(err)
	}
	b, err = b.With(map[string]string{"log.segment.bytes": "100"}, map[string]string{"log.segment.bytes": "101"})
	if err != nil {
		t.Fatal(err)
	}
	list := DescribeTopic(map[string]string{"segment.bytes": "102", "message.format.version": "3.0"}, b)
	if d := find(t, list, "segment.bytes"); d.Value != "102" || d.Source != FromTopic || d.ReadOnly || d.Type != TypeInt ||
		synonyms(d) != "segment.bytes=102@1 log.segment.bytes=101@2 log.segment.bytes=100@3 log.segment.bytes=99@4 log.segment.bytes=1073741824@5" {
		t.Errorf("%+v: %s", d, synonyms(d))
	}
	if d := find(t, list, "retention.ms"); d.Value != "180000" || d.Source != FromFlag || d.Source.ConfigSource() != 4 ||
		synonyms(d) != "log.retention.minutes=3@4 log.retention.hours=2@4 log.retention.hours=168@5" {
		t.Errorf("%+v: %s", d, synonyms(d))
	}
	if d := find(t, list, "cleanup.policy"); d.Value != "delete" || d.Source != FromDefault || d.Doc == "" || synonyms(d) != "log.cleanup.policy=delete@5" {
		t.Errorf("%+v", d)
	}
	if d := find(t, list, "message.format.version"); d.Value != "3.0" {
		t.Errorf("%+v", d)
	}
	for _, d := range DescribeTopic(nil, b) {
		if k, _ := Lookup(d.Name); k.Status == Removed || d.Null {
			t.Errorf("%s is listed without having been set", d.Name)
		}
	}
	topic, err := ResolveTopic(map[string]string{"segment.bytes": "102", "cleanup.policy": "compact, delete"}, b)
	if err != nil || topic.SegmentBytes != 102 || topic.RetentionMillis != 180000 || !topic.Compact || !topic.Delete || b.Topic.SegmentBytes != 101 {
		t.Errorf("%+v, %v", topic, err)
	}
}

func TestDescribeBroker(t *testing.T) {
	b, _, err := Load(Sources{File: []Entry{
		{"ssl.keystore.password", "secret", "f:1"}, {"delegation.token.secret.key", "secret", "f:2"}, {"num.io.threads", "8", "f:3"}}})
	if err != nil {
		t.Fatal(err)
	}
	list := b.Describe()
	for _, name := range []string{"ssl.keystore.password", "delegation.token.secret.key"} {
		if d := find(t, list, name); !d.Sensitive || !d.Null || d.Value != "" || strings.Contains(fmt.Sprintf("%+v", d), "secret}") || synonyms(d) != name+"=@4" {
			t.Errorf("%+v", d)
		}
	}
	if d := find(t, list, "num.io.threads"); d.Value != "8" || !d.ReadOnly || d.Source != FromFile {
		t.Errorf("%+v", d)
	}
	if d := find(t, list, "node.id"); !d.ReadOnly || d.Value != "1" || d.Source != FromDefault {
		t.Errorf("%+v", d)
	}
	if d := find(t, list, "log.retention.ms"); d.ReadOnly || !d.Null || len(d.Synonyms) != 0 {
		t.Errorf("%+v", d)
	}
	for _, name := range []string{"delete.topic.enable", "log.dirs", "min.insync.replicas", "auto.create.topics.enable", "default.replication.factor", "num.partitions"} {
		find(t, list, name) // tools read these
	}
	if slices.ContainsFunc(list, func(d Description) bool { return d.Name == "zookeeper.connect" }) {
		t.Error("an ignored key is listed without having been set")
	}
}

// TestDescribeOrder: of every key the first synonym is the value that is in force, the layers follow one another as in
// Kafka, and whatever has no effect says so.
func TestDescribeOrder(t *testing.T) {
	static := map[string]string{"log.retention.hours": "2", "log.retention.minutes": "3", "log.roll.hours": "4", "log.segment.bytes": "99"}
	b, err := New(static)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"log.retention.ms": "7", "log.segment.bytes": "100", "compression.type": "zstd"}
	if b, err = b.With(values, map[string]string{"log.segment.bytes": "101"}); err != nil {
		t.Fatal(err)
	}
	rank := map[int8]int{1: 1, 8: 1, 2: 2, 3: 3, 4: 4, 5: 5}
	overrides := map[string]string{"retention.ms": "9", "local.retention.ms": "5", "message.format.version": "1"}
	for _, list := range [][]Description{DescribeTopic(overrides, b), b.Describe(), DescribeGroup(nil, b), DescribeCluster(values)} {
		for _, d := range list {
			if d.Null != (len(d.Synonyms) == 0) || !d.Null && d.Synonyms[0].Source != d.Source {
				t.Errorf("%s=%q of %v: its synonyms are %s", d.Name, d.Value, d.Source, synonyms(d))
			}
			if !slices.IsSortedFunc(d.Synonyms, func(a, b Synonym) int { return rank[a.Source.ConfigSource()] - rank[b.Source.ConfigSource()] }) {
				t.Errorf("%s: %s", d.Name, synonyms(d))
			}
			k, _ := Lookup(d.Name)
			if strings.Contains(d.Doc, "without effect") != (k.Status != Supported) {
				t.Errorf("%s: %q", d.Name, d.Doc)
			}
		}
	}
	for name, want := range map[string]string{
		"log.retention.ms": "log.retention.ms=7@3 log.retention.minutes=3@4 log.retention.hours=2@4 log.retention.hours=168@5",
		"log.roll.ms":      "", "log.roll.hours": "log.roll.hours=4@4 log.roll.hours=168@5",
		"log.segment.bytes": "log.segment.bytes=101@2 log.segment.bytes=100@3 log.segment.bytes=99@4 log.segment.bytes=1073741824@5",
	} {
		if got := synonyms(find(t, b.Describe(), name)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if d := find(t, DescribeCluster(values), "log.segment.bytes"); d.Value != "100" || synonyms(d) != "log.segment.bytes=100@3" {
		t.Errorf("of all brokers: %+v, %s", d, synonyms(d))
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	k := &Key{Name: "p", Type: TypeInt, Sensitive: true}
	if err := k.check("hunter2"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func TestWithKeepsTheOriginal(t *testing.T) {
	b := DefaultBroker()
	c, err := b.With(map[string]string{"num.partitions": "3"}, map[string]string{"max.connections": "4"})
	if err != nil || c.Creation.NumPartitions != 3 || c.Network.MaxConnections != 4 || b.Creation.NumPartitions != 1 {
		t.Fatal(c, err)
	}
	d, err := c.With(nil, nil)
	if err != nil || d.Creation.NumPartitions != 1 {
		t.Fatal("dynamic values do not go away")
	}
	host, _, err := Load(Sources{Hostname: "h", Flags: []Entry{{Name: "listeners", Value: "PLAINTEXT://:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := host.With(nil, nil); err != nil || again.Advertised[0].Host != "h" {
		t.Fatal(err)
	}
	if _, err := b.With(nil, map[string]string{"message.max.bytes": "2147483647"}); err == nil {
		t.Fatal("values that do not fit together")
	}
}

func TestAlterTopic(t *testing.T) {
	b, err := New(map[string]string{"log.cleanup.policy": "delete"})
	if err != nil {
		t.Fatal(err)
	}
	old := map[string]string{"retention.ms": "5", "leader.replication.throttled.replicas": "0:1,1:1"}
	kept := maps.Clone(old)
	got, err := AlterTopic(old, []Op{
		{Name: "retention.ms", Kind: OpDelete}, {Name: "segment.bytes", Kind: OpSet, Value: "99"},
		{Name: "cleanup.policy", Kind: OpAppend, Value: "compact,delete"},
		{Name: "leader.replication.throttled.replicas", Kind: OpSubtract, Value: "0:1, 7:7"},
		{Name: "retention.bytes", Kind: OpDelete},
	}, b)
	want := map[string]string{"segment.bytes": "99", "cleanup.policy": "delete,compact", "leader.replication.throttled.replicas": "1:1"}
	if err != nil || !maps.Equal(got, want) || !maps.Equal(old, kept) {
		t.Fatalf("got %v, %v", got, err)
	}
	if got, err := AlterTopic(nil, []Op{{Name: "segment.ms", Value: "7"}}, b); err != nil || got["segment.ms"] != "7" {
		t.Fatal(got, err)
	}
	for _, ops := range [][]Op{
		{{Name: "retention.ms", Kind: OpAppend, Value: "1"}},
		{{Name: "retention.ms", Kind: OpSubtract, Value: "1"}},
		{{Name: "retention.ms", Kind: 4}},
		{{Name: "retention.ms", Value: "1"}, {Name: "retention.ms", Kind: OpDelete}},
	} {
		_, err := AlterTopic(nil, ops, b)
		var refused *NotAllowedError
		if !errors.As(err, &refused) || refused.Key != "retention.ms" || err.Error() == "" {
			t.Errorf("%+v: %v", ops, err)
		}
	}
	_, err = AlterTopic(nil, []Op{{Name: "num.partitions", Value: "1"}}, b)
	var unknown *UnknownKeyError
	if !errors.As(err, &unknown) {
		t.Error(err)
	}
	_, err = AlterTopic(nil, []Op{{Name: "cleanup.policy", Kind: OpSubtract, Value: "delete"}}, b)
	var invalid *InvalidValueError
	if !errors.As(err, &invalid) {
		t.Errorf("nothing is left of the policy: %v", err)
	}
}

func TestAlterBroker(t *testing.T) {
	b := DefaultBroker()
	got, err := AlterBroker(map[string]string{"max.connections": "5"}, []Op{
		{Name: "log.cleanup.policy", Kind: OpAppend, Value: "compact"}, {Name: "max.connections", Kind: OpDelete}, {Name: "log.retention.ms", Value: "7"}}, b)
	if err != nil || !maps.Equal(got, map[string]string{"log.cleanup.policy": "delete,compact", "log.retention.ms": "7"}) {
		t.Fatal(got, err)
	}
	_, err = AlterBroker(nil, []Op{{Name: "node.id", Value: "5"}}, b)
	var readOnly *ReadOnlyError
	if !errors.As(err, &readOnly) || !strings.HasPrefix(err.Error(), "Cannot update these configs dynamically: [node.id]") {
		t.Error(err)
	}
	err = ValidateBroker(map[string]string{"retention.ms": "1", "num.partitions": "0", "num.io.threads": "3"})
	if err == nil || !strings.Contains(err.Error(), `did you mean "log.retention.ms"`) || !strings.Contains(err.Error(), "1 to 2147483647") || strings.Contains(err.Error(), "num.io") {
		t.Error(err)
	}
	_, err = AlterBroker(nil, []Op{{Name: "num.partitons", Value: "5"}}, b)
	if err == nil || !strings.Contains(err.Error(), `"num.partitions"`) {
		t.Error(err)
	}
}
