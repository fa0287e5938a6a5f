package command

import (
	"strings"
	"testing"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
)

// newGuardedCLI is newCLI with a broker that goes by ACLs, where everybody may do everything.
func newGuardedCLI(t *testing.T) *cli {
	t.Helper()
	b := brokertest.Start(t, map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
	})
	return &cli{t: t, addr: b.Addr(), broker: b}
}

// fields are the words of a text, line by line.
func fields(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

const aclHeader = "RESOURCE PATTERN PRINCIPAL HOST PERMISSION OPERATION"

// TestACLLife: ACLs are created, seen in each form, and removed.
func TestACLLife(t *testing.T) {
	c := newGuardedCLI(t)
	if got := c.ok("acl", "list", "-o", "json"); got != "[]\n" {
		t.Errorf("no ACLs: %s", got)
	}
	line := []string{"acl", "create", "--allow", "User:a", "--host", "10.0.0.7", "--operation", "read,Describe_Configs", "--topic", "orders"}
	want := "2 ACLs\n" + aclHeader + "\ntopic:orders literal User:a 10.0.0.7 allow describe-configs\ntopic:orders literal User:a 10.0.0.7 allow read"
	if got := fields(c.ok(append(line, "--dry-run")...)); got != "would create "+want {
		t.Errorf("--dry-run: %s", got)
	}
	if got := fields(c.ok(line...)); got != "created "+want {
		t.Errorf("create: %s", got)
	}
	c.ok("acl", "create", "--deny", "User:*", "--operation", "all", "--topic", "ord", "--group", "g", "--prefix")
	c.ok("acl", "create", "--allow", "User:CN=a,O=b", "--host", "10.0.0.0/8,::1", "--operation", "alter", "--cluster")
	c.ok("acl", "create", "--allow", "User:a", "--operation", "write", "--transactional-id", "*")
	all := aclHeader + "\ncluster:kafka-cluster literal User:CN=a,O=b 10.0.0.0/8 allow alter\ncluster:kafka-cluster literal User:CN=a,O=b ::1 allow alter\n" +
		"group:g prefixed User:* * deny all\n" +
		"topic:ord prefixed User:* * deny all\n" +
		"topic:orders literal User:a 10.0.0.7 allow describe-configs\ntopic:orders literal User:a 10.0.0.7 allow read\n" +
		"transactional-id:* literal User:a * allow write"
	if got := fields(c.ok("acl", "list")); got != all {
		t.Errorf("list:\n%s\nwant\n%s", got, all)
	}
	for words, want := range map[string]int{
		"--topic orders": 3, "--topic ord --prefix": 1, "--topic orders --group g2": 4, "--transactional-id x": 1, "--cluster": 2, "--prefix": 2,
		"--principal User:a": 3, "--host 10.0.0.7": 2, "--operation all": 2, "--permission deny": 2, "--permission deny --operation read": 0,
	} {
		if got := strings.Count(c.ok(append([]string{"acl", "list", "-o", "jsonl"}, strings.Fields(words)...)...), "\n"); got != want {
			t.Errorf("list %s: %d, want %d", words, got, want)
		}
	}
	if got := c.ok("acl", "list", "--transactional-id", "x", "-o", "jsonl"); got != `{"resource":"transactional-id:*","pattern":"literal","principal":"User:a","host":"*","permission":"allow","operation":"write"}`+"\n" {
		t.Errorf("json: %s", got)
	}
	if got := fields(c.ok("acl", "delete", "--topic", "orders", "--operation", "read", "--dry-run")); got != "would remove 1 ACL\n"+aclHeader+"\ntopic:orders literal User:a 10.0.0.7 allow read" {
		t.Errorf("delete --dry-run: %s", got)
	}
	if got := c.ok("acl", "delete", "--topic", "ord"); got != "removed 0 ACLs\n" {
		t.Errorf("a name that is a prefix only: %s", got)
	}
	if got := c.ok("acl", "delete", "--topic", "orders", "--topic", "ord", "--prefix"); !strings.HasPrefix(got, "removed 1 ACL\n") {
		t.Errorf("a prefix: %s", got)
	}
	if got := c.ok("acl", "delete", "--principal", "User:a"); !strings.HasPrefix(got, "removed 3 ACLs\n") {
		t.Errorf("a principal: %s", got)
	}
	c.ok("topic", "create", "orders")
	for line, want := range map[string]string{
		"acl create --operation |": "all read write create delete alter describe cluster-action describe-configs alter-configs idempotent-write",
		"acl list --permission |":  "allow deny",
		"acl list --topic |":       "orders",
		"acl create --allow |":     "User:",
	} {
		words := append(strings.Fields(strings.TrimSuffix(line, "|")), "")
		if got := strings.Join(complete(c, words...), " "); !strings.Contains(got, want) {
			t.Errorf("%s offers %q, want %q", line, got, want)
		}
	}
}

func TestACLLinesThatAreRefused(t *testing.T) {
	c := newGuardedCLI(t)
	for words, want := range map[string]string{
		"acl create --operation read --topic t":                         "--allow",
		"acl create --allow User:a --topic t":                           "--operation",
		"acl create --allow User:a --operation read":                    "--topic",
		"acl create --allow a --operation read --topic t":               "User:NAME",
		"acl create --allow User:a --operation look --topic t":          "idempotent-write",
		"acl create --allow User:a --operation any --topic t":           "there is no operation",
		"acl create --allow User:a --operation read --cluster --prefix": "one cluster",
		"acl create --allow User:a --operation read --topic t x":        "takes nothing",
		"acl list --permission maybe":                                   "allow or deny",
		"acl list --principal a":                                        "User:NAME",
		"acl delete":                                                    "say which",
		"acl delete --prefix":                                           "say which",
		"acl create --allow User:a --operation read --topic=":           "is empty",
	} {
		c.fails(fault.WrongUsage, strings.Fields(words), want)
	}
	c.fails(fault.Failed, []string{"acl", "create", "--allow", "User:a", "--host", "example.org", "--operation", "read", "--topic", "t"}, "INVALID_REQUEST", "example.org")
	open := newCLI(t)
	for _, words := range []string{"acl list", "acl delete --topic t", "acl create --allow User:a --operation read --topic t"} {
		open.fails(fault.Failed, strings.Fields(words), "SECURITY_DISABLED", "authorizer.class.name")
	}
}
