//go:build interop

package interop

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

// check ends the processors and wants of each topic exactly the function of the input: by count, by the order of each
// key's values, by checksum. Every stage must have aborted something, or the test would show nothing.
func (ch *chain) check(t *testing.T) {
	t.Helper()
	ch.quiet(t)
	want := map[string][]string{}
	for _, r := range ch.input {
		want[r.key] = append(want[r.key], r.value)
	}
	for s, topic := range ch.topics[1:] {
		for _, values := range want {
			for i, value := range values {
				values[i] = string(job.Stamp(s+1, []byte(value)))
			}
		}
		committed, written := byKey(ch.cluster.readAll(t, topic, kgo.ReadCommitted())), len(ch.cluster.readAll(t, topic, kgo.ReadUncommitted()))
		if got, sum := checksum(committed), checksum(want); got != sum {
			t.Errorf("%s holds other than what it must, %s, not %s:\n%s", topic, got, sum, difference(committed, want))
		}
		aborted := written - len(ch.input)
		t.Logf("%s: %s is committed, beside %d records that were aborted", topic, checksum(committed), aborted)
		if aborted <= 0 {
			t.Errorf("%s: no record of an aborted transaction is there", topic)
		}
	}
	if seen := ch.done.Load(); seen != int64(len(ch.input)) {
		t.Errorf("%s: the reader who was there all the time has seen %d records, want %d", ch.name, seen, len(ch.input))
	}
}

// quiet ends the processors, and waits until no transaction is open: one that was cut off may just have begun one with what it had read.
func (ch *chain) quiet(t *testing.T) {
	t.Helper()
	for _, stage := range ch.stages {
		for _, p := range stage {
			t.Logf("%s: begun anew %d times, %d of them after a call that did not come back", p.process.name, p.begun(t), strings.Count(p.process.output(t), "does not come back"))
			p.process.kill()
		}
	}
	for _, topic := range ch.topics[1:] {
		await(t, "a transaction is left open in "+topic, func() bool {
			stable, err := ch.cluster.admin.ListCommittedOffsets(t.Context(), topic)
			high, highErr := ch.cluster.admin.ListEndOffsets(t.Context(), topic)
			return err == nil && highErr == nil && maps.Equal(stable.Offsets()[topic], high.Offsets()[topic])
		})
	}
}

// readAll reads a topic that nobody writes to any more. Each partition ends with a record, or the marker of a transaction.
func (c *cluster) readAll(t *testing.T, topic string, isolation kgo.IsolationLevel) (all []*kgo.Record) {
	t.Helper()
	listed, err := c.admin.ListEndOffsets(t.Context(), topic)
	if err := cmp.Or(err, listed.Error()); err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{} // ends
	listed.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	kafka := c.reader(t, topic, isolation, kgo.KeepControlRecords())
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience) // a transaction of the dead may be open for as long as it may
	defer cancel()
	for len(left) > 0 {
		if ctx.Err() != nil {
			t.Fatalf("%s is not read to its end: %v is missing", topic, left)
		}
		kafka.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if r.Offset+1 == left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
		})
	}
	return all
}

func byKey(records []*kgo.Record) map[string][]string {
	all := map[string][]string{}
	for _, r := range records {
		all[string(r.Key)] = append(all[string(r.Key)], string(r.Value))
	}
	return all
}

// checksum is of all values of all keys, in their order, with their number.
func checksum(all map[string][]string) string {
	sum, count := sha256.New(), 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(sum, "%q: %q\n", key, all[key])
		count += len(all[key])
	}
	return fmt.Sprintf("%d records of %d keys with checksum %x", count, len(all), sum.Sum(nil)[:8])
}

// difference is the first that two of them do not have in common.
func difference(got, want map[string][]string) string {
	for key, values := range want {
		for i, value := range values {
			switch {
			case i >= len(got[key]):
				return fmt.Sprintf("%s has %d values, want %d", key, len(got[key]), len(values))
			case got[key][i] != value:
				return fmt.Sprintf("%s has %q as value %d, want %q", key, got[key][i], i, value)
			}
		}
		if more := got[key][len(values):]; len(more) > 0 {
			return fmt.Sprintf("%s has %d values more, the first %q", key, len(more), more[0])
		}
	}
	return "keys that were not put in"
}
