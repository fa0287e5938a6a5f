package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/seek"
)

// span is what is asked for of one partition: offsets from up to, not including, to. A to of forever
// has no end.
type span struct {
	topic     string
	partition int32
	from, to  int64
}

const forever = int64(1<<63 - 1)

func (s span) String() string { return fmt.Sprintf("%s[%d]", s.topic, s.partition) }

// positions turns points of the seek grammar into offsets, asking the brokers once for each kind of
// answer and for all topics together.
type positions struct {
	cl         *connect.Client
	topics     []string
	start, end kadm.ListedOffsets
	times      map[int64]kadm.ListedOffsets
	groups     map[string]kadm.OffsetResponses
}

// newPositions reads the bounds of the topics. With committed, the end is the last stable offset instead
// of the high watermark. It waits, at most cl.Timeout, for partitions that have lost their leader.
func newPositions(ctx context.Context, cl *connect.Client, topics []kadm.TopicDetail, committed bool) (*positions, error) {
	return readPositions(ctx, cl, topics, committed, true)
}

// peekPositions is newPositions without the wait: partitions that do not answer now have no bounds.
func peekPositions(ctx context.Context, cl *connect.Client, topics []kadm.TopicDetail) (*positions, error) {
	return readPositions(ctx, cl, topics, false, false)
}

func readPositions(ctx context.Context, cl *connect.Client, topics []kadm.TopicDetail, committed, patient bool) (*positions, error) {
	p := &positions{cl: cl, times: map[int64]kadm.ListedOffsets{}, groups: map[string]kadm.OffsetResponses{}}
	for _, t := range topics {
		p.topics = append(p.topics, t.Topic)
	}
	ctx, cancel := context.WithTimeout(ctx, cl.Timeout)
	defer cancel()
	var err error
	if p.start, err = listOffsets(ctx, cl.Admin.ListStartOffsets, p.topics, patient); err != nil {
		return nil, cl.Explain("cannot list the first offsets", err)
	}
	list := cl.Admin.ListEndOffsets
	if committed {
		list = cl.Admin.ListCommittedOffsets
	}
	if p.end, err = listOffsets(ctx, list, p.topics, patient); err != nil {
		return nil, cl.Explain("cannot list the end offsets", err)
	}
	return p, nil
}

// listRate is how often a second to ask again for what a partition without a leader could not tell.
const listRate rateValue = 5

// listOffsets asks the leaders of topics by one of the admin client's functions. When one has just died
// there is none for a second or two: with patient it then asks again until ctx ends, else it returns what
// the others say.
func listOffsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string, patient bool) (kadm.ListedOffsets, error) {
	pace := pacer{rate: listRate}
	var all kadm.ListedOffsets
	failure := pace.wait(ctx)
	for failure == nil {
		var err error
		all, err = list(ctx, topics...)
		var shards *kadm.ShardErrors
		partial := errors.As(err, &shards) && !shards.AllFailed
		if err != nil && len(all) == 0 && shards == nil {
			return nil, err
		}
		if !patient && (err == nil || partial) {
			return all, nil
		}
		if err == nil {
			err = all.Error()
		}
		if !leaderless(err) {
			return all, nil // what is wrong for good is told with the partition
		}
		if pace.wait(ctx) != nil {
			failure = err
		}
	}
	return all, failure
}

// leaderless reports whether err may pass when a partition has found its leader, or a new one.
func leaderless(err error) bool {
	var shards *kadm.ShardErrors
	return errors.As(err, &shards) || kerr.IsRetriable(err)
}

// bounds are the readable offsets of one partition.
func (p *positions) bounds(topic string, partition int32) (seek.Bounds, error) {
	start, err := listed(p.start, topic, partition)
	if err != nil {
		return seek.Bounds{}, err
	}
	end, err := listed(p.end, topic, partition)
	if err != nil {
		return seek.Bounds{}, err
	}
	return seek.Bounds{Start: start.Offset, End: max(end.Offset, start.Offset)}, nil
}

func listed(list kadm.ListedOffsets, topic string, partition int32) (kadm.ListedOffset, error) {
	o, ok := list.Lookup(topic, partition)
	what := fmt.Sprintf("cannot list offsets of %s[%d]", topic, partition)
	if !ok {
		return o, &fault.Error{What: what, Why: "The broker left it out of its answer", Do: "Try again in a moment"}
	}
	return o, fault.Explain(what, o.Err)
}

// resolve returns the offset that point means in a partition, within its bounds; moved says that it had
// to be brought there.
func (p *positions) resolve(ctx context.Context, point seek.Point, topic string, partition int32) (offset int64, moved bool, err error) {
	b, err := p.bounds(topic, partition)
	if err != nil {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.cl.Timeout)
	defer cancel()
	offset, moved, err = point.Resolve(b, seek.Lookup{
		AtTime: func(t time.Time) (int64, bool, error) {
			list, ok := p.times[t.UnixMilli()]
			if !ok {
				var err error
				if list, err = listOffsets(ctx, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
					return p.cl.Admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topics...)
				}, p.topics, true); err != nil {
					return 0, false, err
				}
				p.times[t.UnixMilli()] = list
			}
			o, err := listed(list, topic, partition)
			return o.Offset, o.Offset >= 0, err
		},
		Committed: func(group string) (int64, bool, error) {
			list, ok := p.groups[group]
			if !ok {
				var err error
				if list, err = p.cl.Admin.FetchOffsetsForTopics(ctx, group, p.topics...); err != nil {
					return 0, false, err
				}
				p.groups[group] = list
			}
			o, ok := list.Lookup(topic, partition)
			return o.At, ok && o.At >= 0, o.Err
		},
	})
	return offset, moved, p.cl.Explain(fmt.Sprintf("cannot find %v in %s[%d]", point, topic, partition), err)
}

// spans resolves from and to in the partitions wanted of the topics (all when wanted is empty), sorted.
// A zero to is forever. A from that lies outside of what is there is brought to it, which is told
// at stderr.
func (p *positions) spans(ctx context.Context, s *Streams, topics []kadm.TopicDetail, wanted []int32, from, to seek.Point) ([]span, error) {
	var all []span
	for _, t := range topics {
		partitions := t.Partitions.Numbers()
		if len(wanted) > 0 {
			for _, w := range wanted {
				if !slices.Contains(partitions, w) {
					return nil, missingPartition(t, w)
				}
			}
			partitions = slices.Clone(wanted)
		}
		slices.Sort(partitions)
		partitions = slices.Compact(partitions)
		moved := 0
		for _, n := range partitions {
			sp := span{topic: t.Topic, partition: n, to: forever}
			var wasMoved bool
			var err error
			if sp.from, wasMoved, err = p.resolve(ctx, from, t.Topic, n); err != nil {
				return nil, err
			}
			if wasMoved {
				moved++
			}
			if !to.IsZero() {
				if sp.to, _, err = p.resolve(ctx, to, t.Topic, n); err != nil {
					return nil, err
				}
				sp.to = max(sp.to, sp.from)
			}
			all = append(all, sp)
		}
		if moved > 0 {
			s.note("%s: %v lies outside of what %d of %d partitions hold, the nearest offset is taken there", t.Topic, from, moved, len(partitions))
		}
	}
	return all, nil
}
