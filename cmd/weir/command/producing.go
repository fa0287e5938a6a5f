package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/jsonl"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
)

// anyPartition in a record leaves the choice to its key, or to chance.
const anyPartition = -1

// produceOpts are what a client needs to be written to: idempotent, acks from all, partitioned.
func produceOpts() []kgo.Opt {
	return []kgo.Opt{
		partitioned(),
		kgo.AllowIdempotentProduceCancellation(), // what is cancelled is the end of the client, see sender
	}
}

// partitioned has keys hashed as the Java client does, and what has no key kept together (KIP-794), so that
// lines of a pipe stay in order over long stretches.
func partitioned() kgo.Opt {
	return kgo.RecordPartitioner(partitioner{kgo.UniformBytesPartitioner(64<<10, true, true, nil)})
}

// partitioner takes the record's own partition unless that is anyPartition. The partitioner within
// chooses by backup, as kgo calls it: by how much each partition has waiting.
type partitioner struct{ kgo.Partitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	inner := p.Partitioner.ForTopic(topic)
	return topicPartitioner{inner, inner.(kgo.TopicBackupPartitioner)}
}

type topicPartitioner struct {
	kgo.TopicPartitioner
	byBackup kgo.TopicBackupPartitioner
}

func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != anyPartition || p.TopicPartitioner.RequiresConsistency(r)
}

func (p topicPartitioner) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	if r.Partition != anyPartition {
		return int(r.Partition)
	}
	return p.byBackup.PartitionByBackup(r, n, backup)
}

// ensureTopic returns what the broker knows of the topic. A missing one is created if the broker creates
// topics by itself, which is told at stderr.
func ensureTopic(ctx context.Context, s *Streams, cl *connect.Client, name string) (kadm.TopicDetail, error) {
	lookup := func() (kadm.TopicDetail, error) {
		details, err := listTopics(ctx, cl, name)
		return details[name], err
	}
	d, err := lookup()
	switch {
	case err != nil:
		return d, err
	case d.Err == nil:
		return d, nil
	case d.Err != kerr.UnknownTopicOrPartition:
		return d, fault.Explain(fmt.Sprintf("cannot write to topic %q", name), d.Err)
	case !autoCreates(ctx, cl):
		return d, missingTopic(ctx, cl, name)
	}
	wait, cancel := context.WithTimeout(ctx, min(cl.Timeout, 5*time.Second))
	defer cancel()
	pace := pacer{rate: 20}
	for pace.wait(wait) == nil {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(wait, cl)
		if err != nil {
			break
		}
		if len(resp.Topics) == 1 && kerr.ErrorForCode(resp.Topics[0].ErrorCode) == kerr.InvalidTopicException {
			return d, fault.Explain(fmt.Sprintf("cannot create topic %q", name), kerr.InvalidTopicException)
		}
		if d, err = lookup(); err != nil {
			return d, err
		}
		if d.Err == nil && len(d.Partitions) > 0 {
			s.note("created topic %s (%s)", name, output.Plural(int64(len(d.Partitions)), "partition"))
			return d, nil
		}
	}
	if ctx.Err() != nil {
		return d, ctx.Err()
	}
	return d, missingTopic(ctx, cl, name)
}

// autoCreates asks a broker whether it creates topics that are asked for. One that does not say may.
func autoCreates(ctx context.Context, cl *connect.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, cl.Timeout)
	defer cancel()
	brokers, err := cl.Admin.ListBrokers(ctx)
	if err != nil || len(brokers) == 0 {
		return true
	}
	configs, err := cl.Admin.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err != nil {
		return true
	}
	for _, c := range configs {
		for _, entry := range c.Configs {
			if entry.Key == "auto.create.topics.enable" {
				return !strings.EqualFold(entry.MaybeValue(), "false")
			}
		}
	}
	return true
}

// nextRecord returns records one after the other, then io.EOF. It ends early with ctx.
type nextRecord func(ctx context.Context) (*kgo.Record, jsonl.Given, error)

func fromList(list []*kgo.Record) nextRecord {
	return func(ctx context.Context) (*kgo.Record, jsonl.Given, error) {
		if len(list) == 0 {
			return nil, jsonl.Given{}, io.EOF
		}
		r := list[0]
		list = list[1:]
		return r, jsonl.Given{}, ctx.Err()
	}
}

// fromReader reads in a goroutine of its own, so that an interrupt is not kept waiting by a read from a
// terminal. That goroutine ends with the input, with ctx, or with the process.
func fromReader(ctx context.Context, r *record.Reader) nextRecord {
	type item struct {
		r     *kgo.Record
		given jsonl.Given
		err   error
	}
	var items chan item
	return func(now context.Context) (*kgo.Record, jsonl.Given, error) {
		if items == nil {
			items = make(chan item, 256)
			go func() {
				for {
					var i item
					i.r, i.given, i.err = r.Next()
					select {
					case items <- i:
					case <-ctx.Done():
						return
					}
					if i.err != nil {
						return
					}
				}
			}()
		}
		select {
		case i := <-items:
			return i.r, i.given, i.err
		case <-now.Done():
			return nil, jsonl.Given{}, now.Err()
		}
	}
}

// What the client can put into a batch: it counts nanoseconds on the way.
const (
	minMillis = -1 << 63 / 1_000_000
	maxMillis = (1<<63 - 1) / 1_000_000
)

// writableTime refuses a timestamp that the client would write as another.
func writableTime(t time.Time) error {
	if ms := t.UnixMilli(); ms < minMillis || ms > maxMillis {
		return &fault.Error{What: fmt.Sprintf("a record's timestamp of %d ms is too far from 1970", ms),
			Why: "Only the years 1678 to 2261 can be written"}
	}
	return nil
}
