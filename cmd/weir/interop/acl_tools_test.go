//go:build interop

package interop

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKafkaACLs: Kafka's own tool creates, lists and removes ACLs, and its consumer is refused and let through by them, without a
// restart of the broker. Everybody is User:ANONYMOUS, so the host is what decides.
func TestKafkaACLs(t *testing.T) {
	b := startBroker(t, "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true")
	const me, topic, group = "User:ANONYMOUS", "guarded", "guarded-readers"
	acls := func(args ...string) string {
		t.Helper()
		return runTool(t, "org.apache.kafka.tools.AclCommand", "", append([]string{"--bootstrap-server", b.address}, args...)...)
	}
	consume := func() (out, complaints string, err error) {
		t.Helper()
		return tryTool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "", "--bootstrap-server", b.address, "--topic", topic, "--group", group,
			"--from-beginning", "--max-messages", "1", "--timeout-ms", "30000")
	}
	lists := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Fatalf("no %q in:\n%s", part, out)
			}
		}
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	admin := kadm.NewClient(kafka)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if err := kafka.ProduceSync(t.Context(), kgo.StringRecord("hello")).FirstErr(); err != nil {
		t.Fatal(err)
	}

	// The cluster is this host's from now on, and the topic and the group are somebody else's.
	acls("--add", "--allow-principal", me, "--allow-host", "127.0.0.1", "--operation", "All", "--cluster")
	acls("--add", "--allow-principal", "User:alice", "--operation", "All", "--topic", "guard", "--group", "guard", "--resource-pattern-type", "prefixed")
	lists(acls("--list", "--topic", topic, "--resource-pattern-type", "match"), "name=guard, patternType=PREFIXED", "principal=User:alice", "operation=ALL, permissionType=ALLOW")
	if out, complaints, err := consume(); strings.Contains(out, "hello") || !strings.Contains(complaints, "AuthorizationException") {
		t.Fatalf("without a right to read: %v\n%s%s", err, out, complaints)
	}
	acls("--add", "--allow-principal", me, "--allow-host", "127.0.0.0/8", "--consumer", "--topic", topic, "--group", group)
	lists(acls("--list", "--principal", me), "name="+topic+", patternType=LITERAL", "name="+group, "host=127.0.0.0/8, operation=READ")
	if out, complaints, err := consume(); err != nil || !strings.Contains(out, "hello") {
		t.Fatalf("with the right to read: %v\n%s%s", err, out, complaints)
	}

	// franz-go sees the same, and takes it away.
	mine := kadm.NewACLs().Topics(topic).Allow(me).AllowHosts().Operations().ResourcePatternType(kadm.ACLPatternLiteral)
	described, err := admin.DescribeACLs(t.Context(), mine)
	if err != nil || len(described) != 1 || described[0].Err != nil || len(described[0].Described) != 2 {
		t.Fatalf("described: %+v, %v", described, err)
	}
	deleted, err := admin.DeleteACLs(t.Context(), mine)
	if err != nil || len(deleted) != 1 || deleted[0].Err != nil || len(deleted[0].Deleted) != 2 {
		t.Fatalf("deleted: %+v, %v", deleted, err)
	}
	if out, complaints, err := consume(); strings.Contains(out, "hello") || !strings.Contains(complaints, "TopicAuthorizationException") {
		t.Fatalf("after the right was taken away: %v\n%s%s", err, out, complaints)
	}
	acls("--remove", "--force", "--group", group, "--group", "guard", "--topic", "guard", "--resource-pattern-type", "any")
	if out := acls("--list"); strings.Contains(out, "guard") || !strings.Contains(out, "kafka-cluster") {
		t.Errorf("what was removed is there still, or more is gone:\n%s", out)
	}
}
