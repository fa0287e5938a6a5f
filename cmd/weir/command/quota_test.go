package command

import (
	"strings"
	"testing"

	"weir/cmd/weir/fault"
)

// TestQuotaLife: quotas are set, seen in each form, changed and removed.
func TestQuotaLife(t *testing.T) {
	c := newCLI(t)
	if got := c.ok("quota", "list", "-o", "json"); got != "[]\n" {
		t.Errorf("no quotas: %s", got)
	}
	if got := c.ok("quota", "set", "client-id=billing", "-c", "producer_byte_rate=10MiB/s", "-c", "request_percentage=12.5%", "--dry-run"); got != "would change quotas of client-id=billing: producer_byte_rate=10485760; request_percentage=12.5\n" {
		t.Errorf("--dry-run: %s", got)
	}
	c.ok("quota", "set", "client-id=billing", "-c", "producer_byte_rate=10MiB/s", "-c", "request_percentage=12.5%")
	c.ok("quota", "set", "user=ANONYMOUS", "client-id", "-c", "consumer_byte_rate=1000")
	want := "ENTITY                    PRODUCE     FETCH     REQUESTS\n" +
		"client-id user=ANONYMOUS  -           1000 B/s  -\n" +
		"client-id=billing         10.0 MiB/s  -         12.5%\n"
	if got := c.ok("quota", "list"); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("list:\n%swant\n%s", got, want)
	}
	if got := c.ok("quota", "list", "-o", "name"); got != "client-id user=ANONYMOUS\nclient-id=billing\n" {
		t.Errorf("names: %s", got)
	}
	if got := c.ok("quota", "describe", "client-id=billing"); got != "client-id=billing\n  producer_byte_rate=10485760 (10.0 MiB/s)\n  request_percentage=12.5 (12.5%)\n" {
		t.Errorf("describe: %s", got)
	}
	if got := c.ok("quota", "describe", "client-id", "user=ANONYMOUS", "-o", "jsonl"); got != `{"entity":"client-id user=ANONYMOUS","quotas":{"consumer_byte_rate":1000}}`+"\n" {
		t.Errorf("json: %s", got)
	}
	c.ok("quota", "set", "client-id=billing", "--unset", "request_percentage")
	if got := c.ok("quota", "delete", "client-id=billing", "--dry-run"); got != "would remove client-id=billing\n  producer_byte_rate=10485760 (10.0 MiB/s)\n" {
		t.Errorf("delete --dry-run: %s", got)
	}
	for line, want := range map[string]string{
		"quota describe client-id=b|":    "client-id=billing",
		"quota set user=ANONYMOUS |":     "client-id client-id= client-id=billing",
		"quota set client-id -c |":       "producer_byte_rate= consumer_byte_rate= request_percentage=",
		"quota set client-id --unset r|": "producer_byte_rate consumer_byte_rate request_percentage",
	} {
		words := strings.Fields(strings.Replace(line, "|", "", 1))
		if strings.HasSuffix(line, " |") {
			words = append(words, "")
		}
		if got := strings.Join(complete(c, words...), " "); !strings.Contains(got, want) {
			t.Errorf("%s offers %q, want %q", line, got, want)
		}
	}
	c.ok("quota", "delete", "client-id=billing")
	c.fails(fault.Failed, []string{"quota", "delete", "client-id=billing"}, "no quota of its own", "weir quota list")
	c.fails(fault.Failed, []string{"quota", "describe", "client-id", "user=ANONYMOUSE"}, `client-id user=ANONYMOUS`)
}

func TestQuotaLinesThatAreRefused(t *testing.T) {
	c := newCLI(t)
	for words, want := range map[string]string{
		"quota set":                                              "ENTITY",
		"quota set client-id=x":                                  "-c",
		"quota set ip=1 -c producer_byte_rate=1":                 "client-id=NAME",
		"quota set user= -c producer_byte_rate=1":                "client-id=NAME",
		"quota set user=a user=b -c producer_byte_rate=1":        "twice",
		"quota set user client-id x -c producer_byte_rate=1":     "ENTITY",
		"quota set user -c byte_rate=1":                          "request_percentage",
		"quota set user -c producer_byte_rate=fast":              "is not a size",
		"quota set user -c request_percentage=half":              "is not a percentage",
		"quota set user -c producer_byte_rate=1 -c x":            "key=value",
		"quota set user -c request_percentage=1 -c producer_x=1": "producer_x",
	} {
		c.fails(fault.WrongUsage, strings.Fields(words), want)
	}
	c.fails(fault.Failed, []string{"quota", "set", "user", "-c", "producer_byte_rate=0"}, "INVALID_REQUEST", "above 0")
	c.fails(fault.Failed, []string{"quota", "set", "user", "--unset", "x"}, "INVALID_REQUEST", "producer_byte_rate")
}
