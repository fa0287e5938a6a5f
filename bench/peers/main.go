// Command peers runs the same loads against Weir, Apache Kafka, NATS JetStream and the floor program in
// one sitting, and writes a table of ratios. With -brokers 3 Weir and Kafka are clusters of three, and
// the floor replicates.
//
// Each round starts one server after the other in an empty folder, warms it up, runs every load and
// stops it; the order turns from round to round, and medians over the rounds are compared. Servers
// listen on loopback ports picked for the run and are ended by their process id. Jars and programs of
// the peers are fetched by their ordinary clients (Maven, the Go command) into a cache folder outside
// of the tree; data lives in a temporary folder and is removed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"weir/bench/floor"
)

// floorVerb makes this program the floor's process.
const floorVerb = "floor-process"

func main() {
	if len(os.Args) > 1 && os.Args[1] == floorVerb {
		if err := floor.Main(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	brokers    int
	peers      string
	weir       string
	cache      string
	dir        string
	out        string
	rounds     int
	rawMiB     int64
	records    int64
	syncMiB    int64
	rate       float64
	seconds    int
	warmupMiB  int64
	partitions int
}

func parse(args []string) (options, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.IntVar(&o.brokers, "brokers", 1, "brokers of each server, 1 or 3; with 3 some of the other defaults are smaller, and NATS has no part")
	f.StringVar(&o.peers, "peers", "weir,floor,kafka,nats", "servers to run, in the order of the first round")
	f.StringVar(&o.weir, "weir", "", "weir binary (default: built from ./cmd/weir)")
	f.StringVar(&o.cache, "cache", filepath.Join(cache, "weir-peers"), "folder for the peers' jars and programs")
	f.StringVar(&o.dir, "dir", "", "folder for data, on the disk to measure (default: the temporary folder)")
	f.StringVar(&o.out, "out", filepath.Join("bench", "RESULTS.md"), "file for the table")
	f.IntVar(&o.rounds, "rounds", 5, "rounds; medians are reported")
	f.Int64Var(&o.rawMiB, "raw-mib", 2048, "MiB of each load with prebuilt batches")
	f.Int64Var(&o.records, "records", 1_000_000, "1 KiB records of each load with a full client")
	f.Int64Var(&o.syncMiB, "sync-mib", 256, "MiB of each load with a sync before the acknowledgement")
	f.Float64Var(&o.rate, "rate", 10_000, "records a second of the open-loop load")
	f.IntVar(&o.seconds, "seconds", 10, "length of the open-loop load")
	f.Int64Var(&o.warmupMiB, "warmup-mib", 1024, "MiB produced and consumed before the first measurement")
	f.IntVar(&o.partitions, "partitions", 4, "partitions of each topic")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.brokers > 1 {
		given := map[string]bool{}
		f.Visit(func(g *flag.Flag) { given[g.Name] = true })
		for name, value := range replicatedDefaults {
			if !given[name] {
				err = errors.Join(err, f.Set(name, value))
			}
		}
	}
	return o, errors.Join(err, o.validate())
}

// replicatedDefaults are those with three brokers. Every byte is written three times on one machine: with
// less of them, a load's dirty pages stay below the tenth of memory from which on the kernel writes them
// back beside the load.
var replicatedDefaults = map[string]string{
	"peers":      "weir,floor,kafka",
	"out":        filepath.Join("bench", "RESULTS-3.md"),
	"raw-mib":    "512",
	"records":    "500000",
	"seconds":    "8",
	"warmup-mib": "512",
	"partitions": "3",
}

func (o options) validate() error {
	for _, name := range o.names() {
		if !slices.Contains(o.columns(), name) {
			return fmt.Errorf("no peer of %d brokers is called %q", o.brokers, name)
		}
	}
	if o.brokers != 1 && o.brokers != 3 {
		return fmt.Errorf("brokers: got %d, want 1 or 3", o.brokers)
	}
	if o.partitions%o.brokers != 0 {
		return fmt.Errorf("partitions: got %d, want a multiple of %d, so that the brokers lead equally many", o.partitions, o.brokers)
	}
	if o.rounds < 1 || o.rawMiB < 1 || o.records < 1 || o.syncMiB < 1 || o.rate <= 0 || o.seconds < 1 || o.warmupMiB < 1 || o.partitions < 1 {
		return errors.New("counts must be at least 1")
	}
	return nil
}

// columns are the peers that a table can have.
func (o options) columns() []string {
	if o.brokers > 1 {
		return []string{nameWeir, nameFloor, nameKafka}
	}
	return []string{nameWeir, nameFloor, nameKafka, nameNATS}
}

func (o options) names() []string { return strings.Split(o.peers, ",") }

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.dir, "weir-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	peers, err := prepare(ctx, o, work)
	if err != nil {
		return err
	}
	sitting := newSitting(o, args)
	for round := range o.rounds {
		// The order turns, so that no peer always follows the same one.
		turned := append(slices.Clone(peers[round%len(peers):]), peers[:round%len(peers)]...)
		for _, p := range turned {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, o.rounds, p.name())
			if err := sitting.measure(ctx, p, work); err != nil {
				return fmt.Errorf("%s: %w", p.name(), err)
			}
		}
	}
	if err := os.WriteFile(o.out, []byte(sitting.markdown(peers)), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "written:", o.out)
	return nil
}

// prepare fetches or builds what each peer needs.
func prepare(ctx context.Context, o options, work string) ([]peer, error) {
	var peers []peer
	for _, name := range o.names() {
		var p peer
		switch name {
		case nameWeir:
			p = &weirPeer{binary: o.weir, brokers: o.brokers}
		case nameFloor:
			p = &floorPeer{replicas: o.brokers}
		case nameKafka:
			p = &kafkaPeer{cache: filepath.Join(o.cache, "kafka-"+kafkaVersion), brokers: o.brokers}
		case nameNATS:
			p = &natsPeer{cache: filepath.Join(o.cache, "nats-"+natsServerVersion+"-"+natsCLIVersion)}
		}
		fmt.Fprintf(os.Stderr, "preparing %s\n", name)
		if err := p.prepare(ctx, work); err != nil {
			return nil, fmt.Errorf("prepare %s (leave it out with -peers): %w", name, err)
		}
		peers = append(peers, p)
	}
	return peers, nil
}
