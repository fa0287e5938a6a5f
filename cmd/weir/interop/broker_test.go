//go:build interop

package interop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is the server under test: bin/weir, or whatever WEIR_INTEROP_BROKERS names.
type broker struct {
	address string
	proxy   string // where clients reach it, when there is one
	binary  string // empty for a broker that somebody else runs
	data    string
	logFile string
	sets    []string // settings, key=value
	args    []string // of start, beside those
	command *exec.Cmd
	exited  chan error
}

// startBroker starts bin/weir, or the binary that WEIR_INTEROP_BINARY names, on a free loopback port with
// its data in a temporary folder and these settings, and ends it with the test. With WEIR_INTEROP_BROKERS set it only checks that that broker answers: the way to prove
// the tests themselves against Apache Kafka.
func startBroker(t *testing.T, sets ...string) *broker {
	t.Helper()
	if address := os.Getenv("WEIR_INTEROP_BROKERS"); address != "" {
		b := &broker{address: address}
		b.await(t)
		return b
	}
	b := newBroker(t, sets...)
	b.start(t)
	return b
}

// newBroker is one that is not started yet.
func newBroker(t *testing.T, sets ...string) *broker {
	t.Helper()
	b := &broker{
		address: freeAddress(t),
		binary:  weirBinary(t),
		data:    filepath.Join(t.TempDir(), "data"),
		logFile: filepath.Join(t.TempDir(), "weir.log"),
		sets:    sets,
	}
	t.Cleanup(func() { b.finish(t) })
	return b
}

func weirBinary(t *testing.T) string {
	return cmp.Or(os.Getenv("WEIR_INTEROP_BINARY"), filepath.Join(repository(t), "bin", "weir"))
}

// finish stops the broker, and shows what it has said when the test has failed.
func (b *broker) finish(t *testing.T) {
	t.Helper()
	b.stop(t)
	if t.Failed() {
		t.Logf("the broker said:\n%s", tail(b.said(), 8000))
	}
}

func (b *broker) start(t *testing.T) {
	t.Helper()
	b.launch(t)
	b.await(t)
}

// launch starts the broker and does not wait for it, since it may lack its peers.
func (b *broker) launch(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(b.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b.command = exec.Command(b.binary, "start", "--data", b.data, "--listen", b.address, "--admin-listen", "127.0.0.1:0")
	b.command.Args = append(b.command.Args, b.args...)
	for _, set := range b.sets {
		b.command.Args = append(b.command.Args, "--set", set)
	}
	b.command.Stdout, b.command.Stderr = log, log
	b.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test die, nothing stays behind
	if err := b.command.Start(); err != nil {
		t.Fatalf("start the broker (make build first): %v", err)
	}
	b.exited = make(chan error, 1)
	go func(command *exec.Cmd, exited chan<- error) { exited <- command.Wait() }(b.command, b.exited)
}

// await asks until the broker answers.
func (b *broker) await(t *testing.T) {
	t.Helper()
	kafka, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		if kafka.Ping(ctx) == nil {
			return
		}
		select {
		case err := <-b.exited:
			t.Fatalf("the broker ended: %v\n%s", err, tail(b.said(), 8000))
		case <-ctx.Done():
			t.Fatalf("no answer from %s", b.address)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the broker by SIGTERM and wants a clean end.
func (b *broker) stop(t *testing.T) {
	t.Helper()
	if b.command == nil {
		return
	}
	if err := b.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal the broker: %v", err)
	}
	select {
	case err := <-b.exited:
		if err != nil {
			t.Errorf("the broker ended with %v after SIGTERM", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the broker did not end within 30 s of SIGTERM")
		b.command.Process.Kill()
		<-b.exited
	}
	b.command = nil
}

// said is what the broker has logged.
func (b *broker) said() []byte {
	text, _ := os.ReadFile(b.logFile) // nothing yet
	return text
}

// kill is kill -9, and waits for the end.
func (b *broker) kill(t *testing.T) {
	t.Helper()
	if err := b.command.Process.Kill(); err != nil {
		t.Errorf("kill the broker: %v", err)
	}
	<-b.exited
	b.command = nil
}

// firstPort and nextPort give each broker ports of its own, below those that the system gives to connections, which
// would take one while its broker is down.
var (
	firstPort = 12000 + rand.IntN(10000)
	nextPort  atomic.Int32
)

// freeAddress picks a loopback port that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+int(nextPort.Add(1))%10000)
		if ln, err := net.Listen("tcp", address); err == nil {
			ln.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func tail(b []byte, most int) []byte { return b[max(0, len(b)-most):] }
