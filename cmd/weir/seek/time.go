package seek

import (
	"strconv"
	"strings"
	"time"
)

// layouts are the calendar forms, most exact first. Those without a zone are UTC.
var layouts = []string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04",
	"2006-01-02",
}

// ParseTime reads a point in time, with or without the leading @: a date, a date and time, a number of
// seconds or milliseconds since 1970, or a span back from now. The result is UTC in whole
// milliseconds, which is what a record's timestamp can hold, and not before 1970, where Kafka keeps its
// special timestamps. The error is a *SyntaxError.
func ParseTime(text string, now time.Time) (time.Time, error) {
	s := strings.TrimSpace(text)
	bare := true
	for _, prefix := range []string{"@", "s@", "e@"} { // kcat writes s@ and e@
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			s, bare = rest, false
			break
		}
	}
	t, reason := parseTime(s, now)
	switch {
	case reason == "" && t.UnixMilli() < 0:
		reason = "it lies before 1970"
	case reason == "":
		return millis(t), nil
	case reason == anyTime && bare:
		reason = forms
	}
	return time.Time{}, &SyntaxError{Text: text, Reason: reason}
}

const anyTime = "a time is written like @2026-11-23, @2026-11-23T09:00:00Z, @1732352400 or @-2h"

// parseTime gives the time, or the reason why s is none.
func parseTime(s string, now time.Time) (t time.Time, reason string) {
	if s == "now" {
		return now, ""
	}
	if span, ok := strings.CutSuffix(s, " ago"); ok {
		s = "-" + strings.TrimSpace(span)
	}
	if span, ok := strings.CutPrefix(s, "-"); ok && span != "" && !isDigits(span) {
		d, ok := ParseSpan(span)
		if !ok {
			return t, "a span is written like 90s, 2h, 1h30m, 7d or 2w"
		}
		return now.Add(-d), ""
	}
	if t, ok := calendar(s); ok {
		return t, ""
	}
	if t, ok := epoch(s); ok {
		return t, ""
	}
	if isDigits(s) || isDigits(strings.TrimRight(s, "ms")) {
		return t, "a number is a time in seconds (up to 11 digits) or milliseconds (12 to 15 digits, or ending in ms)"
	}
	if _, ok := ParseSpan(s); ok {
		return t, "a span counts back from now: write -" + s + " or \"" + s + " ago\""
	}
	return t, anyTime
}

func calendar(s string) (time.Time, bool) {
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// epoch reads seconds or milliseconds since 1970. Which of them a bare number is, its length tells:
// 11 digits of seconds end in the year 5138, 12 digits of milliseconds begin in 1973.
func epoch(s string) (time.Time, bool) {
	digits, unit := s, ""
	for _, u := range []string{"ms", "s"} {
		if d, ok := strings.CutSuffix(s, u); ok {
			digits, unit = d, u
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || digits[0] == '+' {
		return time.Time{}, false
	}
	switch {
	case unit == "ms", unit == "" && n >= 0 && len(digits) >= 12 && len(digits) <= 15:
		return time.UnixMilli(n), true
	case n >= 0 && len(digits) <= 11:
		return time.Unix(n, 0), true
	}
	return time.Time{}, false
}

// ParseSpan reads a duration in Go's form with two more units, d (24 hours) and w (7 days), in front:
// 7d, 1w2d, 1d12h. It reports false for anything else, for a negative span and for one that overflows.
func ParseSpan(s string) (time.Duration, bool) {
	var total time.Duration
	rest := s
	for _, unit := range []struct {
		suffix byte
		length time.Duration
	}{{'w', 7 * 24 * time.Hour}, {'d', 24 * time.Hour}} {
		i := strings.IndexByte(rest, unit.suffix)
		if i < 0 || !isDigits(rest[:i]) {
			continue
		}
		n, err := strconv.ParseInt(rest[:i], 10, 32)
		if err != nil || n > int64((1<<63-1-total)/unit.length) {
			return 0, false
		}
		total += time.Duration(n) * unit.length
		rest = rest[i+1:]
	}
	if rest == "" {
		return total, s != ""
	}
	if rest[0] < '0' || rest[0] > '9' { // no sign, no ".5h"
		return 0, false
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d > 1<<63-1-total || isDigits(rest) {
		return 0, false
	}
	return total + d, true
}

func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }
