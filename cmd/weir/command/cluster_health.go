package command

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type clusterHealthOptions struct {
	conn   connect.Options
	watch  bool
	until  bool
	within time.Duration
	format output.Format
}

func newClusterHealth(s *Streams) *cobra.Command {
	var o clusterHealthOptions
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell whether the cluster is healthy, and if not, why",
		Long: `Tell whether the cluster is healthy: every broker answers and has room on its disk, there is a controller,
every partition has a leader and all its replicas in sync. The exit code is 0 if it is and 1 if it is not.

  weir cluster health
  weir cluster health -w --exit-when-healthy --within 2m`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runClusterHealth(cmd.Context(), s, o) },
	}
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "look again each second and tell what changes")
	cmd.Flags().BoolVar(&o.until, "exit-when-healthy", false, "with --watch: end as soon as it is")
	cmd.Flags().DurationVar(&o.within, "within", 0, "with --exit-when-healthy: give up after this time, with exit code 4 (default never)")
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

type clusterHealth struct {
	Healthy         bool     `json:"healthy"`
	Reasons         []string `json:"reasons"`
	Controller      *int32   `json:"controller"`
	Brokers         int      `json:"brokers"`
	BrokersDown     []int32  `json:"brokers_down"`
	DisksLow        []int32  `json:"brokers_with_low_disk"`
	Leaderless      []string `json:"leaderless_partitions"`
	UnderReplicated []string `json:"under_replicated_partitions"`
}

// healthWatch is between two looks.
const healthWatch = time.Second

func runClusterHealth(ctx context.Context, s *Streams, o clusterHealthOptions) error {
	if o.until && !o.watch || o.within != 0 && !o.until {
		return fault.Usage("--within goes with --exit-when-healthy, and that with --watch")
	}
	if o.within < 0 {
		return fault.Usage("--within %v: it must be above zero", o.within)
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if !o.watch {
		h, err := readHealth(ctx, cl)
		if err != nil {
			return err
		}
		if err := output.One(s.Out, o.format, h, h.write); err != nil {
			return err
		}
		return h.verdict()
	}
	limit, cancel := ctx, context.CancelFunc(func() {})
	if o.within > 0 {
		limit, cancel = context.WithTimeout(ctx, o.within)
	}
	defer cancel()
	return watchHealth(ctx, limit, s, cl, o)
}

// watchHealth shows each change until limit ends, or the cluster is healthy where that is asked for.
func watchHealth(ctx, limit context.Context, s *Streams, cl *connect.Client, o clusterHealthOptions) error {
	tick := time.NewTicker(healthWatch)
	defer tick.Stop()
	var before *clusterHealth
	for {
		h, err := readHealth(ctx, cl)       // a look that has begun may end, so that there is something to tell
		if err != nil && ctx.Err() == nil { // nobody answers: unhealthy, and worth watching
			h, err = &clusterHealth{Reasons: []string{err.Error()}}, nil
		}
		if err == nil && (before == nil || !reflect.DeepEqual(before, h)) {
			if err := output.One(s.Out, o.format, h, h.write); err != nil {
				return err
			}
			before = h
		}
		if err == nil && h.Healthy && o.until {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			e := &fault.Error{What: fmt.Sprintf("the cluster is not healthy after %s", output.Span(o.within)), Exit: fault.TooLate}
			if before != nil {
				e.Why = upper(strings.Join(before.Reasons, "; "))
			}
			return e
		}
	}
}

func readHealth(ctx context.Context, cl *connect.Client) (*clusterHealth, error) {
	v, err := readCluster(ctx, cl)
	if err != nil {
		return nil, err
	}
	v.ping(ctx, cl)
	return v.health(), nil
}

// health judges a view. Lists are never null, so that programs need not look.
func (v *clusterView) health() *clusterHealth {
	h := &clusterHealth{Reasons: []string{}, Brokers: len(v.brokers), BrokersDown: []int32{}, DisksLow: []int32{}, Leaderless: []string{}, UnderReplicated: []string{}}
	because := func(format string, args ...any) { h.Reasons = append(h.Reasons, fmt.Sprintf(format, args...)) }
	if v.controller >= 0 {
		h.Controller = &v.controller
	} else {
		because("no controller is known")
	}
	for _, b := range v.brokers {
		if b.lowDisk != "" {
			h.DisksLow = append(h.DisksLow, b.id)
			because("the disk of broker %d is low, and it takes no records for what it leads: %s", b.id, b.lowDisk)
		}
		if b.state.answers() {
			continue
		}
		h.BrokersDown = append(h.BrokersDown, b.id)
		where := ""
		if b.address != "" {
			where = " (" + b.address + ")"
		}
		switch b.state {
		case brokerNoAnswer:
			because("broker %d%s does not answer", b.id, where)
		case brokerFenced:
			because("broker %d%s is fenced: the controller does not hear it", b.id, where)
		case brokerGone:
			because("broker %d is not there, and partitions have replicas on it", b.id)
		}
	}
	for _, p := range v.partitions {
		if p.Leaderless {
			h.Leaderless = append(h.Leaderless, p.String())
		}
		if p.UnderReplicated {
			h.UnderReplicated = append(h.UnderReplicated, p.String())
		}
	}
	if n := len(h.Leaderless); n > 0 {
		because("%s without a leader: %s", output.Plural(int64(n), "partition"), some(h.Leaderless))
	}
	if n := len(h.UnderReplicated); n > 0 {
		because("%s with replicas that are not in sync: %s", output.Plural(int64(n), "partition"), some(h.UnderReplicated))
	}
	h.Healthy = len(h.Reasons) == 0
	return h
}

// some names a few of many.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more (weir partition list)", strings.Join(names[:few], ", "), len(names)-few)
}

func (h *clusterHealth) write(w io.Writer) error {
	if h.Healthy {
		_, err := fmt.Fprintf(w, "healthy: %s, controller %d\n", output.Plural(int64(h.Brokers), "broker"), *h.Controller)
		return err
	}
	_, err := fmt.Fprintf(w, "not healthy:\n  %s\n", strings.Join(h.Reasons, "\n  "))
	return err
}

func (h *clusterHealth) verdict() error {
	if h.Healthy {
		return nil
	}
	return &fault.Error{What: "the cluster is not healthy"}
}
