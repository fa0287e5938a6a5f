package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Config says over what time rates are told, in Kafka's terms.
type Config struct {
	Windows int           // quota.window.num, at least 1
	Window  time.Duration // quota.window.size.seconds
}

// burst is for how long a client that was idle may take more than its rate: what Kafka averages over.
func (c Config) burst() time.Duration { return time.Duration(max(1, c.Windows-1)) * c.Window }

// Bounds.
const (
	// maxBuckets is how many holders are told apart; those beyond share one.
	maxBuckets = 100_000
	// sweepFrom is the number of buckets below which nobody looks for those that can go.
	sweepFrom  = 1024
	sweepEvery = time.Second
	// MaxWait is the longest that a client can be told to wait.
	MaxWait = math.MaxInt32 * time.Millisecond
)

// Buckets are what the holders of limits have left. All methods may be called side by side.
type Buckets struct {
	cfg       Config
	throttled [kinds]Throttled

	mu       sync.Mutex // guards the rest; a leaf
	byHolder map[holder]*bucket
	sweepAt  int // buckets
	swept    time.Time
}

// Throttled counts answers that told a client to wait, and for how long together, in nanoseconds.
type Throttled struct{ Answers, Nanos atomic.Int64 }

// bucket holds what may be taken. It fills by rate a second up to what a burst holds, and is below 0 when more was taken.
type bucket struct {
	level, rate float64
	at          time.Time
}

// NewBuckets returns buckets that are all full.
func NewBuckets(cfg Config) *Buckets {
	return &Buckets{cfg: cfg, byHolder: make(map[holder]*bucket), sweepAt: sweepFrom}
}

// Take takes an amount, bytes or time by Kind, though it may be more than is there, and returns for how long the client has
// to wait then: until the bucket is no more below 0. One that is over its request_percentage waits for one window at a
// time, as in Kafka, so that it can heartbeat.
func (b *Buckets) Take(c *Client, k Kind, amount float64, now time.Time) time.Duration {
	if !c.Limited(k) {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.take(b.of(c, k, now), k, amount)
}

// TryTake is Take, but takes nothing when the bucket is below 0 already: false, and how long to wait.
func (b *Buckets) TryTake(c *Client, k Kind, amount float64, now time.Time) (wait time.Duration, ok bool) {
	if !c.Limited(k) {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket := b.of(c, k, now)
	if bucket.level < 0 {
		return b.take(bucket, k, 0), false
	}
	return b.take(bucket, k, amount), true
}

// Most is how much a client can take at once without having to wait.
func (b *Buckets) Most(c *Client, k Kind) float64 {
	if !c.Limited(k) {
		return math.Inf(1)
	}
	return c.rates[k] * unit(k) * b.cfg.burst().Seconds()
}

// Throttled are the counters of a kind.
func (b *Buckets) Throttled(k Kind) *Throttled { return &b.throttled[k] }

// Waiting counts the holders that have to wait at that time.
func (b *Buckets) Waiting(k Kind, now time.Time) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for h, bucket := range b.byHolder {
		if bucket.fill(now, b.cfg.burst()); h.kind == k && bucket.level < 0 {
			n++
		}
	}
	return n
}

// unit is what 1 of a quota's value is of what is taken: bytes are bytes, and a hundredth of a processor is 10 ms of it.
func unit(k Kind) float64 {
	if k == Request {
		return 0.01
	}
	return 1
}

func (b *Buckets) take(bucket *bucket, k Kind, amount float64) (wait time.Duration) {
	if bucket.level -= amount; bucket.level >= 0 {
		return 0
	}
	wait = MaxWait
	if k == Request {
		wait = min(wait, b.cfg.Window)
	}
	if nanos := -bucket.level / bucket.rate * 1e9; nanos < float64(wait) {
		wait = max(time.Millisecond, time.Duration(nanos).Round(time.Millisecond)) // the wire's unit, and never none
	}
	b.throttled[k].Answers.Add(1)
	b.throttled[k].Nanos.Add(int64(wait))
	return wait
}

// of returns the bucket of a client as it is now, a full one if there is none.
func (b *Buckets) of(c *Client, k Kind, now time.Time) *bucket {
	h, rate := c.holders[k], c.rates[k]*unit(k)
	found := b.byHolder[h]
	if found == nil {
		if len(b.byHolder) >= b.sweepAt && now.Sub(b.swept) >= sweepEvery {
			b.sweep(now)
		}
		if len(b.byHolder) >= maxBuckets {
			h = holder{kind: k}
			found = b.byHolder[h]
		}
	}
	if found == nil {
		found = &bucket{level: rate * b.cfg.burst().Seconds(), rate: rate, at: now}
		b.byHolder[h] = found
	}
	found.fill(now, b.cfg.burst())
	found.rate = rate
	found.level = min(found.level, rate*b.cfg.burst().Seconds())
	return found
}

func (b *bucket) fill(now time.Time, burst time.Duration) {
	if passed := now.Sub(b.at); passed > 0 {
		b.level = min(b.level+b.rate*passed.Seconds(), b.rate*burst.Seconds())
		b.at = now
	}
}

// sweep forgets buckets that are full: those of holders that are not seen are.
func (b *Buckets) sweep(now time.Time) {
	for h, bucket := range b.byHolder {
		if bucket.fill(now, b.cfg.burst()); bucket.level >= bucket.rate*b.cfg.burst().Seconds() {
			delete(b.byHolder, h)
		}
	}
	b.swept = now
	b.sweepAt = min(max(sweepFrom, 2*len(b.byHolder)), maxBuckets)
}
