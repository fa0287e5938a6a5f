//go:build mutants

package mutants

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// patience bounds one harness; what a bug makes wait for ever is not caught.
const patience = 4 * time.Minute

// TestCaught plants each bug and wants each harness that is named for it to
// fail, with the words that are named.
func TestCaught(t *testing.T) {
	for _, m := range All {
		t.Run(m.Name, func(t *testing.T) {
			if m.Absent != "" {
				t.Logf("%s: not planted: %s", m.Bug, m.Absent)
				return
			}
			root := moduleRoot(t)
			overlay, err := m.Overlay(root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range m.Caught {
				began := time.Now()
				out, failed := h.run(t, root, overlay)
				said := regexp.MustCompile(h.Says).Find(out)
				switch {
				case !failed:
					t.Errorf("%s: %s in %s does not see it:\n%s", m.Bug, h.Run, h.Package, tail(out))
				case said == nil:
					t.Errorf("%s: %s in %s fails, and says nothing like %q:\n%s", m.Bug, h.Run, h.Package, h.Says, tail(out))
				default:
					t.Logf("%s: caught by %s in %s after %v: %.200s", m.Bug, h.Run, h.Package, time.Since(began).Round(100*time.Millisecond), said)
				}
				if os.Getenv("WEIR_MUTANTS_KEEP") != "" {
					t.Logf("it said:\n%s", out)
				}
			}
		})
	}
}

// run has the harness meet the bug.
func (h Harness) run(t *testing.T, root, overlay string) (out []byte, failed bool) {
	t.Helper()
	args := []string{"test", "-count", "1", "-v", "-timeout", patience.String(), "-run", h.Run}
	env := append(os.Environ(), h.Env...)
	if h.Broker {
		weir := filepath.Join(t.TempDir(), "weir")
		build(t, root, "build", "-overlay", overlay, "-o", weir, "./cmd/weir")
		args = append(args, "-tags", "torture")
		env = append(env, "WEIR_TORTURE_BINARY="+weir)
	} else {
		build(t, root, "vet", "-overlay", overlay, "./"+h.Package)
		args = append(args, "-overlay", overlay)
	}
	// A failed attack leaves its data behind, to be looked at: here that goes with the test.
	env = append(env, "TMPDIR="+t.TempDir())
	ctx, cancel := context.WithTimeout(context.Background(), patience+time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "go", append(args, "./"+h.Package)...)
	c.Dir, c.Env = root, env
	out, err := c.CombinedOutput()
	return out, err != nil
}

// build wants a go command to succeed: code that does not compile fails its tests, too.
func build(t *testing.T, root string, args ...string) {
	t.Helper()
	c := exec.Command("go", args...)
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
