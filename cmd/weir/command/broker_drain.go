package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type drainOptions struct {
	conn  connect.Options
	id    int32
	watch bool
}

func newBrokerDrain(s *Streams) *cobra.Command {
	var o drainOptions
	cmd := &cobra.Command{
		Use:   "drain BROKER",
		Short: "Hand over all that a broker leads, and keep it from leading",
		Long: `Have a broker hand over all that it leads, and give it no leaderships and no new replicas until it is undrained,
also after a restart: before maintenance. Its replicas stay where they are and follow. To empty a broker: weir
broker decommission.

  weir broker drain 2 --watch
  weir broker undrain 2`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.id, err = brokerNumber(args[0]); err != nil {
				return err
			}
			return runDrain(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "wait until it leads nothing that another broker can lead")
	withConnection(s, cmd, &o.conn)
	return cmd
}

func newBrokerUndrain(s *Streams) *cobra.Command {
	var o drainOptions
	cmd := &cobra.Command{
		Use:   "undrain BROKER",
		Short: "Let a broker that was drained lead again, and hold new replicas",
		Long: `Let a broker that was drained lead again, and hold new replicas. Where it is the preferred leader, leaderships come
back to it by themselves (auto.leader.rebalance.enable), or at once by weir partition transfer-leader.

  weir broker undrain 2`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.id, err = brokerNumber(args[0]); err != nil {
				return err
			}
			return runUndrain(cmd.Context(), s, o)
		},
	}
	withConnection(s, cmd, &o.conn)
	return cmd
}

func brokerNumber(arg string) (int32, error) {
	id, err := strconv.ParseInt(arg, 10, 32)
	if err != nil || id < 0 {
		return 0, fault.Usage("%q is no broker's number", arg)
	}
	return int32(id), nil
}

// checkBroker refuses a broker that is not registered.
func (v *clusterView) checkBroker(id int32) error {
	if b, known := v.broker(id); !known || b.state == brokerGone {
		return &fault.Error{What: fmt.Sprintf("there is no broker %d", id), Do: "See them: weir broker list"}
	}
	return nil
}

func runDrain(ctx context.Context, s *Streams, o drainOptions) error {
	cl, v, err := s.openCluster(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := v.checkBroker(o.id); err != nil {
		return err
	}
	if err := setDrained(ctx, cl, v, o.id, true); err != nil {
		return err
	}
	leads := output.Plural(int64(len(v.ledBy(o.id))), "partition")
	if len(v.ledBy(o.id)) == 0 {
		fmt.Fprintf(s.Out, "broker %d is drained; it leads nothing\n", o.id)
		return nil
	}
	if !o.watch {
		fmt.Fprintf(s.Out, "broker %d is drained; others take over the %s that it leads\n", o.id, leads)
		return nil
	}
	if err := awaitDrained(ctx, s, cl, o.id); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "broker %d is drained; others have taken over the %s that it led\n", o.id, leads)
	return nil
}

func runUndrain(ctx context.Context, s *Streams, o drainOptions) error {
	cl, v, err := s.openCluster(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := v.checkBroker(o.id); err != nil {
		return err
	}
	if err := setDrained(ctx, cl, v, o.id, false); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "broker %d is not drained any more\n", o.id)
	return nil
}

func setDrained(ctx context.Context, cl *connect.Client, v *clusterView, id int32, drained bool) error {
	if !drained {
		return alterBrokers(ctx, cl, v, []int32{id}, config.BrokerDrained, nil, fmt.Sprintf("cannot undrain broker %d", id))
	}
	return alterBrokers(ctx, cl, v, []int32{id}, config.BrokerDrained, kmsg.StringPtr("true"), fmt.Sprintf("cannot drain broker %d", id))
}

// alterBrokers sets a configuration value of brokers, or unsets it. It asks the controller's broker, so that those that
// are down get it, too: a Kafka client would ask each of them.
func alterBrokers(ctx context.Context, cl *connect.Client, v *clusterView, brokers []int32, key string, value *string, what string) error {
	if v.controller < 0 {
		return &fault.Error{What: what, Why: "No controller is known", Do: "See what is wrong: weir cluster health"}
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, id := range brokers {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id))
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		if c.Name, c.Value, c.Op = key, value, kmsg.IncrementalAlterConfigOpSet; value == nil {
			c.Op = kmsg.IncrementalAlterConfigOpDelete
		}
		r.Configs = append(r.Configs, c)
		req.Resources = append(req.Resources, r)
	}
	resp, err := cl.Broker(int(v.controller)).RetriableRequest(ctx, req)
	if err != nil {
		return cl.Explain(what, err)
	}
	for _, r := range resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return refused(what, err, text(r.ErrorMessage))
		}
	}
	return nil
}

// ledBy are the partitions that a broker leads.
func (v *clusterView) ledBy(id int32) (led []partitionView) {
	for _, p := range v.partitions {
		if p.Leader == id {
			led = append(led, p)
		}
	}
	return led
}

// canLeave says whether a broker that is up and not drained holds a replica of a partition beside its leader, so
// that it is only a matter of time until that is in sync and leads.
func (v *clusterView) canLeave(p partitionView) bool {
	return slices.ContainsFunc(v.brokers, func(b brokerView) bool {
		return b.id != p.Leader && b.state == brokerUp && slices.Contains(p.goal(), b.id)
	})
}

// drainLook is between two looks at what a broker still leads.
const drainLook = 200 * time.Millisecond

// awaitDrained returns when a broker that is drained leads nothing; what only it can lead is an error. It tells how many
// partitions are left, at stderr.
func awaitDrained(ctx context.Context, s *Streams, cl *connect.Client, id int32) error {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	told, heard := 0, time.Now()
	for {
		v, err := readCluster(ctx, cl)
		switch {
		case ctx.Err() != nil:
			return ctx.Err() // it stays drained
		case err != nil && time.Since(heard) > cl.Timeout:
			return err
		case err == nil:
			heard = time.Now()
			v.ping(ctx, cl)
			left := v.ledBy(id)
			if len(left) == 0 {
				return nil
			}
			if !slices.ContainsFunc(left, v.canLeave) {
				return stuck(id, left)
			}
			if told != len(left) {
				told = len(left)
				s.note("broker %d leads %s yet", id, output.Plural(int64(told), "partition"))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// stuck is about partitions that a drained broker leads on.
func stuck(id int32, left []partitionView) error {
	var names []string
	for _, p := range left {
		names = append(names, p.String())
	}
	return &fault.Error{What: fmt.Sprintf("broker %d is drained and leads on %s: %s", id, output.Plural(int64(len(left)), "partition"), some(names)),
		Why: "No broker that is up and not drained holds another replica of them", Do: "Give them one: weir partition move", Exit: fault.PartlyDone}
}
