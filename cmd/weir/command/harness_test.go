package command

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "bench" && os.Args[2] == floorVerb { // a comparison starts itself
		os.Exit(Main(context.Background(), os.Args[1:], System()))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(binaryDir)
		os.Exit(code)
	}))
}

// cli is a command line against a broker, in process.
type cli struct {
	t      testing.TB
	addr   string
	broker *broker.Broker
	now    time.Time // zero: the clock's
	tty    bool      // all three streams count as terminals
}

// newCLI starts a broker as weir dev would and returns a command line that finds it by its environment.
func newCLI(t testing.TB) *cli {
	t.Helper()
	b := brokertest.Start(t, map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4"})
	return &cli{t: t, addr: b.Addr(), broker: b}
}

// streams are those of one run: stdin, and buffers for the rest.
func (c *cli) streams(in io.Reader) (s *Streams, out, errs *lockedBuffer) {
	out, errs = new(lockedBuffer), new(lockedBuffer)
	env := func(name string) string {
		if name == "WEIR_BROKERS" {
			return c.addr
		}
		return ""
	}
	now := time.Now
	if !c.now.IsZero() {
		now = func() time.Time { return c.now }
	}
	return &Streams{In: in, Out: out, Err: errs, Getenv: env, Now: now, Environ: []string{"KAFKA_ADMIN_LISTENER=127.0.0.1:0"},
		InTerminal: c.tty, OutTerminal: c.tty, ErrTerminal: c.tty}, out, errs
}

// run runs one command line to its end, at most a minute.
func (c *cli) run(stdin string, args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, out, errs := c.streams(strings.NewReader(stdin))
	code = Main(ctx, args, s)
	if ctx.Err() != nil {
		c.t.Fatalf("weir %q did not end; it said\n%s%s", args, out, errs)
	}
	return out.String(), errs.String(), code
}

// ok is run for what has to succeed; it returns stdout.
func (c *cli) ok(args ...string) string {
	c.t.Helper()
	return c.okIn("", args...)
}

func (c *cli) okIn(stdin string, args ...string) string {
	c.t.Helper()
	out, errs, code := c.run(stdin, args...)
	if code != 0 {
		c.t.Fatalf("weir %q: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// fails is run for what has to fail with a code and, at stderr, all of the words.
func (c *cli) fails(code int, args []string, words ...string) {
	c.t.Helper()
	out, errs, got := c.run("", args...)
	if got != code {
		c.t.Errorf("weir %q: exit %d, want %d\n%s%s", args, got, code, out, errs)
	}
	if out != "" {
		c.t.Errorf("weir %q failed and wrote to stdout: %s", args, out)
	}
	for _, w := range words {
		if !strings.Contains(errs, w) {
			c.t.Errorf("weir %q: %s\nlacks %q", args, errs, w)
		}
	}
}

// lockedBuffer is a bytes.Buffer that may be read while a command writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await returns when the buffer holds text, which has to be within a minute.
func (l *lockedBuffer) await(t testing.TB, text string) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(l.String(), text) {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%q never came; there is\n%s", text, l)
		}
	}
}

// start runs a command line beside the test, until stop, which returns its exit code.
func (c *cli) start(stdin io.Reader, args ...string) (out, errs *lockedBuffer, stop func() int) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, out, errs := c.streams(stdin)
	code := make(chan int, 1)
	go func() { code <- Main(ctx, args, s) }()
	var once sync.Once
	last := -1
	stop = func() int {
		once.Do(func() { cancel(); last = <-code })
		return last
	}
	c.t.Cleanup(func() { stop() })
	return out, errs, stop
}
