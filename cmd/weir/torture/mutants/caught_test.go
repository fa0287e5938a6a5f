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

// attempts is how often an attack may run until it meets the bug.
const attempts = 3

// TestCaught plants each bug and wants each harness that is named for it to
// fail, with the words that are named.
func TestCaught(t *testing.T) {
	for _, m := range All {
		t.Run(m.Name, func(t *testing.T) {
			root := moduleRoot(t)
			overlay, err := m.Overlay(root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range m.Caught {
				h.bites(t, m, root, overlay)
			}
		})
	}
}

// bites wants the harness to fail and to say what is named. An attack may miss its moment, or something else may
// come between: it is repeated.
func (h Harness) bites(t *testing.T, m Mutant, root, overlay string) {
	t.Helper()
	began := time.Now()
	test, env := h.build(t, root, overlay)
	for n := 1; ; n++ {
		out, failed := h.run(t, root, test, env)
		said := regexp.MustCompile(h.Says).Find(out)
		if os.Getenv("WEIR_MUTANTS_VERBOSE") != "" {
			t.Logf("%s said:\n%s", h.Run, out)
		}
		switch {
		case failed && said != nil:
			t.Logf("%s: caught by %s in %s after %v: %.200s", m.Bug, h.Run, h.Package, time.Since(began).Round(100*time.Millisecond), said)
			return
		case h.Broker && n < attempts:
			t.Logf("attempt %d of %s fails: %t, for another reason", n, h.Run, failed)
		case !failed:
			t.Fatalf("%s: %s in %s does not see it:\n%s", m.Bug, h.Run, h.Package, tail(out))
		default:
			t.Fatalf("%s: %s in %s fails, and says nothing like %q:\n%s", m.Bug, h.Run, h.Package, h.Says, tail(out))
		}
	}
}

// build makes the binary of the harness's tests, and what else they need of their environment.
func (h Harness) build(t *testing.T, root, overlay string) (test string, env []string) {
	t.Helper()
	dir := t.TempDir()
	test, env = filepath.Join(dir, "test"), append(os.Environ(), h.Env...)
	if !h.Broker {
		command(t, root, "go", "test", "-c", "-overlay", overlay, "-o", test, "./"+h.Package)
		return test, env
	}
	weir := filepath.Join(dir, "weir")
	command(t, root, "go", "build", "-overlay", overlay, "-o", weir, "./cmd/weir")
	command(t, root, "go", "test", "-c", "-tags", "torture", "-o", test, "./"+h.Package)
	// Network namespaces are left alone: these tests may run beside others that have some. Bugs make wait in vain.
	return test, append(env, "WEIR_TORTURE_BINARY="+weir, "WEIR_TORTURE_NETNS=no", "WEIR_TORTURE_PATIENCE=20s")
}

// run has the harness meet the bug. A failed attack leaves its data behind, to be looked at: here that goes
// with the test.
func (h Harness) run(t *testing.T, root, test string, env []string) (out []byte, failed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience+time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, test, "-test.v", "-test.timeout", patience.String(), "-test.run", h.Run)
	c.Dir, c.Env = filepath.Join(root, h.Package), append(env, "TMPDIR="+t.TempDir())
	out, err := c.CombinedOutput()
	return out, err != nil
}

// command wants a command to succeed: code that does not compile fails its tests, too.
func command(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
