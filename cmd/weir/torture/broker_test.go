//go:build torture

package torture

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"
)

// patience bounds what has to happen within seconds; only a broken broker, or
// a machine that stands still, takes longer.
var patience = time.Minute

// setting reads a size from the environment.
func setting(t testing.TB, name string, fallback int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number from 1 on", name, text)
	}
	return n
}

// seed is what random choices of a test come from, and is printed.
func seed(t testing.TB) uint64 {
	s := uint64(setting(t, "WEIR_TORTURE_SEED", int(time.Now().UnixNano())))
	t.Logf("WEIR_TORTURE_SEED=%d", s)
	return s
}

// weir is the binary to attack, built before any test begins.
var weir string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if task := os.Getenv(processorEnv); task != "" {
		return process(task)
	}
	if text := os.Getenv("WEIR_TORTURE_PATIENCE"); text != "" {
		var err error
		if patience, err = time.ParseDuration(text); err != nil {
			fmt.Fprintln(os.Stderr, "WEIR_TORTURE_PATIENCE:", err)
			return 1
		}
	}
	if weir = os.Getenv("WEIR_TORTURE_BINARY"); weir == "" {
		dir, err := os.MkdirTemp("", "weir-torture-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		weir = filepath.Join(dir, "weir")
		if out, err := exec.Command("go", "build", "-o", weir, "weir/cmd/weir").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build weir: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// broker is a child process on a data directory and a fixed port, started and
// ended many times.
type broker struct {
	t       testing.TB
	data    string
	address string
	logFile string
	sets    []string // key=value
	args    []string // of start, beside those
	within  []string // command that runs the process elsewhere; nil: here
	seeds   []string // of clients; nil: address
	command *exec.Cmd
	exited  chan struct{}
	exit    error // after exited
}

// newBroker prepares one; start runs it. It is killed when the test ends.
func newBroker(t testing.TB, data string, sets ...string) *broker {
	t.Helper()
	b := &broker{t: t, data: data, address: freeAddress(t), logFile: filepath.Join(t.TempDir(), "weir.log"), sets: sets}
	t.Cleanup(func() {
		b.kill()
		if t.Failed() {
			t.Logf("the broker said at the end:\n%s", tail(b.said(), 6000))
		}
	})
	return b
}

// firstPort and nextPort give each broker ports of its own, below those that the system gives to connections, which
// would take one while its broker is down.
var (
	firstPort = 12000 + rand.IntN(10000)
	nextPort  atomic.Int32
)

// freeAddress picks a loopback port that was free a moment ago.
func freeAddress(t testing.TB) string {
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

// launch starts the process and does not wait for it to answer.
func (b *broker) launch() {
	b.t.Helper()
	logFile, err := os.OpenFile(b.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.t.Fatal(err)
	}
	defer logFile.Close()
	args := append([]string{"start", "--data", b.data, "--listen", b.address, "--admin-listen", "127.0.0.1:0"}, b.args...)
	for _, s := range b.sets {
		args = append(args, "--set", s)
	}
	line := append(append(b.within[:len(b.within):len(b.within)], weir), args...)
	b.command = exec.Command(line[0], line[1:]...)
	b.command.Stdout, b.command.Stderr = logFile, logFile
	// Should the test die, nothing stays behind.
	b.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.command.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.exited = make(chan struct{})
	go func(c *exec.Cmd, exited chan struct{}) {
		b.exit = c.Wait()
		close(exited)
	}(b.command, b.exited)
}

// start runs the process until it answers and says how long that took.
func (b *broker) start() time.Duration {
	b.t.Helper()
	began := time.Now()
	b.launch()
	b.answers()
	return time.Since(began)
}

// answers waits until the process that was launched does.
func (b *broker) answers() {
	b.t.Helper()
	client := b.client(kgo.SeedBrokers(b.address))
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for client.Ping(ctx) != nil {
		select {
		case <-b.exited:
			b.t.Fatalf("the broker ended instead of starting: %v\n%s", b.exit, tail(b.said(), 4000))
		case <-ctx.Done():
			b.t.Fatalf("the broker does not answer:\n%s", tail(b.said(), 4000))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// kill is kill -9, by process id, and waits for the end.
func (b *broker) kill() {
	if b.command == nil {
		return
	}
	if err := b.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		b.t.Errorf("kill: %v", err)
	}
	<-b.exited
	b.command = nil
}

// halt returns when no thread of the broker runs any more, not in the kernel either.
func (b *broker) halt() {
	b.t.Helper()
	if err := b.command.Process.Signal(syscall.SIGSTOP); err != nil {
		b.t.Fatal(err)
	}
	for {
		err := unix.Waitid(unix.P_PID, b.command.Process.Pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			b.t.Fatal(err)
		}
	}
}

// proceed ends halt, unless the broker has been killed.
func (b *broker) proceed() {
	b.t.Helper()
	if err := b.command.Process.Signal(syscall.SIGCONT); err != nil {
		b.t.Fatal(err)
	}
}

// stop ends the process in order.
func (b *broker) stop() {
	b.t.Helper()
	if err := b.command.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	select {
	case <-b.exited:
	case <-time.After(patience):
		b.t.Fatal("the broker does not end after SIGTERM")
	}
	if b.exit != nil {
		b.t.Errorf("the broker ended with %v after SIGTERM:\n%s", b.exit, tail(b.said(), 4000))
	}
	b.command = nil
}

// said is everything the broker has logged so far.
func (b *broker) said() []byte {
	text, _ := os.ReadFile(b.logFile)
	return text
}

// complaints are the lines of the log that no start and no kill may bring.
func (b *broker) complaints() (lines []string) {
	for line := range bytes.Lines(b.said()) {
		for _, word := range []string{"panic", "goroutine ", "SIGSEGV", "is offline", "corrupt", "had to stop"} {
			if bytes.Contains(line, []byte(word)) {
				lines = append(lines, string(bytes.TrimSpace(line)))
				break
			}
		}
	}
	return lines
}

func tail(b []byte, most int) []byte { return b[max(0, len(b)-most):] }

// client returns a client that comes back soon after a broker does.
func (b *broker) client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	seeds := b.seeds
	if seeds == nil {
		seeds = []string{b.address}
	}
	client, err := kgo.NewClient(append(patient(seeds), opts...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// patient are the options of a client that never gives up, and asks again soon.
func patient(seeds []string) []kgo.Opt {
	soon := func(int) time.Duration { return 20 * time.Millisecond }
	return []kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.RetryBackoffFn(soon), kgo.DialTimeout(time.Second), kgo.RequestRetries(1 << 20),
		kgo.MetadataMinAge(20 * time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.RetryTimeout(10 * time.Minute),
	}
}

// createTopic makes a topic; configs are key, value, key, value.
func (b *broker) createTopic(name string, partitions int32, configs ...string) {
	b.t.Helper()
	client := b.client()
	defer client.Close()
	values := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		values[configs[i]] = &configs[i+1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, values, name)
	if err := cmp.Or(err, r.Err); err != nil {
		b.t.Fatalf("create topic %s: %v", name, err)
	}
}

// bounds lists the first offset and the end of every partition of a topic.
func (b *broker) bounds(topic string) (starts, ends kadm.ListedOffsets) {
	b.t.Helper()
	client := b.client()
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		var err error
		if starts, err = admin.ListStartOffsets(ctx, topic); err == nil {
			ends, err = admin.ListEndOffsets(ctx, topic)
		}
		if err = cmp.Or(err, starts.Error(), ends.Error()); err == nil {
			return starts, ends
		}
		// A broker of a cluster that has just started may not know all leaders yet.
		if b.seeds == nil || ctx.Err() != nil {
			b.t.Fatalf("offsets of %s: %v", topic, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
