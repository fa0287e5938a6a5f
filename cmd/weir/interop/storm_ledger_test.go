//go:build interop

package interop

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

// wantsFlood reads the topic to its end: each record is there once, and in each partition those of a producer are in order.
func (c *stormCluster) wantsFlood(t *testing.T, f *job.Flood) {
	t.Helper()
	kafka, err := kgo.NewClient(kgo.SeedBrokers(c.seeds...), kgo.ConsumeTopics(f.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	var ends kadm.ListedOffsets
	c.until(t, "all partitions tell their ends", func(ctx context.Context) bool {
		ends, err = c.admin.ListEndOffsets(ctx, f.Topic)
		return err == nil && ends.Error() == nil
	})
	var due int64
	ends.Each(func(end kadm.ListedOffset) { due += end.Offset })
	if want := int64(f.Producers * f.Records); due != want {
		t.Errorf("%d records are stored, want %d", due, want)
	}
	l := newLedger(f)
	for read := int64(0); read < due; {
		fetches := kafka.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read: %v after %d of %d records", err, read, due)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			l.enter(t, r)
			read++
		})
	}
	l.wantsAll(t)
}

// ledger is what of a flood has been read.
type ledger struct {
	flood *job.Flood
	next  [][]int // by producer and partition: the number of the record that is due
	wrong int
}

func newLedger(f *job.Flood) *ledger {
	l := &ledger{flood: f}
	for range f.Producers {
		next := make([]int, f.Partitions)
		for p := range next {
			next[p] = p
		}
		l.next = append(l.next, next)
	}
	return l
}

// enter wants a record to be the one that is due.
func (l *ledger) enter(t *testing.T, r *kgo.Record) {
	t.Helper()
	var producer, number int
	first, rest, _ := bytes.Cut(r.Value, []byte(" "))
	second, _, _ := bytes.Cut(rest, []byte(" "))
	producer, err := strconv.Atoi(string(first))
	if err == nil {
		number, err = strconv.Atoi(string(second))
	}
	if err != nil || producer < 0 || producer >= l.flood.Producers || !bytes.Equal(r.Value, l.flood.Value(producer, number)) {
		t.Fatalf("partition %d, offset %d: nobody has written %.40q", r.Partition, r.Offset, r.Value)
	}
	next := &l.next[producer][r.Partition]
	switch due := *next; {
	case number == due:
		*next += l.flood.Partitions
		return
	case number < due:
		l.complain(t, r, fmt.Sprintf("record %d of producer %d again, or late: %d is due", number, producer, due))
	default:
		l.complain(t, r, fmt.Sprintf("record %d of producer %d, though %d is due", number, producer, due))
		*next = number + l.flood.Partitions
	}
}

// complain tells of the first few.
func (l *ledger) complain(t *testing.T, r *kgo.Record, what string) {
	t.Helper()
	if l.wrong++; l.wrong <= 10 {
		t.Errorf("partition %d, offset %d: %s", r.Partition, r.Offset, what)
	}
}

// wantsAll wants every record to have come.
func (l *ledger) wantsAll(t *testing.T) {
	t.Helper()
	for producer := range l.next {
		for p, due := range l.next[producer] {
			if due < l.flood.Records {
				t.Errorf("partition %d: record %d of producer %d is not there", p, due, producer)
			}
		}
	}
	if l.wrong > 0 {
		t.Errorf("%d records are not where they are due", l.wrong)
	}
}
