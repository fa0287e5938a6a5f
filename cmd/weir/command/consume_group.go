package command

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
	"weir/cmd/weir/seek"
)

// groupReading reads topics as a member of a group. What is printed is committed before a rebalance can
// take its partition away, so a record is shown twice only when the commit fails.
type groupReading struct {
	cl     *connect.Client
	out    *record.Writer
	filter record.Filter
	count  int64 // records to print; 0: no end
	notice func(format string, args ...any)
}

// checkGroup refuses what a member cannot do: the group says where to read and who reads what.
func (o *consumeOptions) checkGroup(rng seek.Range) error {
	switch {
	case o.exit || !rng.To.IsZero():
		return fault.Usage("-g has no end but -n: other members read as well")
	case len(o.partitions) > 0:
		return fault.Usage("-g shares out the partitions: leave -p out")
	case rng.From.Kind != seek.Start && rng.From.Kind != seek.End:
		return fault.Usage("--from %s: a group begins where it has committed; --from start or end is for where it has not", rng.From)
	}
	return nil
}

// groupOpts are what a client needs to be a member.
func groupOpts(name string, topics []string, from seek.Point) []kgo.Opt {
	reset := kgo.NewOffset().AtEnd()
	if from.Kind == seek.Start {
		reset = kgo.NewOffset().AtStart()
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(name), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(reset),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(500 * time.Millisecond),
	}
}

// runConsumeGroup opens a second client, which joins: the first has found the topics.
func runConsumeGroup(ctx context.Context, s *Streams, o consumeOptions, topics []string, from seek.Point, filter record.Filter, out *record.Writer) error {
	cl, err := s.open(ctx, &o.conn, groupOpts(o.group, topics, from)...)
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	if s.ErrTerminal {
		s.note("Reading %s in group %s. Ctrl-C leaves it.", output.Plural(int64(len(topics)), "topic"), o.group)
	}
	r := groupReading{cl: cl, out: out, filter: filter, count: o.count, notice: s.note}
	return r.run(ctx)
}

func (r *groupReading) run(ctx context.Context) error {
	for {
		fetches := r.cl.PollFetches(ctx)
		if err := r.failed(ctx, fetches); err != nil {
			return err
		}
		printed, done := r.print(fetches.Records())
		if err := r.commit(ctx, printed); err != nil {
			r.notice("not committed, and read again: %v", err)
		}
		r.cl.AllowRebalance()
		if errors.Is(done, errEnough) {
			return nil
		} else if done != nil {
			return done
		}
	}
}

// failed is why a poll ends the reading.
func (r *groupReading) failed(ctx context.Context, fetches kgo.Fetches) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, e := range fetches.Errors() {
		var loss *kgo.ErrDataLoss
		if errors.As(e.Err, &loss) {
			r.notice("%s[%d]: %v", e.Topic, e.Partition, loss)
			continue
		}
		return r.cl.Explain("cannot read "+e.Topic+" in the group", e.Err)
	}
	return nil
}

// print writes records and returns those that are done with, what the filter leaves out among them.
func (r *groupReading) print(batch []*kgo.Record) (done []*kgo.Record, err error) {
	for i, rec := range batch {
		if !r.filter.Match(rec) {
			continue
		}
		if err := r.out.Write(rec); err != nil {
			return batch[:i], err
		}
		if r.count--; r.count == 0 {
			batch, err = batch[:i+1], errEnough
			break
		}
	}
	if flushed := r.out.Flush(); flushed != nil {
		return nil, flushed
	}
	return batch, err
}

// commit is done also when an interrupt has come: the records have been shown.
func (r *groupReading) commit(ctx context.Context, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cl.Timeout)
	defer cancel()
	return r.cl.CommitRecords(ctx, records...)
}
