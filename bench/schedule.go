package bench

import (
	"context"
	"time"
)

// Schedule is the plan of an open loop: record n of the run is meant to be sent n/rate seconds after
// its start, however late the records before it were. Latency counted from these times cannot hide
// the wait of records that a stalled broker kept from being sent (coordinated omission).
//
// One schedule is shared by several senders: sender i of k takes records i, i+k, i+2k, ...
type Schedule struct {
	rate float64 // records a second
}

// NewSchedule returns a schedule of rate records a second; rate is above 0.
func NewSchedule(rate float64) Schedule { return Schedule{rate: rate} }

// At returns when record n is meant to be sent, from the start of the run. It is computed from n
// itself, so that no rounding adds up.
func (s Schedule) At(n int64) time.Duration {
	whole := float64(n) / s.rate
	return time.Duration(whole * float64(time.Second))
}

// wait returns when at has come, counted from start, or false when ctx ended first. The timer is
// reused: it belongs to the one caller.
func wait(ctx context.Context, timer *time.Timer, start time.Time, at time.Duration) bool {
	left := at - time.Since(start)
	if left <= 0 {
		return ctx.Err() == nil
	}
	timer.Reset(left)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		timer.Stop()
		return false
	}
}
