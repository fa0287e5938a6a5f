package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
)

// errEnough is what a handler returns to end a reading early and well.
var errEnough = errors.New("enough")

// reading consumes spans by direct assignment, without a group.
type reading struct {
	cl     *connect.Client
	spans  []span
	quiet  time.Duration // how long a bounded reading hears nothing before it looks why
	notice func(format string, args ...any)

	open   map[topicPartition]span  // spans that have not come to their end
	epochs map[topicPartition]int32 // of the leaders when nothing was heard last; none since then means records came
}

type topicPartition struct {
	topic     string
	partition int32
}

// quietTime is far above what any fetch takes: a broker answers within a second even with nothing to say.
const quietTime = 2500 * time.Millisecond

// consumeOpts are what a client needs to be read from. Control records are kept, unseen by handlers: at
// the end of a span they are what tells that it is read.
func consumeOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
}

// run hands the records of each poll to handle, in order within a partition, until every span is read or
// ctx ends. handle returns errEnough to stop. run is called once.
func (r *reading) run(ctx context.Context, handle func([]*kgo.Record) error) error {
	r.open = map[topicPartition]span{}
	assign := map[string]map[int32]kgo.Offset{}
	bounded := true
	for _, s := range r.spans {
		if s.from >= s.to {
			continue
		}
		if assign[s.topic] == nil {
			assign[s.topic] = map[int32]kgo.Offset{}
		}
		assign[s.topic][s.partition] = kgo.NewOffset().At(s.from)
		r.open[topicPartition{s.topic, s.partition}] = s
		bounded = bounded && s.to != forever
	}
	r.cl.AddConsumePartitions(assign)
	for len(r.open) > 0 {
		fetches, err := r.poll(ctx, bounded)
		if err != nil {
			return err
		}
		batch := r.take(fetches)
		if len(batch) == 0 {
			continue
		}
		r.epochs = nil
		if err := handle(batch); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) poll(ctx context.Context, bounded bool) (kgo.Fetches, error) {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if bounded {
		wait, cancel = context.WithTimeout(ctx, r.quiet)
	}
	fetches := r.cl.PollFetches(wait)
	cancel()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if wait.Err() != nil && fetches.NumRecords() == 0 {
		return nil, r.lookWhy(ctx)
	}
	for _, e := range fetches.Errors() {
		var loss *kgo.ErrDataLoss
		switch {
		case errors.Is(e.Err, context.DeadlineExceeded):
		case errors.As(e.Err, &loss):
			r.notice("%s[%d]: %v", e.Topic, e.Partition, loss)
		default:
			return nil, r.cl.Explain(fmt.Sprintf("cannot read %s[%d]", e.Topic, e.Partition), e.Err)
		}
	}
	return fetches, nil
}

// lookWhy is for a bounded reading that has heard nothing. Leaders that do not answer are an error. Those
// that do, twice and as the same leaders, have no record to show in what is left: the rest was aborted or
// compacted away, and such offsets never arrive. A new leader may not have been asked for records yet.
func (r *reading) lookWhy(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, r.cl.Timeout)
	defer cancel()
	var topics []string
	var what string
	for at, s := range r.open {
		topics, what = append(topics, at.topic), fmt.Sprintf("cannot read %v", s)
	}
	all, err := listOffsets(ask, r.cl.Admin.ListEndOffsets, distinct(topics), true)
	if err != nil {
		return r.cl.Explain(what, err)
	}
	before := r.epochs
	r.epochs = map[topicPartition]int32{}
	for at, s := range r.open {
		end, err := listed(all, at.topic, at.partition)
		if err != nil {
			return err
		}
		if epoch, known := before[at]; !known || epoch != end.LeaderEpoch {
			r.epochs[at] = end.LeaderEpoch
			continue
		}
		r.notice("%v: nothing to show up to offset %d", s, s.to)
		delete(r.open, at)
	}
	return nil
}

// take keeps what lies within the spans and closes those whose end was seen.
func (r *reading) take(fetches kgo.Fetches) []*kgo.Record {
	var batch []*kgo.Record
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		at := topicPartition{p.Topic, p.Partition}
		s, ok := r.open[at]
		if !ok || len(p.Records) == 0 {
			return
		}
		for _, rec := range p.Records {
			if rec.Offset < s.to && !rec.Attrs.IsControl() {
				batch = append(batch, rec)
			}
		}
		if p.Records[len(p.Records)-1].Offset >= s.to-1 {
			delete(r.open, at)
			r.cl.RemoveConsumePartitions(map[string][]int32{p.Topic: {p.Partition}})
		}
	})
	return batch
}
