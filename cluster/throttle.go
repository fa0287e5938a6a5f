package cluster

import (
	"context"
	"math"
	"sync"
	"time"

	"weir/partition"
)

// throttle bounds the bytes of a second over all partitions: what this broker sends to replicas
// that are behind (leader.replication.throttled.rate), or reads and writes for compaction
// (log.cleaner.io.max.bytes.per.second), or copies from folder to folder (replica.alter.log.dirs.io.max.bytes.per.second).
// Who is refused asks again, so a wait may end for any reason, and a new rate counts at once.
type throttle struct {
	now func() time.Time

	mu   sync.Mutex // guards the rest; a leaf lock
	rate float64    // bytes a second
	owed float64    // bytes that were let go before their time; below zero, saved up
	at   time.Time  // of owed
}

var _ partition.Throttle = (*throttle)(nil)

// throttleSavesUp bounds what is let go at once after a time in which little was asked for.
// It makes up for waits that end late.
const throttleSavesUp = 100 * time.Millisecond

func (t *throttle) setRate(bytesPerSecond float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle()
	t.rate = bytesPerSecond
}

// Take lets n bytes go, however many, when what went before is paid off.
func (t *throttle) Take(n int) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle()
	if t.owed > 0 {
		return time.Duration(math.Ceil(t.owed / t.rate * float64(time.Second)))
	}
	t.owed += float64(n)
	return 0
}

// throttleLook is the longest time until one that waits asks again: the rate may be another.
const throttleLook = 100 * time.Millisecond

// await asks until n bytes may go. Its error is ctx's.
func (t *throttle) await(ctx context.Context, n int) error {
	for ctx.Err() == nil {
		wait := t.Take(n)
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(min(wait, throttleLook))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return ctx.Err()
}

func (t *throttle) Return(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle()
	t.owed -= float64(n)
}

// settle is called with mu held.
func (t *throttle) settle() {
	now := t.now()
	t.owed = max(t.owed-t.rate*now.Sub(t.at).Seconds(), -t.rate*throttleSavesUp.Seconds())
	t.at = now
}
