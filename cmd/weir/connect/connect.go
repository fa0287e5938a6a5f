// Package connect is how every command reaches a broker: the same flags, the same environment, the
// property names people know from librdkafka and the Java client, and a first contact that fails fast
// and in words.
package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/fault"
)

// DefaultBroker is tried when nothing names another.
const DefaultBroker = "127.0.0.1:9092"

// Environment lists the variables that name brokers, the first that is set wins.
var Environment = []string{"WEIR_BROKERS", "KAFKA_BROKERS", "BOOTSTRAP_SERVERS"}

// Options are the connection flags, the same on every command that talks to a broker.
type Options struct {
	Brokers    []string      // host or host:port
	Properties []string      // key=value
	Timeout    time.Duration // for the first contact and for each request that should be answered at once
	Verbose    bool
}

// AddFlags binds the connection flags to o.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringSliceVarP(&o.Brokers, "brokers", "b", nil, "brokers to start from, host:port (default $WEIR_BROKERS, else "+DefaultBroker+")")
	flags.StringSliceVar(&o.Brokers, "bootstrap-server", nil, "the same as --brokers")
	flags.StringArrayVarP(&o.Properties, "property", "X", nil, "client property key=value by its librdkafka or Java name; -X list names them")
	flags.DurationVar(&o.Timeout, "timeout", 10*time.Second, "how long to wait for a broker's answer")
	flags.BoolVarP(&o.Verbose, "verbose", "v", false, "tell on stderr what the client does")
}

// Client is a connection to a cluster that has answered once.
type Client struct {
	*kgo.Client
	Admin   *kadm.Client
	Seeds   string // the addresses asked, as a message names them
	Timeout time.Duration

	seeds []string
	lost  *lostContact
}

// Explain is fault.Explain with what the client knows: when the cluster has named a broker's address that
// cannot be reached from here, that is the reason, whatever came of it.
func (c *Client) Explain(what string, err error) error {
	if err != nil && tooOld(err) {
		err = errors.Join(kerr.UnsupportedVersion, err)
	}
	explained := fault.Explain(what, err)
	var e *fault.Error
	if !errors.As(explained, &e) || e.Code != "" || e.Exit == fault.Interrupted {
		return explained
	}
	for _, addr := range c.lost.addresses() {
		if !slices.Contains(c.seeds, addr) {
			return &fault.Error{What: e.What, Why: fmt.Sprintf("The cluster names %s as a broker's address, and nothing answers there", addr),
				Do: "Give that broker an address that can be reached from here: advertised.listeners, or weir start --advertise", Exit: fault.TooLate, Err: err}
		}
	}
	return explained
}

// tooOld reports whether the client did not send a request because the broker does not list it. The client
// has no value for that, only these sentences.
func tooOld(err error) bool {
	return strings.Contains(err.Error(), "broker is too old") || strings.Contains(err.Error(), "request key is unknown")
}

// Addresses returns where to start from: flags, then -X bootstrap.servers, then the environment, then
// DefaultBroker. The error is a usage error.
func (o *Options) Addresses(getenv func(string) string) ([]string, error) {
	given, from := o.Brokers, "--brokers"
	if len(given) == 0 {
		props, err := parseProperties(o.Properties)
		if err != nil {
			return nil, err
		}
		if v, ok := props["bootstrap.servers"]; ok {
			given, from = strings.Split(v, ","), "-X bootstrap.servers"
		}
	}
	for _, name := range Environment {
		if v := getenv(name); len(given) == 0 && v != "" {
			given, from = strings.Split(v, ","), name
		}
	}
	if len(given) == 0 {
		return []string{DefaultBroker}, nil
	}
	addresses := make([]string, 0, len(given))
	for _, s := range given {
		a, err := address(strings.TrimSpace(s))
		if err != nil {
			return nil, fault.Usage("%s: %q is no address: %v. Write host:port", from, s, err)
		}
		addresses = append(addresses, a)
	}
	return addresses, nil
}

// address fills in Kafka's port and checks the rest.
func address(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty")
	}
	if ip := net.ParseIP(s); ip != nil || !strings.Contains(s, ":") {
		return net.JoinHostPort(s, "9092"), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("host and port do not part")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("port %q is not within 1-65535", port)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// Set adds a property as -X would, after those that were given: it wins over them.
func (o *Options) Set(name, value string) { o.Properties = append(o.Properties, name+"="+value) }

// Open connects and waits for one answer, at most o.Timeout. defaults come before what the properties
// say, which so win. log takes what --verbose tells. The caller closes the client.
func (o *Options) Open(ctx context.Context, getenv func(string) string, log io.Writer, defaults ...kgo.Opt) (*Client, error) {
	seeds, err := o.Addresses(getenv)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		return nil, fault.Usage("--timeout %v: it must be above zero", o.Timeout)
	}
	props, err := parseProperties(o.Properties)
	if err != nil {
		return nil, err
	}
	lost := &lostContact{log: log}
	opts := []kgo.Opt{
		kgo.WithHooks(lost),
		kgo.SeedBrokers(seeds...),
		kgo.ClientID("weir"),
		kgo.SoftwareNameAndVersion("weir", "cli"),
		kgo.DialTimeout(min(o.Timeout, 5*time.Second)),
		kgo.RetryTimeout(o.Timeout),
		kgo.RequestTimeoutOverhead(min(max(o.Timeout, 100*time.Millisecond), 15*time.Minute)), // what kgo allows
		kgo.MetadataMinAge(250 * time.Millisecond),                                            // a leader that has just died has a successor in a second or two
		kgo.DisableClientMetrics(),
	}
	if o.Verbose {
		opts = append(opts, kgo.WithLogger(slogger{slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}))
	}
	fromProps, err := props.options()
	if err != nil {
		return nil, err
	}
	opts = append(append(opts, defaults...), fromProps...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, &fault.Error{What: "the client's settings do not fit together", Why: err.Error(), Exit: fault.WrongUsage, Err: err}
	}
	c := &Client{Client: cl, Admin: kadm.NewClient(cl), Seeds: strings.Join(seeds, ","), Timeout: o.Timeout, seeds: seeds, lost: lost}
	c.Admin.SetTimeoutMillis(int32(min(o.Timeout.Milliseconds(), 1<<31-1)))
	if err := c.firstContact(ctx); err != nil {
		cl.Close()
		return nil, err
	}
	lost.arm()
	return c, nil
}

func (c *Client) firstContact(ctx context.Context) error {
	ping, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err := c.Ping(ping)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return Unreachable(c.Seeds, err)
}

// Unreachable is the failure to get any answer from seeds.
func Unreachable(seeds string, err error) error {
	e := &fault.Error{What: "no broker answers on " + seeds, Exit: fault.TooLate, Err: err}
	var op *net.OpError
	var dns *net.DNSError
	var eof *kgo.ErrFirstReadEOF
	switch {
	case errors.As(err, &eof), errors.Is(err, syscall.ECONNRESET):
		e.Why = "Something closed the connection at once, as a port with TLS or another protocol does"
		e.Do = "Check the address and the port"
	case errors.As(err, &dns):
		e.Why, e.Do = fmt.Sprintf("The name %q is not known (%s)", dns.Name, dns.Err), "Check the address: -b host:port"
	case errors.As(err, &op) && !op.Timeout():
		e.Why = "Connecting failed: " + op.Err.Error()
		e.Do = "Start one with `weir dev`, or name another with -b host:port"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &op):
		e.Why, e.Do = "There was no answer in time", "Check the address, or allow more with --timeout"
	default:
		e.Why, e.Do = strings.TrimSuffix(err.Error(), "."), "Check the address: -b host:port"
	}
	return e
}

// slogger passes what the client tells on to slog.
type slogger struct{ log *slog.Logger }

func (s slogger) Level() kgo.LogLevel { return kgo.LogLevelDebug }

func (s slogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelWarn:
		to = slog.LevelWarn
	case kgo.LogLevelInfo:
		to = slog.LevelInfo
	}
	s.log.Log(context.Background(), to, msg, keyvals...)
}
