//go:build interop

package interop

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

// TestTransactions has clients read, write and commit offsets in transactions, of which they abort some and leave one open,
// twice, and across a restart of the broker: what is committed is each record that they have read, once.
func TestTransactions(t *testing.T) {
	b := startBroker(t)
	clients := slices.DeleteFunc(chosenClients(t), func(c *client) bool { return !c.transactions })
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			g := newSharedTopic(t, b, "txn-"+c.name, longSession)
			to := newSharedTopic(t, b, "txn-to-"+c.name, longSession)
			for range 2 {
				g.append(t, 20)
				result := c.run(t, job.Job{Brokers: b.address, Transform: &job.Transform{
					From: g.topic, To: to.topic, Group: g.topic, TransactionalID: g.topic, Count: 20 * partitions,
				}})
				if result.Aborted == 0 {
					t.Error("no transaction was aborted")
				}
				if b.binary != "" {
					b.stop(t)
					b.start(t)
				}
			}
			var want []string
			for _, p := range g.written {
				want = append(want, fmt.Sprintf("%d@%d", p.Partition, p.Offset))
			}
			got := to.readCommitted(t, len(want))
			slices.Sort(got)
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Errorf("committed are %d records, want %d:\ngot  %v\nwant %v", len(got), len(want), got, want)
			}
			g.wantsOffsets(t)
		})
	}
}

// readCommitted reads so many records that are committed, and those that are with the last of them.
func (g *sharedTopic) readCommitted(t *testing.T, count int) (values []string) {
	t.Helper()
	kafka := g.client(t, kgo.ConsumeTopics(g.topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(values) < count && ctx.Err() == nil {
		kafka.PollFetches(ctx).EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// wantsOffsets wants the group to have committed all that is in the topic.
func (g *sharedTopic) wantsOffsets(t *testing.T) {
	t.Helper()
	offsets, err := kadm.NewClient(g.client(t)).FetchOffsets(t.Context(), g.topic)
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		if o, _ := offsets.Lookup(g.topic, p); o.At != 40 {
			t.Errorf("the group has committed offset %d of partition %d, want 40", o.At, p)
		}
	}
}
