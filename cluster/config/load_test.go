package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// sampleServerProperties is what people have: Kafka's own KRaft sample in its active lines.
const sampleServerProperties = `
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/var/lib/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`

func TestServerPropertiesAsTheyAre(t *testing.T) {
	file, err := ParseFile("server.properties", []byte(sampleServerProperties))
	if err != nil {
		t.Fatal(err)
	}
	b, warnings, err := Load(Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Listeners) != 1 || b.Listeners[0].Address() != ":9092" || b.Advertised[0].Address() != "localhost:9092" || b.DataDir != "/var/lib/kraft-combined-logs" {
		t.Fatalf("%+v", b)
	}
	if len(warnings) != 13 || warnings[0] != "server.properties:4: controller.quorum.bootstrap.servers has no effect: "+whyKRaft {
		t.Fatalf("%d warnings:\n%s", len(warnings), strings.Join(warnings, "\n"))
	}
}

func TestPrecedenceAndOrigin(t *testing.T) {
	src := Sources{
		Profile: map[string]string{"num.partitions": "4", "node.id": "2", "log.retention.ms": "1"},
		File:    []Entry{{"num.partitions", "5", "f:1"}, {"log.retention.hours", "1", "f:2"}, {"node.id", "3", "f:3"}, {"max.connections", "9", "f:4"}},
		Env:     []Entry{{"node.id", "4", "KAFKA_NODE_ID"}, {"max.connections", "10", "KAFKA_MAX_CONNECTIONS"}},
		Flags:   []Entry{{"node.id", "5", "--set"}, {"node.id", "6", "--node-id"}},
	}
	b, warnings, err := Load(src)
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	if b.NodeID != 6 || b.Creation.NumPartitions != 5 || b.Network.MaxConnections != 10 || b.Topic.RetentionMillis != 1 {
		t.Fatalf("%+v", b)
	}
	origins := map[string]string{}
	for _, d := range b.Describe() {
		origins[d.Name] = d.Source.String() + " " + d.Where
	}
	for name, want := range map[string]string{"node.id": "flag --node-id", "num.partitions": "file f:1", "max.connections": "env KAFKA_MAX_CONNECTIONS",
		"log.retention.ms": "profile ", "log.segment.bytes": "default "} {
		if origins[name] != want {
			t.Errorf("%s comes from %q, want %q", name, origins[name], want)
		}
	}
}

func TestUnknownKeysStopTheStart(t *testing.T) {
	_, _, err := Load(Sources{File: []Entry{
		{"num.partition", "1", "f:1"}, {"retention.ms", "1", "f:2"}, {"log.segmnet.bytes", "1", "f:3"},
		{"completely.different.thing.altogether", "1", "f:4"}, {"Node.Id", "1", "f:5"}, {"node.id", "x", "f:6"},
	}})
	for _, want := range []string{
		`f:1: unknown configuration key "num.partition"; did you mean "num.partitions"?`,
		`f:2: unknown configuration key "retention.ms"; did you mean "log.retention.ms"?`,
		`f:3: unknown configuration key "log.segmnet.bytes"; did you mean "log.segment.bytes"?`,
		`f:4: unknown configuration key "completely.different.thing.altogether"` + "\n",
		`f:5: unknown configuration key "Node.Id"; did you mean "node.id"?`,
		`f:6: invalid value "x" for node.id: allowed: int, 0 to 2147483647`,
	} {
		if !strings.Contains(err.Error()+"\n", want) {
			t.Errorf("missing %q in\n%v", want, err)
		}
	}
	var unknown *UnknownKeyError
	if !errors.As(err, &unknown) {
		t.Error("not typed")
	}
}

func TestListeners(t *testing.T) {
	for _, c := range []struct{ listeners, advertised, protocols, want string }{
		{"", "", "", "PLAINTEXT://127.0.0.1:9092 as PLAINTEXT://127.0.0.1:9092"},
		{"127.0.0.1:0", "", "", "PLAINTEXT://127.0.0.1:0 as PLAINTEXT://127.0.0.1:0"},
		{"plaintext://[::1]:9092", "", "", "PLAINTEXT://[::1]:9092 as PLAINTEXT://[::1]:9092"},
		{"PLAINTEXT://:9092", "", "", "PLAINTEXT://:9092 as PLAINTEXT://myhost:9092"},
		{"PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://kafka.example.com:19092", "", "PLAINTEXT://0.0.0.0:9092 as PLAINTEXT://kafka.example.com:19092"},
		{"IN://127.0.0.1:1,OUT://127.0.0.1:2", "OUT://out:3", "IN:PLAINTEXT, out:plaintext", "IN://127.0.0.1:1 as IN://127.0.0.1:1; OUT://127.0.0.1:2 as OUT://out:3"},
		{"PLAINTEXT://0.0.0.0:9092", "", "", "! advertised.listeners=PLAINTEXT://broker1.example.com:9092"},
		{"PLAINTEXT://[::]:9092", "", "", "! advertised.listeners=PLAINTEXT://broker1.example.com:9092"},
		{"PLAINTEXT://a:1", "PLAINTEXT://0.0.0.0:9092", "", "! clients cannot connect to PLAINTEXT://0.0.0.0:9092"},
		{"PLAINTEXT://a:1", "PLAINTEXT://:0", "", "! broker1.example.com:1"},
		{"PLAINTEXT://a:1", "OTHER://a:1", "", "! no listener of that name"},
		{"SSL://a:1", "", "", "! not served yet"},
		{"SASL_PLAINTEXT://a:1", "", "", "! not served yet"},
		{"OUT://a:1", "", "OUT:SASL_SSL", "! not served yet"},
		{"OUT://a:1", "", "", "! add OUT:PLAINTEXT"},
		{"PLAINTEXT://a:1,PLAINTEXT://b:2", "", "", "! appears twice"},
		{"PLAINTEXT://a:70000", "", "", "! 0 to 65535"},
		{"PLAINTEXT://a", "", "", "! want NAME://host:port"},
		{"://a:1", "", "", "! name before"},
		{"", "PLAINTEXT://a", "", "! advertised.listeners: listener"},
		{"", "", "X", "! want NAME:PROTOCOL"},
		{" , ", "", "", "! at least one listener"},
	} {
		src := Sources{Hostname: "myhost"}
		for name, value := range map[string]string{"listeners": c.listeners, "advertised.listeners": c.advertised, "listener.security.protocol.map": c.protocols} {
			if value != "" {
				src.Flags = append(src.Flags, Entry{Name: name, Value: value})
			}
		}
		b, _, err := Load(src)
		got := ""
		if err != nil {
			got = "! " + err.Error()
		} else {
			for i, l := range b.Listeners {
				got += l.String() + " as " + b.Advertised[i].String() + "; "
			}
			got = strings.TrimSuffix(got, "; ")
		}
		if rest, refused := strings.CutPrefix(c.want, "! "); got != c.want && !(refused && err != nil && strings.Contains(got, rest)) {
			t.Errorf("%+v: got %s", c, got)
		}
	}
	if _, err := New(map[string]string{"listeners": "PLAINTEXT://:9092"}); err == nil {
		t.Error("an empty host was advertised without a host name")
	}
}

func TestBrokerMustFitTogether(t *testing.T) {
	for name, values := range map[string]map[string]string{
		"consumer timeouts":   {"group.consumer.min.session.timeout.ms": "2", "group.consumer.max.session.timeout.ms": "1"},
		"session timeouts":    {"group.min.session.timeout.ms": "2", "group.max.session.timeout.ms": "1"},
		"compaction lags":     {"log.cleaner.min.compaction.lag.ms": "2", "log.cleaner.max.compaction.lag.ms": "1"},
		"message size":        {"message.max.bytes": "2048", "socket.request.max.bytes": "1024"},
		"one directory twice": {"log.dirs": "a,./a"},
		"one within another":  {"log.dirs": "a/b,c,a"},
		"no directory":        {"log.dirs": "", "log.dir": ""},
	} {
		if b, err := New(values); err == nil {
			t.Errorf("%s: taken as %+v", name, b)
		}
	}
}

func TestOlderNamesOfKeys(t *testing.T) {
	b, err := New(map[string]string{"broker.id": "7", "log.dir": "d", "connections.max.idle.ms": "-1", "log.retention.hours": "-1"})
	if err != nil || b.NodeID != 7 || b.DataDir != "d" || b.Network.MaxIdle != 0 || b.Topic.RetentionMillis != -1 {
		t.Fatalf("%+v, %v", b, err)
	}
	b, err = New(map[string]string{"broker.id": "7", "node.id": "8", "log.dir": "d", "log.dirs": "e"})
	if err != nil || b.NodeID != 8 || b.DataDir != "e" {
		t.Fatalf("%+v, %v", b, err)
	}
}

func TestDevProfile(t *testing.T) {
	b, warnings, err := Load(Sources{Profile: DevProfile()})
	if err != nil || len(warnings) != 0 || b.Creation.NumPartitions != 4 || b.Groups.InitialRebalanceDelay != 0 {
		t.Fatalf("%+v, %v, %v", b, warnings, err)
	}
	if b.Topic != DefaultBroker().Topic {
		t.Fatal("weir dev promises what weir start promises")
	}
}

func TestDuration(t *testing.T) {
	for millis, want := range map[int64]time.Duration{-1: 0, 0: 0, 1500: 1500 * time.Millisecond, maxLong: maxLong, maxLong / 1000: maxLong} {
		if got := Duration(millis); got != want {
			t.Errorf("%d ms is %v, want %v", millis, got, want)
		}
	}
}

// A key that is set by request only has no place in a file.
func TestLoadRefusesWhatIsSetByRequest(t *testing.T) {
	_, err := New(map[string]string{BrokerDrained: "true"})
	var refused *NotAllowedError
	if !errors.As(err, &refused) || refused.Key != BrokerDrained {
		t.Errorf("got %v", err)
	}
}

// TestAccess: an authorizer that cannot be loaded stops the start, since its rules would not hold.
func TestAccess(t *testing.T) {
	b, err := New(map[string]string{
		"authorizer.class.name": standardAuthorizer, "super.users": " User:CN=a,O=b; ;User:c:d;", "allow.everyone.if.no.acl.found": "true",
	})
	if err != nil || !b.Access.ByACLs || !b.Access.AllowEveryone || !slices.Equal(b.Access.SuperUsers, []string{"User:CN=a,O=b", "User:c:d"}) {
		t.Errorf("%+v, %v", b, err)
	}
	if b := DefaultBroker().Access; b.ByACLs || b.AllowEveryone || b.SuperUsers != nil {
		t.Errorf("by default %+v", b)
	}
	for key, value := range map[string]string{"authorizer.class.name": "kafka.security.authorizer.AclAuthorizer", "super.users": "User:a;b"} {
		_, err := New(map[string]string{key: value})
		var invalid *InvalidValueError
		if !errors.As(err, &invalid) || invalid.Key != key {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
}
