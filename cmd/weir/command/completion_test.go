package command

import (
	"slices"
	"strings"
	"testing"
)

// complete is what a shell gets for a command line whose last word is being typed.
func complete(c *cli, words ...string) []string {
	c.t.Helper()
	out := c.ok(append([]string{"__complete"}, words...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[:len(lines)-1] // the last is a directive
}

func TestCompletionOfTopics(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "orders", "payments")
	for line, want := range map[string]string{
		"consume |": "orders payments", "consume orders |": "payments", "produce |": "orders payments", "produce orders |": "",
		"topic delete o|": "orders payments", "replay t --into |": "orders payments", "topic create |": "", "topic describe |": "orders payments",
		"produce x -z |": "none gzip snappy lz4 zstd", "produce x --acks |": "all 1 0", "consume x --filter |": "key= value: header.",
		"topic list -o |": "table wide json jsonl name", "consume x -o |": "text jsonl json table value raw hex",
	} {
		words := strings.Fields(strings.Replace(line, "|", "", 1))
		if strings.HasSuffix(line, " |") {
			words = append(words, "")
		}
		if got := strings.Join(complete(c, words...), " "); got != want {
			t.Errorf("%s offers %q, want %q", line, got, want)
		}
	}
}

func TestCompletionOfKeys(t *testing.T) {
	c := &cli{t: t, addr: "127.0.0.1:1"}
	for line, want := range map[string]string{
		"topic create t -c retention.|": "retention.ms=", "topic alter t --unset retention.b|": "retention.bytes",
		"dev --set num.part|": "num.partitions=", "topic list -X linger|": "linger.ms=",
	} {
		if got := complete(c, strings.Fields(strings.TrimSuffix(line, "|"))...); !slices.Contains(got, want) {
			t.Errorf("%s offers %q, want %q among them", line, got, want)
		}
	}
}

func TestCompletionIsSilentWithoutABroker(t *testing.T) {
	c := &cli{t: t, addr: "127.0.0.1:1"}
	out, errs, code := c.run("", "__complete", "consume", "")
	if code != 0 || out != ":4\n" || strings.Contains(errs, "error") || strings.Contains(errs, "refused") {
		t.Errorf("exit %d: %q, %q", code, out, errs)
	}
}

func TestCompletionScripts(t *testing.T) {
	c := &cli{t: t}
	for _, shell := range shells {
		if out := c.ok("completion", shell); !strings.Contains(out, "weir") || !strings.Contains(out, "__complete") {
			t.Errorf("%s: %.200s", shell, out)
		}
	}
}
