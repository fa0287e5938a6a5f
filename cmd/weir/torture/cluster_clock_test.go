//go:build torture

package torture

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// jumpyNow stands in for time.Now in Weir's binary: every two seconds the wall clock is set anew, up to a minute
// ahead or behind, on each process otherwise. The monotonic clock goes on as it does.
const jumpyNow = `func Now() Time {
	t := steadyNow()
	h := (uint64(runtimeNano()/2e9) + uint64(startNano)) * 0x9e3779b97f4a7c15 >> 33
	if h%3 != 0 {
		t.addSec(int64(h%121) - 60)
	}
	return t
}

func steadyNow() Time {`

// jumpy builds a binary whose clock jumps.
func jumpy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const now = "func Now() Time {"
	if bytes.Count(text, []byte(now)) != 1 {
		t.Fatalf("%s has no %q: this Go tells the time otherwise", source, now)
	}
	changed, overlay, binary := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "weir")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{changed: bytes.Replace(text, []byte(now), []byte(jumpyNow), 1), overlay: list} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// TestClusterClock has the clocks of all brokers jump, while leaders are killed and halted.
func TestClusterClock(t *testing.T) {
	was := weir
	weir = jumpy(t)
	t.Cleanup(func() { weir = was })
	c := newTrio(t, newProxies(t))
	c.begin()
	for range clusterCycles(t) {
		for _, i := range c.rng.Perm(len(processFaults))[:3] {
			c.suffers(processFaults[i])
		}
	}
	c.finish()
}
