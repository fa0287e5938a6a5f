//go:build torture

package torture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// meter writes one record after the other to each partition of a topic and
// notes when they were acknowledged.
type meter struct {
	c       *trio
	to      topic
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	acks [][]time.Time // of each partition
}

func (c *trio) measure(to topic) *meter {
	c.t.Helper()
	c.createTopic(to)
	m := &meter{c: c, to: to, acks: make([][]time.Time, to.partitions)}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	for p := range to.partitions {
		m.running.Go(func() { m.write(ctx, p) })
	}
	c.t.Cleanup(m.end)
	return m
}

func (m *meter) end() {
	m.cancel()
	m.running.Wait()
}

func (m *meter) write(ctx context.Context, p int32) {
	client := m.c.brokers[0].client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.MetadataMaxAge(250*time.Millisecond), kgo.DialTimeout(250*time.Millisecond),
		kgo.RequestTimeoutOverhead(400*time.Millisecond), kgo.ProduceRequestTimeout(400*time.Millisecond), // a halted broker is left soon
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
	defer client.Close()
	for ctx.Err() == nil {
		r := &kgo.Record{Topic: m.to.name, Partition: p, Value: []byte("tick")}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			if ctx.Err() == nil {
				m.c.t.Errorf("partition %d: %v", p, err)
			}
			continue
		}
		m.mu.Lock()
		m.acks[p] = append(m.acks[p], time.Now())
		m.mu.Unlock()
		time.Sleep(time.Millisecond) // the cores are for the brokers
	}
}

// gaps is the longest time without an acknowledgement in each of some partitions, from
// before a fault until they are written after it. Longer than bound fails.
func (m *meter) gaps(before, after time.Time, partitions []int32, bound time.Duration) (all []time.Duration) {
	m.c.t.Helper()
	for _, p := range partitions {
		for {
			gap, over := m.gap(p, before, after)
			if over {
				all = append(all, gap)
				break
			}
			if time.Since(after) > bound {
				m.c.t.Errorf("partition %d is not written %v after the fault", p, bound)
				return append(all, bound)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	return all
}

// gap looks at one partition; over says that it has been written since after.
func (m *meter) gap(p int32, before, after time.Time) (longest time.Duration, over bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	acks := m.acks[p]
	last := before
	i, _ := slices.BinarySearchFunc(acks, before, time.Time.Compare)
	for _, at := range acks[i:] {
		longest = max(longest, at.Sub(last))
		last = at
		if at.After(after) {
			return longest, true
		}
	}
	return longest, false
}

// ledBy is which partitions of the meter's topic a broker leads.
func (m *meter) ledBy(i int) (all []int32) {
	for p := range m.to.partitions {
		if m.c.leader(m.to, p) == i {
			all = append(all, p)
		}
	}
	return all
}

func histogram(gaps []time.Duration) string {
	bounds := []time.Duration{100, 250, 500, 1000, 1500, 2000, 3000, 4000, 6000, 10000, 30000}
	counts := make([]int, len(bounds)+1)
	var longest time.Duration
	for _, g := range gaps {
		longest = max(longest, g)
		i := 0
		for i < len(bounds) && g > bounds[i]*time.Millisecond {
			i++
		}
		counts[i]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d gaps, longest %v\n", len(gaps), longest.Round(time.Millisecond))
	for i, bound := range bounds {
		if counts[i] > 0 {
			fmt.Fprintf(&b, "\tup to %6v %4d %s\n", bound*time.Millisecond, counts[i], strings.Repeat("#", min(counts[i], 80)))
		}
	}
	return b.String()
}

// TestClusterAvailability tells how long partitions are not written when their
// leader is killed, stopped in order or halted.
func TestClusterAvailability(t *testing.T) {
	const bound = 30 * time.Second
	cycles := setting(t, "WEIR_TORTURE_FAILOVERS", 2)
	for _, f := range []struct {
		name    string
		down    func(c *trio, i int)
		recover func(c *trio, i int)
	}{
		{"kill", (*trio).kill, (*trio).launch},
		{"stop in order", (*trio).stop, (*trio).launch},
		{"halt", (*trio).pause, (*trio).resume},
	} {
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			c := newTrio(t, newProxies(t))
			m := c.measure(topic{name: "meter", number: 9, partitions: 6})
			var gaps []time.Duration
			all := []int32{0, 1, 2, 3, 4, 5}
			for cycle := range cycles {
				now := time.Now()
				m.gaps(now, now, all, bound)
				i := c.leader(m.to, int32(cycle%6))
				led := m.ledBy(i)
				began := time.Now()
				f.down(c, i)
				gone := m.gaps(began, time.Now().Add(20*time.Millisecond), led, bound) // answers under way aside
				for i := range gone {
					gone[i] = gone[i].Round(time.Millisecond)
				}
				t.Logf("broker %d led %d: %v", i+1, len(led), gone)
				gaps = append(gaps, gone...)
				f.recover(c, i)
				c.brokers[i].answers()
				time.Sleep(time.Second)
			}
			m.end()
			t.Logf("without an acknowledged write: %s", histogram(gaps))
		})
	}
}
