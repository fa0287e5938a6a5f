//go:build interop

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs until it is killed. The test fails when it ends by itself.
type process struct {
	name    string
	command *exec.Cmd
	said    string // file of its standard output and error
	killed  chan struct{}
	exited  chan struct{}
}

// launch starts a program, with input as all of its standard input, and kills it when the test ends.
func launch(t *testing.T, name string, argv, env []string, input string) *process {
	t.Helper()
	p := &process{name: name, said: filepath.Join(t.TempDir(), "said"), killed: make(chan struct{}), exited: make(chan struct{})}
	said, err := os.Create(p.said)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	p.command = exec.Command(argv[0], argv[1:]...)
	p.command.Env = append(os.Environ(), env...)
	p.command.Stdin, p.command.Stdout, p.command.Stderr = strings.NewReader(input), said, said
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test die, nothing stays behind
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		err := p.command.Wait()
		select {
		case <-p.killed:
		default:
			t.Errorf("%s ended by itself: %v", name, err)
		}
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail([]byte(p.output(t)), 2000))
		}
	})
	return p
}

// kill ends the program by SIGKILL. It may have been killed before.
func (p *process) kill() {
	select {
	case <-p.killed:
	default:
		close(p.killed)
	}
	p.command.Process.Kill()
	<-p.exited
}

// output is what the program has said.
func (p *process) output(t *testing.T) string {
	t.Helper()
	said, err := os.ReadFile(p.said)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// await waits until something holds, and gives up when the test has failed meanwhile.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for late := time.After(patience); !holds(); {
		select {
		case <-late:
			t.Fatalf("after %v: %s", patience, what)
		case <-time.After(50 * time.Millisecond):
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}
