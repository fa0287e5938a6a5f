package connect

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/fault"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		want string
	}{
		{nil, nil, "127.0.0.1:9092"},
		{nil, []string{"BOOTSTRAP_SERVERS", "c:3"}, "c:3"},
		{nil, []string{"BOOTSTRAP_SERVERS", "c:3", "KAFKA_BROKERS", "b:2"}, "b:2"},
		{nil, []string{"KAFKA_BROKERS", "b:2", "WEIR_BROKERS", "a:1, a2:1"}, "a:1 a2:1"},
		{[]string{"-X", "metadata.broker.list=x:9,y"}, []string{"WEIR_BROKERS", "a:1"}, "x:9 y:9092"},
		{[]string{"-b", "x:9", "-X", "bootstrap.servers=y:9"}, nil, "x:9"},
		{[]string{"--bootstrap-server", "x,y:1"}, nil, "x:9092 y:1"},
		{[]string{"-b", "::1", "-b", "[::1]:5", "-b", ":7"}, nil, "[::1]:9092 [::1]:5 127.0.0.1:7"},
	} {
		got, err := parse(t, c.args...).Addresses(env(c.env...))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%v %v: %v, %v, want %s", c.args, c.env, got, err, c.want)
		}
	}
	for _, args := range [][]string{{"-b", "x:0"}, {"-b", "x:99999"}, {"-b", "x:y"}, {"-b", "x:1:2"}, {"-b", "x,,y"}, {"-X", "nonsense"}} {
		if got, err := parse(t, args...).Addresses(env()); fault.ExitCode(err) != fault.WrongUsage {
			t.Errorf("%v: %v, %v, want a usage error", args, got, err)
		}
	}
}

func parse(t *testing.T, args ...string) *Options {
	var o Options
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &o
}

func TestPropertiesAreSortedAndUnique(t *testing.T) {
	var first []string
	for _, p := range Properties() {
		first = append(first, p.Name)
		if p.Help == "" {
			t.Errorf("%s says nothing", p.Name)
		}
	}
	if !slices.IsSorted(first) {
		t.Errorf("not sorted: %v", first)
	}
	all := names()
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("a name stands for two things: %v", all)
	}
}

func TestPropertiesReachTheClient(t *testing.T) {
	props, err := parseProperties([]string{
		"client.id=me", "request.required.acks=1", "linger.ms=7", "fetch.max.bytes=1000", "fetch.min.bytes=1", "batch.size=70000",
		"isolation.level=read_committed", "queue.buffering.max.ms=9", "security.protocol=plaintext", "compression.codec=zstd:3",
		"enable.idempotence=true", "retries=4", "client.rack=r", "metadata.max.age.ms=60000", "request.timeout.ms=5000",
		"connections.max.idle.ms=30000", "fetch.max.wait.ms=100", "max.partition.fetch.bytes=900",
		"socket.connection.setup.timeout.ms=1000", "transaction.timeout.ms=5000"})
	if err != nil {
		t.Fatal(err)
	}
	opts, err := props.options()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if got := cl.OptValue(kgo.ClientID); got != "me" {
		t.Errorf("client id %v", got)
	}
	if got := cl.OptValue(kgo.ProducerLinger); got != 9*time.Millisecond {
		t.Errorf("linger %v: the last of two names wins", got)
	}
	if got := cl.OptValue(kgo.FetchMaxBytes); got != int32(1000) {
		t.Errorf("fetch.max.bytes %v", got)
	}
}

func TestPropertiesRefuse(t *testing.T) {
	for pair, hint := range map[string]string{
		"acks": "key=value", "ack=1": `Did you mean "acks"?`, "zzz=1": "-X list", "acks=2": "0, 1 or all",
		"compression.type=rar": "one of none", "compression.type=zstd:x": "not a number", "isolation.level=x": "read_committed",
		"linger.ms=-1": "milliseconds", "batch.size=4294967296": "bytes", "enable.idempotence=maybe": "invalid",
		"security.protocol=SSL": "only PLAINTEXT", "retries=x": "invalid",
	} {
		props, err := parseProperties([]string{pair})
		if err == nil {
			_, err = props.options()
		}
		if fault.ExitCode(err) != fault.WrongUsage || !strings.Contains(err.Error(), hint) {
			t.Errorf("-X %s: %v, want a usage error with %q", pair, err, hint)
		}
	}
}

func TestOpenFailsFastAndInWords(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := ln.Addr().String()
	ln.Close()

	slammed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer slammed.Close()
	go func() {
		for {
			conn, err := slammed.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	for _, c := range []struct{ address, timeout, hint string }{
		{free, "5s", "Connecting failed: connect: connection refused. Start one with `weir dev`"},
		{slammed.Addr().String(), "5s", "closed the connection"},
		{silent.Addr().String(), "100ms", "no answer in time"},
	} {
		_, err := parse(t, "-b", c.address, "--timeout", c.timeout).Open(context.Background(), env(), io.Discard)
		if fault.ExitCode(err) != fault.TooLate || !strings.Contains(err.Error(), "no broker answers on "+c.address) ||
			!strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v, want %q", c.address, err, c.hint)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := parse(t, "-b", free).Open(ctx, env(), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := parse(t, "--timeout", "0s").Open(ctx, env(), io.Discard); fault.ExitCode(err) != fault.WrongUsage {
		t.Errorf("no time at all: %v", err)
	}
}

func TestUnknownName(t *testing.T) {
	err := Unreachable("nowhere:9092", &net.OpError{Op: "dial", Err: &net.DNSError{Name: "nowhere", Err: "no such host"}})
	if !strings.Contains(err.Error(), `The name "nowhere" is not known (no such host)`) {
		t.Error(err)
	}
}

func TestLostContact(t *testing.T) {
	var told strings.Builder
	l := &lostContact{log: &told}
	at := kgo.BrokerMetadata{Host: "127.0.0.1", Port: 9092}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	l.OnBrokerConnect(at, 0, nil, refused) // the first contact
	l.arm()
	canceled := &net.OpError{Op: "dial", Err: context.Canceled}
	for _, err := range []error{canceled, nil, refused, refused, nil, nil, refused} {
		l.OnBrokerConnect(at, 0, nil, err)
	}
	lost, again := "no connection to 127.0.0.1:9092 (connection refused), trying on\n", "connected to 127.0.0.1:9092 again\n"
	if want := lost + again + lost; told.String() != want {
		t.Errorf("it told\n%swant\n%s", &told, want)
	}
}
