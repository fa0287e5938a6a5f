package output

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Bytes writes a number of bytes with a binary unit and one decimal: 1.2 GiB, 512 B.
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-max(n, -math.MaxInt64))
	}
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		v /= 1024
		if v < 1023.95 { // what would round to 1024.0 belongs to the next unit
			return fmt.Sprintf("%.1f %s", v, unit)
		}
	}
	return fmt.Sprintf("%.1f EiB", v/1024)
}

// Count writes a number with its digits in groups of three: 38,112.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural is a count with its noun: 1 record, 2,000 records.
func Plural(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return Count(n) + " " + noun
}

// Rate is n things in d, a second: 38,112 msg/s. It is "-" for no time at all.
func Rate(n int64, d time.Duration, unit string) string {
	if d <= 0 {
		return "-"
	}
	return Count(int64(math.Round(float64(n)/d.Seconds()))) + " " + unit + "/s"
}

// TimeLayout is RFC 3339 in milliseconds; times are in UTC.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Time writes t in TimeLayout.
func Time(t time.Time) string { return t.UTC().Format(TimeLayout) }

// Millis writes a Kafka timestamp in TimeLayout; Kafka's "no timestamp" is "".
func Millis(ms int64) string {
	if ms < 0 {
		return ""
	}
	return Time(time.UnixMilli(ms))
}

// Span writes how long something takes or took, in at most two units: 850ms, 12s, 3m20s, 2h05m, 3d04h.
func Span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
