package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/local"
	"weir/cmd/weir/output"
)

// What the weir dev commands share: finding the cluster, locking it, waiting for a node.

// devUpTimeout bounds the wait for a broker that was just started.
const devUpTimeout = 60 * time.Second

// devVerb is a weir dev command to paste, for the cluster in data.
func devVerb(verb, data string, node ...int) string {
	words := []string{"weir dev", verb}
	for _, n := range node {
		words = append(words, strconv.Itoa(n))
	}
	if data != devData {
		words = append(words, "--data", data)
	}
	return strings.Join(words, " ")
}

func devDataFlag(cmd *cobra.Command, data *string) {
	cmd.Flags().StringVar(data, "data", devData, "data folder of the cluster")
	_ = cmd.MarkFlagDirname("data")
}

// loadDev reads the cluster in data.
func loadDev(data string) (local.Dir, *local.State, error) {
	abs, err := filepath.Abs(data)
	if err != nil {
		return "", nil, err
	}
	state, err := local.Dir(abs).Load()
	if errors.Is(err, local.ErrNone) {
		return "", nil, &fault.Error{What: "there is no cluster in " + data, Do: "Start one with weir dev --nodes 3, or name its folder with --data", Err: err}
	}
	return local.Dir(abs), state, fault.Explain("cannot read what cluster is in "+data, err)
}

// changeDev holds the lock of the cluster in data while f works on its state.
func changeDev(ctx context.Context, data, what string, f func(local.Dir, *local.State) error) error {
	dir, _, err := loadDev(data) // the lock's file is made only where there is a cluster
	if err != nil {
		return err
	}
	lock, err := lockDev(ctx, dir, what)
	if err != nil {
		return err
	}
	defer lock.Close()
	dir, state, err := loadDev(data)
	if err != nil {
		return err
	}
	return fault.Explain(what, f(dir, state))
}

func lockDev(ctx context.Context, dir local.Dir, what string) (io.Closer, error) {
	limit, cancel := context.WithTimeout(ctx, devBusy)
	defer cancel()
	lock, err := dir.Lock(limit)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, local.ErrBusy) {
		return nil, &fault.Error{What: what, Why: "Another weir dev command works on it and does not come to an end", Exit: fault.TooLate, Err: err}
	}
	return lock, fault.Explain(what, err)
}

// devNode reads the number of a node.
func devNode(state *local.State, word string) (*local.Node, error) {
	id, err := strconv.Atoi(word)
	if n := state.Node(id); err == nil && n != nil {
		return n, nil
	}
	return nil, fault.Usage("there is no node %s: they are 1 to %d", word, len(state.Nodes))
}

// completeNodes offers the numbers of the nodes.
func completeNodes(data *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var ids []string
		if _, state, err := loadDev(*data); err == nil && len(args) == 0 {
			for _, n := range state.Nodes {
				ids = append(ids, strconv.Itoa(n.ID))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// stopDev stops all nodes that run and returns their numbers.
func stopDev(ctx context.Context, s *Streams, dir local.Dir, data string) (stopped []int, err error) {
	err = changeDev(ctx, string(dir), "cannot stop the cluster in "+data, func(dir local.Dir, state *local.State) error {
		stopped, err = stopNodes(ctx, s, dir, state)
		return err
	})
	return stopped, err
}

// stopNodes is stopDev for who holds the lock.
func stopNodes(ctx context.Context, s *Streams, dir local.Dir, state *local.State) ([]int, error) {
	stopped, forced, err := dir.StopAll(ctx, state, local.StopGrace, s.Now())
	for _, id := range forced {
		s.note("%s node %d did not stop within %s and was killed", s.colour("33", "warning:"), id, output.Span(local.StopGrace))
	}
	return stopped, err
}

// devLeaders is how long a node that answers may take to know who leads its partitions. Some may have no
// leader for as long as other nodes are down, so that is no failure.
const devLeaders = 10 * time.Second

// awaitNode returns when a node answers clients, knows all the brokers of want and who leads what, and
// fails early when its process ends.
func awaitNode(ctx context.Context, dir local.Dir, n *local.Node, want []int32) error {
	limit, cancel := context.WithTimeout(ctx, devUpTimeout)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Kafka), kgo.ClientID("weir-dev"), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer cl.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var answered time.Time
	for {
		answers, leaders := ask(limit, cl, n.Kafka, want)
		if answers && answered.IsZero() {
			answered = time.Now()
		}
		if answers && (leaders || time.Since(answered) > devLeaders) {
			return nil
		}
		if !n.Up() {
			return &fault.Error{What: fmt.Sprintf("node %d ended while it started", n.ID), Why: "Its log ends with\n" + tail(dir.Log(n.ID), 5)}
		}
		select {
		case <-tick.C:
		case <-limit.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &fault.Error{What: fmt.Sprintf("node %d is not ready after %s", n.ID, output.Span(devUpTimeout)),
				Why: "More than half of the brokers have to be up for one to start. The end of its log:\n" + tail(dir.Log(n.ID), 5), Exit: fault.TooLate}
		}
	}
}

// ask asks the node at addr itself, the client's only seed, whether it knows the brokers of want, and a
// leader for every partition.
func ask(ctx context.Context, cl *kgo.Client, addr string, want []int32) (answers, leaders bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr) // kgo would try again and again
	if err != nil {
		return false, false
	}
	c.Close()
	resp, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return false, false
	}
	m := resp.(*kmsg.MetadataResponse)
	for _, id := range want {
		if !slices.ContainsFunc(m.Brokers, func(b kmsg.MetadataResponseBroker) bool { return b.NodeID == id }) {
			return false, false
		}
	}
	for _, t := range m.Topics {
		if slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader < 0 }) {
			return true, false
		}
	}
	return true, true
}

// tail is the end of a file, indented.
func tail(name string, lines int) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return "  " + err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// cause is what lies at the bottom of a network error, without the addresses that a message has already.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
