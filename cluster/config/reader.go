package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// reader turns the values of keys into typed fields. Values were checked when they were set, so a
// failure here is a hole in the table; it is kept and reported once.
type reader struct {
	value func(*Key) (Setting, bool)
	err   error
}

func (r *reader) get(name string) (string, bool) {
	k, ok := Lookup(name)
	if !ok {
		r.fail(name, "no such key in the table")
		return "", false
	}
	s, ok := r.value(k)
	return strings.TrimSpace(s.Value), ok
}

func (r *reader) fail(name, reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("configuration key %s: %s", name, reason)
	}
}

func (r *reader) str(name string) string {
	s, _ := r.get(name)
	return s
}

func (r *reader) list(name string) []string { return splitList(r.str(name)) }

func (r *reader) bool(name string) bool {
	s, _ := r.get(name)
	v, ok := parseBool(s)
	if !ok {
		r.fail(name, "not a boolean: "+s)
	}
	return v
}

func (r *reader) long(name string) int64 {
	s, _ := r.get(name)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		r.fail(name, err.Error())
	}
	return n
}

func (r *reader) int(name string) int { return int(r.long(name)) }

func (r *reader) double(name string) float64 {
	s, _ := r.get(name)
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		r.fail(name, err.Error())
	}
	return f
}

// millis reads a key in milliseconds as a duration; negative values become 0, which the broker's
// fields document as "never" where it can happen.
func (r *reader) millis(name string) time.Duration { return Duration(r.long(name)) }

// within reads a key in milliseconds, brought between the values of two others.
func (r *reader) within(name, least, most string) time.Duration {
	low, high := r.millis(least), r.millis(most)
	if low > high && r.err == nil {
		r.err = &InvalidValueError{Key: least, Value: fmt.Sprint(low.Milliseconds()), Allowed: "at most " + most}
	}
	return min(max(r.millis(name), low), high)
}

// Duration turns milliseconds into a duration: 0 for negative ones, and the longest duration for
// those that do not fit (292 years), so that Kafka's "never" stays never.
func Duration(millis int64) time.Duration {
	if millis < 0 {
		return 0
	}
	if millis > maxLong/int64(time.Millisecond) {
		return time.Duration(maxLong)
	}
	return time.Duration(millis) * time.Millisecond
}
