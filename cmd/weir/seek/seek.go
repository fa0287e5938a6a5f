// Package seek is the one grammar for "where in a topic": offsets, times and ranges of them, as the
// command line takes them and as anything else that asks a person for a position should.
//
//	start, earliest, beginning, oldest     the first offset
//	end, latest, newest, now               the high watermark
//	120                                    that offset
//	+10, -10                               ten after the start, ten before the end
//	@2026-11-23, @2026-11-23T09:00:00Z     the first record at or after that time (UTC unless it says)
//	@1732352400, @1732352400000ms          the same in seconds or milliseconds since 1970
//	-2h, @-2h, 1h30m ago                   the same, counted back from now
//	group:NAME                             where that group has committed
//	A..B, A:B, A.., ..B                    from A up to, not including, B
//
// Nothing here does I/O; the caller supplies the clock and, to Resolve, what the broker knows.
package seek

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind says which form a Point has.
type Kind uint8

const (
	Start      Kind = iota + 1 // the log start offset
	End                        // the high watermark
	Exact                      // Offset itself
	AfterStart                 // Offset records after the log start offset
	BeforeEnd                  // Offset records before the high watermark
	Time                       // the first record at or after Time
	Group                      // what the group Name has committed
)

// Point is one position in every partition of a topic. The zero Point is no position.
type Point struct {
	Kind   Kind
	Offset int64     // Exact, AfterStart, BeforeEnd; never negative
	Time   time.Time // Time; whole milliseconds, UTC
	Name   string    // Group
}

// IsZero says that no position was given.
func (p Point) IsZero() bool { return p.Kind == 0 }

// String writes the point in the grammar; Parse reads it back to an equal Point.
func (p Point) String() string {
	switch p.Kind {
	case Start:
		return "start"
	case End:
		return "end"
	case Exact:
		return strconv.FormatInt(p.Offset, 10)
	case AfterStart:
		return "+" + strconv.FormatInt(p.Offset, 10)
	case BeforeEnd:
		return "-" + strconv.FormatInt(p.Offset, 10)
	case Time:
		return "@" + strconv.FormatInt(p.Time.UnixMilli(), 10) + "ms"
	case Group:
		return "group:" + p.Name
	}
	return ""
}

// Range is what lies from From up to, not including, To. An end that was not given is a zero Point:
// what it stands for is the caller's choice.
type Range struct{ From, To Point }

func (r Range) String() string { return r.From.String() + ".." + r.To.String() }

// SyntaxError is what Parse, ParseRange and ParseTime return for text outside the grammar.
type SyntaxError struct {
	Text   string
	Reason string // why, in words, with what to write instead
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("cannot read %q as a position: %s", e.Text, e.Reason)
}

const forms = "write start, end, an offset (120), +10, -10, a time (@2026-11-23T09:00:00Z, @1732352400), -2h or group:NAME"

var words = map[string]Kind{
	"start": Start, "earliest": Start, "beginning": Start, "oldest": Start,
	"end": End, "latest": End, "newest": End, "now": End,
}

// Parse reads one position. now is what relative times count back from. The error is a *SyntaxError.
func Parse(text string, now time.Time) (Point, error) {
	s := strings.TrimSpace(text)
	if kind, ok := words[strings.ToLower(s)]; ok {
		return Point{Kind: kind}, nil
	}
	fail := func(reason string) (Point, error) { return Point{}, &SyntaxError{Text: text, Reason: reason} }
	switch {
	case s == "":
		return fail(forms)
	case strings.EqualFold(s, "stored"):
		return fail("a stored offset belongs to a group: write group:NAME")
	case strings.HasPrefix(s, "group:"):
		name := s[len("group:"):]
		if name == "" || strings.Contains(name, "..") {
			return fail("write the group's name after group:")
		}
		return Point{Kind: Group, Name: name}, nil
	case isDigits(s):
		return number(text, s, Exact)
	case s[0] == '+' && isDigits(s[1:]):
		return number(text, s[1:], AfterStart)
	case s[0] == '-' && isDigits(s[1:]):
		return number(text, s[1:], BeforeEnd)
	}
	t, err := ParseTime(s, now)
	if err != nil {
		return fail(err.(*SyntaxError).Reason)
	}
	return Point{Kind: Time, Time: t}, nil
}

func number(text, digits string, kind Kind) (Point, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return Point{}, &SyntaxError{Text: text, Reason: "an offset has at most 63 bits"}
	}
	return Point{Kind: kind, Offset: n}, nil
}

// ParseRange reads A..B or A:B with either side left out, or one position, which becomes From. Times
// hold colons of their own, so a text that is a position as a whole is one; else the first colon that
// has a position on either side parts them. The error is a *SyntaxError.
func ParseRange(text string, now time.Time) (Range, error) {
	if i := strings.Index(text, ".."); i >= 0 {
		for i+2 < len(text) && text[i+2] == '.' {
			i++ // a group's name may end in dots, no position begins with one
		}
		return parseEnds(text, text[:i], text[i+2:], now)
	}
	if p, err := Parse(text, now); err == nil {
		return Range{From: p}, nil
	}
	for i := range len(text) {
		if text[i] != ':' {
			continue
		}
		if r, err := parseEnds(text, text[:i], text[i+1:], now); err == nil {
			return r, nil
		}
	}
	_, err := Parse(text, now)
	return Range{}, err
}

func parseEnds(text, a, b string, now time.Time) (r Range, err error) {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	if a == "" && b == "" {
		return r, &SyntaxError{Text: text, Reason: "a range needs at least one end: A.., ..B or A..B"}
	}
	if a != "" {
		if r.From, err = Parse(a, now); err != nil {
			return Range{}, err
		}
	}
	if b != "" {
		if r.To, err = Parse(b, now); err != nil {
			return Range{}, err
		}
	}
	return r, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
