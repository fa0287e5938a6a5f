package command

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"weir/cmd/weir/fault"
)

// leaves calls f for every command that does something.
func leaves(t *testing.T, f func(path string, c *cobra.Command)) {
	t.Helper()
	n := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.HasSubCommands() && !c.Hidden && c.Name() != "help" {
			n++
			f(strings.TrimPrefix(c.CommandPath(), "weir "), c)
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	s, _, _ := (&cli{t: t}).streams(nil)
	walk(New(s))
	if n < 15 {
		t.Fatalf("only %d commands found", n)
	}
}

// doers are the commands whose purpose is not to show something. All others have to offer JSON.
var doers = []string{"start", "dev kill", "dev restart", "dev stop", "dev purge", "produce", "completion", "topic create", "topic alter", "topic delete", "topic add-partitions", "topic trim", "group delete", "group alter",
	"txn abort", "quota set", "quota delete", "acl create", "acl delete", "log repair", "partition move", "partition transfer-leader", "broker drain", "broker undrain", "broker decommission"}

func TestEveryReadCommandOffersJSON(t *testing.T) {
	leaves(t, func(path string, c *cobra.Command) {
		if slices.Contains(doers, path) {
			return
		}
		flag := c.Flags().Lookup("output")
		if flag == nil || flag.Shorthand != "o" {
			t.Errorf("weir %s has no -o", path)
			return
		}
		allowed := flag.Value.(*formatValue).allowed
		for _, want := range []string{"table", "json", "jsonl"} {
			if !slices.Contains(words(allowed), want) {
				t.Errorf("weir %s -o lacks %s", path, want)
			}
			if err := flag.Value.Set(want); err != nil {
				t.Errorf("weir %s -o %s: %v", path, want, err)
			}
		}
	})
}

// offline are the commands that talk to no broker.
var offline = []string{"start", "dev status", "dev kill", "dev restart", "dev stop", "dev purge", "completion", "version", "dump", "log verify", "log repair"}

func TestConnectionFlagsAreTheSameEverywhere(t *testing.T) {
	leaves(t, func(path string, c *cobra.Command) {
		if slices.Contains(offline, path) {
			return
		}
		for name, short := range map[string]string{"brokers": "b", "bootstrap-server": "", "property": "X", "timeout": "", "verbose": "v"} {
			if f := c.Flags().Lookup(name); f == nil || f.Shorthand != short {
				t.Errorf("weir %s: --%s (-%s) is missing or other", path, name, short)
			}
		}
	})
}

var destructive = []string{"topic delete", "topic trim", "group delete", "txn abort", "dev purge", "broker decommission", "log repair"}

// A destructive command asks unless -y is given, and can be tried with --dry-run.
func TestDestructiveCommands(t *testing.T) {
	leaves(t, func(path string, c *cobra.Command) {
		yes, dry := c.Flags().Lookup("yes"), c.Flags().Lookup("dry-run")
		if asks := slices.Contains(destructive, path); asks != (yes != nil) || asks && (yes.Shorthand != "y" || yes.DefValue != "false" || dry == nil) {
			t.Errorf("weir %s: -y is %v, --dry-run is %v", path, yes, dry)
		}
	})
}

func TestHelpIsWhole(t *testing.T) {
	leaves(t, func(path string, c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("weir %s: Short is %q", path, c.Short)
		}
		if c.Long != "" && !strings.Contains(c.Long, "\n  weir ") && !strings.Contains(c.Long, "(weir ") {
			t.Errorf("weir %s: Long has no example", path)
		}
	})
}

func TestUsageErrors(t *testing.T) {
	c := &cli{t: t, addr: "127.0.0.1:1"}
	for _, test := range []struct {
		line  string
		words string
	}{
		{"topc list", `Did you mean "topic"?`},
		{"topic lst", `Did you mean "list"?`},
		{"topic nonsense", "There are add-partitions, alter, create"},
		{"produce", "weir produce needs TOPIC [VALUE...]"},
		{"replay a b", `takes TOPIC, not also "b"`},
		{"version now", `takes nothing, not also "now"`},
		{"consume t --frm start", "unknown flag: --frm"},
		{"consume t -o xml", "text, jsonl, json, table"},
		{"consume t --from soon", "--from: cannot read"},
		{"consume t --from 1..2 --to 3", "has an end already"},
		{"consume t -e --to 3", "give one"},
		{"consume t -e --follow", "--follow has no end"},
		{"consume t -n -1", "above zero"},
		{"consume t --filter paid", "write key, value or header.NAME"},
		{"consume t -f %q", "unknown escape"},
		{"consume t -o raw --meta-only", "nothing but content"},
		{"produce t v --tombstone", "needs -k KEY"},
		{"produce t v -k a --tombstone", "without a value"},
		{"produce t v -i jsonl", "here a VALUE is given"},
		{"produce t v -H nocolon", "write name:value"},
		{"produce t v -p -2", "counted from 0"},
		{"produce t v --acks 2", "0, 1 or all"},
		{"produce t v -z rar", "one of none"},
		{"produce t v --timestamp soon", "--timestamp"},
		{"produce t v --rate fast", "500/s"},
		{"produce t -f %q", "unknown"},
		{"replay t --resume x", "say where with --into"},
		{"topic create t -p 0", "at least one partition"},
		{"topic create t -r 0", "at least one copy"},
		{"topic create t -c x", "write key=value"},
		{"topic create t -c x=1 -c x=2", "given twice"},
		{"topic alter t", "-c key=value or --unset key"},
		{"topic alter t -c a=1 --unset a", "to -c and to --unset"},
		{"topic add-partitions t", "--add N or --to N"},
		{"topic add-partitions t --add 1 --to 2", "--add N or --to N"},
		{"topic trim t", "first to keep"},
		{"topic trim t --to soon", "--to: cannot read"},
		{"topic offsets t --at soon", "--at: cannot read"},
		{"topic list -X what", "-X what: write key=value"},
		{"topic list -b x:y", "not within"},
		{"completion tcsh", "bash, zsh, fish and powershell"},
		{"completion bsh", `Did you mean "bash"?`},
		{"dump --records --index .", "different views"},
		{"start --set x", "write key=value"},
		{"start --set num.partition=3", `num.partitions`},
		{"start --config /does/not/exist.properties", "no such file"},
		{"dev --set num.partitions=none", "num.partitions"},
		{"cluster health --within 5s", "goes with --exit-when-healthy"},
		{"cluster health --exit-when-healthy", "with --watch"},
		{"partition move t 0", "--to, or --cancel"},
		{"partition move t 0 --to 1 --cancel", "--to, or --cancel"},
		{"partition move t", "needs TOPIC PARTITION"},
		{"broker decommission x", "no broker's number"},
		{"dev now", "weir dev has no command \"now\""},
		{"dev --nodes 0", "1 to 9 brokers"},
		{"dev --nodes 10", "1 to 9 brokers"},
		{"dev --nodes 3 --listen 127.0.0.1:9092", "say --port-base"},
		{"dev --port-base 9092", "goes with --nodes"},
		{"dev kill", "needs NODE"},
		{"dev kill 1 2", "takes NODE, not also"},
		{"dev status extra", "takes nothing"},
		{"bench produce --acks 2", "--acks"},
		{"bench produce --keys many", "--keys"},
		{"bench produce --floor x", "add --raw"},
		{"bench consume --floor x", "add --raw"},
		{"bench consume --fetch x", "is not a size"},
		{"bench e2e -c x", "write key=value"},
		{"bench produce -X acks=1", "described by its own flags"},
	} {
		c.fails(fault.WrongUsage, strings.Fields(test.line), "error:", test.words, "--help")
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := &cli{t: t, addr: "127.0.0.1:1"}
	for _, line := range []string{"topic list", "consume t", "produce t v", "replay t", "api-versions", "bench e2e", "topic delete t -y"} {
		c.fails(fault.TooLate, strings.Fields(line), "no broker answers on 127.0.0.1:1", "weir dev")
	}
}

func TestHelpAndVersionNeedNothing(t *testing.T) {
	c := &cli{t: t}
	if out := c.ok(); !strings.Contains(out, "weir dev") {
		t.Errorf("no command: %s", out)
	}
	if out := c.ok("topic"); !strings.Contains(out, "Available Commands") {
		t.Errorf("a group: %s", out)
	}
	if out := c.ok("version"); !strings.HasPrefix(out, "weir "+Version) {
		t.Errorf("version: %s", out)
	}
	if out := c.ok("version", "-o", "json"); !strings.Contains(out, `"version": "`+Version+`"`) {
		t.Errorf("version as JSON: %s", out)
	}
	if out := c.ok("consume", "-X", "list"); !strings.Contains(out, "linger.ms") {
		t.Errorf("-X list: %s", out)
	}
}

func TestInterrupted(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s, _, errs := c.streams(nil)
	if code := Main(ctx, []string{"consume", "t"}, s); code != fault.Interrupted || errs.String() != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func TestColourOnlyWhereItIsWanted(t *testing.T) {
	for _, test := range []struct {
		tty  bool
		env  string
		want bool
	}{{false, "", false}, {true, "", true}, {true, "NO_COLOR=1", false}, {true, "TERM=dumb", false}} {
		s, _, _ := (&cli{t: t, tty: test.tty}).streams(nil)
		if name, value, ok := strings.Cut(test.env, "="); ok {
			s.Getenv = func(n string) string {
				if n == name {
					return value
				}
				return ""
			}
		}
		if got := s.colour("31", "x") != "x"; got != test.want {
			t.Errorf("%+v: colour is %v", test, got)
		}
	}
}
