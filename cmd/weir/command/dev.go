package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/local"
	"weir/cmd/weir/output"
	"weir/segment/vfs"
)

type devOptions struct {
	data     string
	listen   string
	nodes    int
	portBase int
	sets     []string
	fresh    bool
	demo     bool
	verbose  bool
}

const (
	devData     = "./weir-data"
	devPortBase = 9092
)

func newDev(s *Streams) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a broker here, or a cluster of them, for trying things out",
		Long: `Run a broker on this machine alone, with its data in ./weir-data. What it promises is what weir start
promises: every acknowledged write is on disk.

  weir dev
  weir dev --fresh --demo

With --nodes it is a cluster: a process, a folder and three ports for each broker, so that one of them can die.

  weir dev --nodes 3
  weir dev kill 2
  weir dev restart 2`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("nodes") || o.nodes == 1 {
				if cmd.Flags().Changed("port-base") {
					return fault.Usage("--port-base goes with --nodes; the address of one broker is --listen")
				}
				return runDev(cmd.Context(), s, o)
			}
			if cmd.Flags().Changed("listen") {
				return fault.Usage("--listen is for one broker; with --nodes say --port-base")
			}
			if !cmd.Flags().Changed("port-base") {
				o.portBase = 0
			}
			return runDevNodes(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", devData, "data folder; it stays")
	f.StringVar(&o.listen, "listen", connect.DefaultBroker, "address to listen on; port 0 takes a free one")
	f.IntVar(&o.nodes, "nodes", 1, fmt.Sprintf("brokers of a cluster, 1 to %d", local.MaxNodes))
	f.IntVar(&o.portBase, "port-base", devPortBase, "port of a cluster's first broker for clients, the next one is for the other brokers, and the one 552 above for metrics; each broker is 1000 above the one before")
	f.StringArrayVar(&o.sets, "set", nil, "one setting key=value by its Kafka name, may be given again")
	f.BoolVar(&o.fresh, "fresh", false, "start empty: remove what is in the data folder")
	f.BoolVar(&o.demo, "demo", false, "make a topic with a trickle of orders")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what happens, not just what is wrong")
	completeWords(cmd, "set", true, keysOf(config.ScopeBroker, "=")...)
	cmd.AddCommand(newDevStatus(s), newDevKill(s), newDevRestart(s), newDevStop(s), newDevPurge(s))
	return cmd
}

func runDev(ctx context.Context, s *Streams, o devOptions) error {
	src := &brokerSources{profile: config.DevProfile(), sets: o.sets}
	src.flag("log.dirs", o.data, "--data")
	src.flag("listeners", o.listen, "--listen")
	cfg, err := src.load(s)
	if err != nil {
		return err
	}
	if cluster, err := local.Dir(cfg.DataDir).Load(); err == nil {
		return &fault.Error{What: cfg.DataDir + " holds a cluster of " + output.Plural(int64(len(cluster.Nodes)), "node"),
			Do: fmt.Sprintf("Start that with --nodes %d, name another folder with --data, or remove it: %s", len(cluster.Nodes), devVerb("purge", o.data))}
	}
	if o.fresh {
		if err := emptyDataDir(cfg.DataDir); err != nil {
			return err
		}
	}
	logger := slog.New(&devLog{Handler: s.logger(slog.LevelInfo).Handler(), s: s, all: o.verbose})
	err = serve(ctx, cfg, logger, func(ctx context.Context, r *running) func() {
		if !o.demo {
			o.greet(s.Out, cfg, r)
			return func() {}
		}
		if _, _, err := r.Node().EnsureTopic(ctx, demoTopic); err != nil { // what the greeting tells to read
			logger.Error("the demo has no topic", "err", err)
		}
		o.greet(s.Out, cfg, r)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := trickle(ctx, []string{r.Addr()}, demoRate, s.Now); err != nil && ctx.Err() == nil {
				logger.Error("the demo ended", "err", err)
			}
		}()
		return func() { <-done }
	})
	if err == nil {
		s.note("Stopped. The data is in %s.", o.data)
	}
	return err
}

// greet is the first thing that a new user reads: what runs, where, what it promises, and what to type
// next. Every line can be pasted.
func (o *devOptions) greet(w io.Writer, cfg *config.Broker, r *running) {
	addr := r.Addr()
	flag, topic, again := "", "orders", "weir dev --fresh"
	if addr != connect.DefaultBroker {
		flag = " -b " + addr
	}
	if o.data != devData {
		again = "weir dev --data " + o.data + " --fresh"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "weir %s · single node · data in %s · %s\n", Version, o.data, durability(cfg))
	if url := r.metrics(); url != "" {
		fmt.Fprintf(&b, "  Kafka     %-21s   Metrics  %s\n", addr, url)
	} else {
		fmt.Fprintf(&b, "  Kafka     %s\n", addr)
	}
	fmt.Fprintf(&b, "Try, in another terminal:\n")
	if o.demo {
		topic = demoTopic
		fmt.Fprintf(&b, "  weir consume%s %s\n", flag, topic)
		fmt.Fprintf(&b, "  weir topic describe%s %s\n", flag, topic)
	} else {
		fmt.Fprintf(&b, "  weir produce%s %s -k u1 'hello'\n", flag, topic)
		fmt.Fprintf(&b, "  weir consume%s %s --from start\n", flag, topic)
	}
	fmt.Fprintf(&b, "Ctrl-C stops; the data stays (%s starts empty)\n", again)
	io.WriteString(w, b.String())
}

// emptyDataDir removes what a broker left in dir. It refuses a folder that is not a broker's, and one
// that a broker works on.
func emptyDataDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	what := "cannot start afresh in " + dir
	if err != nil {
		return &fault.Error{What: what, Why: err.Error(), Err: err}
	}
	if _, err := os.Stat(filepath.Join(dir, "meta.json")); err != nil {
		return &fault.Error{What: what, Why: "It holds files and none of them is a broker's meta.json",
			Do: "Name the data folder with --data, or empty it yourself"}
	}
	lock, err := vfs.OS.Lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return &fault.Error{What: what, Why: "Another process works on it", Do: "Stop that one first", Err: err}
	}
	for _, e := range entries {
		if e.Name() != "LOCK" { // held: whoever waits for it waits for this very file
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return fault.Explain(what, errors.Join(err, lock.Close()))
}

// topicCreated is what the broker logs when asking for a topic has made it. Somebody who mistyped a name
// wants to see that, so dev mode shows it at any level.
const topicCreated = "topic created because a client asked for it"

// devLog shows warnings and worse, new topics in words, and everything else only on request.
type devLog struct {
	slog.Handler
	s   *Streams
	all bool
}

func (h *devLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == topicCreated {
		var name string
		var partitions int64
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "topic":
				name = a.Value.String()
			case "partitions":
				partitions = a.Value.Int64()
			}
			return true
		})
		h.s.note("created topic %s (%s): a client asked for it", name, output.Plural(partitions, "partition"))
		return nil
	}
	if !h.all && r.Level < slog.LevelWarn {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h *devLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &devLog{h.Handler.WithAttrs(attrs), h.s, h.all}
}

func (h *devLog) WithGroup(name string) slog.Handler {
	return &devLog{h.Handler.WithGroup(name), h.s, h.all}
}
