package command

import (
	"context"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"weir/cluster/config"
)

type startOptions struct {
	config    string
	sets      []string
	data      string
	listen    string
	advertise string
	nodeID    string
	admin     string
	peer      string
	join      []string
	verbose   bool
}

func (o *startOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "settings by Kafka's names, as .properties or .yaml")
	f.StringArrayVar(&o.sets, "set", nil, "one setting key=value, may be given again")
	f.StringVar(&o.data, "data", "", "data folder, or several with commas between, one for each disk (default weir-data)")
	f.StringVar(&o.listen, "listen", "", "address to listen on, host:port or NAME://host:port (default 127.0.0.1:9092)")
	f.StringVar(&o.advertise, "advertise", "", "address that clients are told (default the one listened on)")
	f.StringVar(&o.admin, "admin-listen", "", "address to serve metrics and health on, host:port (default 127.0.0.1:9644)")
	f.StringVar(&o.nodeID, "node-id", "", "number of this broker in its cluster")
	f.StringVar(&o.peer, "peer-listen", "", "address to listen on for other brokers of the cluster, host:port; without it the broker is alone")
	f.StringSliceVar(&o.join, "join", nil, "brokers of the cluster to join, by the address they listen on for others; without it a new broker begins a cluster")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	completeWords(cmd, "set", true, keysOf(config.ScopeBroker, "=")...)
}

func newStart(s *Streams) *cobra.Command {
	var o startOptions
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a broker",
		Long: `Run a broker until it is told to stop; SIGTERM and SIGINT let it finish what is under way and close
its data. The first start makes the data folder.

  weir start --data /var/lib/weir --listen 0.0.0.0:9092 --advertise broker1.example.org:9092
  weir start --config server.properties --set num.partitions=12

A cluster: the first broker begins it, the others join, each with a number and a folder of its own.

  weir start --node-id 1 --data 1 --listen 10.0.0.1:9092 --peer-listen 10.0.0.1:9093
  weir start --node-id 2 --data 2 --listen 10.0.0.2:9092 --peer-listen 10.0.0.2:9093 --join 10.0.0.1:9093

Settings have Kafka's names. Flags win over the environment (KAFKA_NUM_PARTITIONS, as in Kafka's image),
that over --config, that over the defaults. A name that is not known stops the start.`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runStart(cmd.Context(), s, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *startOptions) sources() *brokerSources {
	src := &brokerSources{file: o.config, sets: o.sets}
	src.flag("log.dirs", o.data, "--data")
	src.flag("listeners", o.listen, "--listen")
	src.flag("advertised.listeners", o.advertise, "--advertise")
	src.flag("admin.listener", o.admin, "--admin-listen")
	src.flag("node.id", o.nodeID, "--node-id")
	src.flag("peer.listener", o.peer, "--peer-listen")
	src.flag("peer.seeds", strings.Join(o.join, ","), "--join")
	return src
}

func runStart(ctx context.Context, s *Streams, o startOptions) error {
	cfg, err := o.sources().load(s)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	logger := s.logger(level)
	logger.Info("weir starts", "version", Version, "node", cfg.NodeID, "data", cfg.DataDir, "durability", durability(cfg))
	err = serve(ctx, cfg, logger, func(_ context.Context, r *running) func() {
		logger.Info("weir is ready", "kafka", r.Addr(), "advertised", advertised(cfg), "metrics", r.metrics())
		return func() { logger.Info("weir stops") }
	})
	if err == nil {
		logger.Info("weir has stopped")
	}
	return err
}

func advertised(cfg *config.Broker) []string {
	var all []string
	for _, l := range cfg.Advertised {
		all = append(all, l.String())
	}
	return all
}

// logger writes to stderr: text where a person looks, JSON where a program reads.
func (s *Streams) logger(level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if s.ErrTerminal {
		return slog.New(slog.NewTextHandler(s.Err, opts))
	}
	return slog.New(slog.NewJSONHandler(s.Err, opts))
}
