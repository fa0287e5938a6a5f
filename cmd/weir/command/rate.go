package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// rateValue is a pflag.Value for how many records a second: 500, 500/s, 30/m, 2k/s, max.
type rateValue float64

func (v *rateValue) Type() string { return "N/s" }

func (v *rateValue) String() string {
	if *v == 0 {
		return "max"
	}
	return strconv.FormatFloat(float64(*v), 'g', -1, 64) + "/s"
}

func (v *rateValue) Set(s string) error {
	if s == "max" {
		*v = 0
		return nil
	}
	number, unit, _ := strings.Cut(s, "/")
	per := 1.0
	switch unit {
	case "", "s", "sec":
	case "m", "min":
		per = 60
	case "h":
		per = 3600
	default:
		return fmt.Errorf("%q is not a rate: write 500/s, 30/m, 2k/s or max", s)
	}
	factor := 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "M": 1e6} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, factor = n, f
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if rate := n * factor / per; err == nil && rate > 1e-6 && rate < 1e12 {
		*v = rateValue(rate)
		return nil
	}
	return fmt.Errorf("%q is not a rate: write 500/s, 30/m, 2k/s or max", s)
}

// pacer holds a loop to a rate by a schedule, so that a late step is made up for and the average is
// kept. The zero rate does not wait.
type pacer struct {
	rate  rateValue
	start time.Time
	steps int64
}

// wait returns when the next step is due, at once for the first, or with ctx's error when that ends.
func (p *pacer) wait(ctx context.Context) error {
	if p.rate == 0 {
		return ctx.Err()
	}
	now := time.Now()
	if p.steps == 0 {
		p.start = now
	}
	due := p.start.Add(time.Duration(float64(p.steps) / float64(p.rate) * float64(time.Second)))
	p.steps++
	d := due.Sub(now)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
