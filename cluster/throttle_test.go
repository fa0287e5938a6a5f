package cluster

import (
	"testing"
	"time"
)

// TestThrottleKeepsItsRate: whatever the pieces, what passes is the rate times the time,
// and a change of the rate counts at once.
func TestThrottleKeepsItsRate(t *testing.T) {
	now := time.Unix(1000, 0)
	th := &throttle{now: func() time.Time { return now }}
	th.setRate(1000)
	run := func(d time.Duration, piece int) (bytes int) {
		for end := now.Add(d); now.Before(end); {
			if wait := th.Take(piece); wait > 0 {
				now = now.Add(min(wait, 100*time.Millisecond))
				continue
			}
			bytes += piece
		}
		return bytes
	}
	for _, piece := range []int{1, 70, 999, 5000} {
		if got := run(100*time.Second, piece); got < 100_000-5000 || got > 100_000+5000+100 {
			t.Errorf("in pieces of %d: %d bytes in 100 s at 1000 a second", piece, got)
		}
	}
	now = now.Add(time.Hour)
	if got := run(time.Second, 10); got > 1000+100+10 {
		t.Errorf("after an hour of rest, %d bytes in a second", got)
	}
	now = now.Add(time.Minute)
	th.Take(100_000)
	if wait := th.Take(1); wait < 99*time.Second || wait > 100*time.Second {
		t.Errorf("behind 100,000 bytes the wait is %v", wait)
	}
	th.setRate(100_000)
	if wait := th.Take(1); wait > time.Second {
		t.Errorf("at a hundred times the rate it is %v", wait)
	}
	th.Return(100_000)
	if wait := th.Take(1); wait != 0 {
		t.Errorf("after all was given back it is %v", wait)
	}
}
