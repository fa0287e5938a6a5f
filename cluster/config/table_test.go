package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTableIsSound(t *testing.T) {
	names := map[string]bool{}
	for _, k := range sorted {
		if names[k.Name] {
			t.Errorf("%s appears twice", k.Name)
		}
		names[k.Name] = true
		if !regexp.MustCompile(`^[a-z0-9.]+$`).MatchString(k.Name) || k.Doc == "" || !strings.HasSuffix(k.Doc, ".") || strings.Contains(k.Doc, "\n") {
			t.Errorf("%s: name or doc line %q", k.Name, k.Doc)
		}
		if k.Status != Supported && k.Why == "" {
			t.Errorf("%s has no effect and does not say why", k.Name)
		}
		if !k.Null {
			if err := k.check(k.Default); err != nil {
				t.Errorf("default: %v", err)
			}
		} else if k.Default != "" {
			t.Errorf("%s has a default and is null", k.Name)
		}
		if k.Scope&(ScopeTopic|ScopeGroup) == 0 && len(k.From) > 0 {
			t.Errorf("%s: only keys of topics and groups take defaults from others", k.Name)
		}
		for _, from := range k.From {
			if b, ok := brokerKey(from.Name); !ok || (b.Status == Supported) != (k.Status == Supported) {
				t.Errorf("%s takes its default from %s, which is not a broker key of the same status", k.Name, from.Name)
			}
		}
		if got, ok := Lookup(k.Name); !ok || got != k {
			t.Errorf("%s cannot be looked up", k.Name)
		}
	}
}

// Every key with an effect is read into a field by some constructor.
func TestEveryKeyWithAnEffectIsRead(t *testing.T) {
	for _, k := range sorted {
		if k.Status != Supported || k.Name == "remote.storage.enable" {
			continue // the one key whose only value is its default
		}
		if !slices.ContainsFunc(variants, func(value string) bool { return changesSomething(k, value) }) {
			t.Errorf("setting %s changes nothing", k.Name)
		}
	}
}

// variants are values of which at least one is allowed for each key and is not its default.
var variants = []string{"2", "3", "12345", "1500000", "0.25", "true", "false", "compact", "gzip", "LogAppendTime", "/elsewhere",
	"PLAINTEXT://localhost:1", "PLAINTEXT", "localhost:1", "org.apache.kafka.common.replica.RackAwareReplicaSelector", "uniform", "disabled", "50000",
	"org.apache.kafka.metadata.authorizer.StandardAuthorizer", "User:a;User:b"}

// changesSomething sets the key where it can be set and compares the outcome with the default's.
// The listener names of a controller take a listener away, so there are two in both; bounds show where there
// is something beyond them.
func changesSomething(k *Key, value string) bool {
	if k.check(value) != nil {
		return false
	}
	if k.Scope&ScopeTopic != 0 {
		with, err := ResolveTopic(map[string]string{k.Name: value}, DefaultBroker())
		return err == nil && *with != DefaultBroker().Topic
	}
	if k.Scope&ScopeGroup != 0 {
		b := DefaultBroker()
		return ResolveGroup(map[string]string{k.Name: value}, b) != ResolveGroup(nil, b)
	}
	if k.ByRequest {
		with, err := DefaultBroker().With(nil, map[string]string{k.Name: value})
		return err == nil && shown(with) != shown(DefaultBroker())
	}
	for _, base := range []map[string]string{{}, {"listeners": "PLAINTEXT://localhost:9,OUT://localhost:8", "listener.security.protocol.map": "OUT:PLAINTEXT"},
		{"group.consumer.heartbeat.interval.ms": "15000", "group.consumer.session.timeout.ms": "60000"}} {
		without, err1 := New(base)
		values := map[string]string{k.Name: value}
		for name, v := range base {
			if name != k.Name {
				values[name] = v
			}
		}
		with, err2 := New(values)
		if err1 == nil && err2 != nil && k.Name == "listener.security.protocol.map" {
			return true // its effect is to refuse what it does not map
		}
		if err1 == nil && err2 == nil && shown(with) != shown(without) {
			return true
		}
	}
	return false
}

// shown is a broker without the settings it keeps for Describe.
func shown(b *Broker) string {
	c := *b
	c.settings = settings{}
	return fmt.Sprintf("%+v", c)
}

func TestTopicKeysOfKafka(t *testing.T) {
	for _, name := range strings.Fields(`cleanup.policy retention.ms retention.bytes segment.bytes segment.ms segment.jitter.ms
		segment.index.bytes index.interval.bytes max.message.bytes min.insync.replicas compression.type compression.gzip.level
		compression.lz4.level compression.zstd.level message.timestamp.type message.timestamp.before.max.ms
		message.timestamp.after.max.ms delete.retention.ms min.compaction.lag.ms max.compaction.lag.ms min.cleanable.dirty.ratio
		file.delete.delay.ms flush.messages flush.ms preallocate unclean.leader.election.enable remote.storage.enable
		local.retention.ms local.retention.bytes remote.log.copy.disable remote.log.delete.on.disable remote.copy.lag.bytes
		remote.copy.lag.ms errors.deadletterqueue.group.enable leader.replication.throttled.replicas
		follower.replication.throttled.replicas message.format.version message.downconversion.enable
		message.timestamp.difference.max.ms write.caching`) {
		if _, ok := topicKey(name); !ok {
			t.Errorf("%s is not a topic key", name)
		}
	}
}

func TestValues(t *testing.T) {
	good := map[string]string{
		"cleanup.policy": "compact,delete", "retention.ms": "-1", "min.cleanable.dirty.ratio": "0.5", "preallocate": "TRUE",
		"compression.gzip.level": "-1", "leader.replication.throttled.replicas": "0:1,1:2", "follower.replication.throttled.replicas": "*",
		"segment.bytes": " 14 ", "message.format.version": "whatever", "remote.storage.enable": "false", "compression.type": "zstd",
	}
	if err := ValidateTopic(good); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ key, value, allowed string }{
		{"cleanup.policy", "", "a list of compact, delete"}, {"cleanup.policy", "compact,compact", "a list of"}, {"cleanup.policy", "purge", "a list of"},
		{"retention.ms", "-2", "at least -1"}, {"retention.ms", "1d", "long, at least -1"}, {"segment.bytes", "13", "14 to 2147483647"},
		{"segment.bytes", "2147483648", "int, 14"}, {"min.cleanable.dirty.ratio", "1.1", "0 to 1"}, {"min.cleanable.dirty.ratio", "NaN", "double"},
		{"preallocate", "yes", "boolean, any boolean"}, {"compression.gzip.level", "0", "-1, or 1 to 9"}, {"compression.type", "brotli", "one of uncompressed"},
		{"leader.replication.throttled.replicas", "1", "pairs"}, {"remote.storage.enable", "true", "false (tiered storage is not served yet)"},
		{"min.compaction.lag.ms", "9223372036854775807", ""},
	} {
		err := ValidateTopic(map[string]string{c.key: c.value})
		if c.allowed == "" { // equal to the other bound: still in order
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var invalid *InvalidValueError
		if !errors.As(err, &invalid) || invalid.Key != c.key || invalid.Value != c.value || !strings.Contains(invalid.Allowed, c.allowed) {
			t.Errorf("%s=%s: got %v, want allowed: %s", c.key, c.value, err, c.allowed)
		}
	}
	err := ValidateTopic(map[string]string{"max.compaction.lag.ms": "5", "min.compaction.lag.ms": "6"})
	var invalid *InvalidValueError
	if !errors.As(err, &invalid) || invalid.Key != "min.compaction.lag.ms" {
		t.Error(err)
	}
	err = ValidateTopic(map[string]string{"retention.m": "1", "num.partitions": "1"})
	var unknown *UnknownKeyError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), `"retention.ms"?`) || !strings.Contains(err.Error(), `"num.partitions"`) {
		t.Error(err)
	}
}

func TestSuggestions(t *testing.T) {
	for name, want := range map[string]string{"retention.sm": "retention.ms", "cleanup.polcy": "cleanup.policy", "RETENTION.MS": "retention.ms", "xyz": "", "segment": ""} {
		if got := suggest(name, ScopeTopic); got != want {
			t.Errorf("%s: suggested %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abcd", "badc", 2},
		{"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := EditDistance(c.a, c.b, 10); got != c.want {
			t.Errorf("%s to %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if EditDistance("aaaaaaaa", "bbbbbbbb", 3) != 3 || EditDistance("a", "aaaaaaa", 3) != 3 {
		t.Error("limit")
	}
}
