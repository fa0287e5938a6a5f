package seek

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 500_000, time.UTC) // half a millisecond past noon

func at(s string) Point {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return Point{Kind: Time, Time: t}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Point{
		"start": {Kind: Start}, "earliest": {Kind: Start}, "beginning": {Kind: Start}, "Oldest": {Kind: Start},
		"end": {Kind: End}, "latest": {Kind: End}, "newest": {Kind: End}, "now": {Kind: End},
		"0": {Kind: Exact}, "120": {Kind: Exact, Offset: 120}, " 120 ": {Kind: Exact, Offset: 120},
		"9223372036854775807":       {Kind: Exact, Offset: math.MaxInt64},
		"+10":                       {Kind: AfterStart, Offset: 10},
		"-10":                       {Kind: BeforeEnd, Offset: 10},
		"-0":                        {Kind: BeforeEnd},
		"group:billing":             {Kind: Group, Name: "billing"},
		"group:a:b":                 {Kind: Group, Name: "a:b"},
		"@2026-11-23":               at("2026-11-23T00:00:00Z"),
		"2026-11-23":                at("2026-11-23T00:00:00Z"),
		"@2026-11-23T09:00":         at("2026-11-23T09:00:00Z"),
		"@2026-11-23 09:00":         at("2026-11-23T09:00:00Z"),
		"@2026-11-23T09:00:00Z":     at("2026-11-23T09:00:00Z"),
		"@2026-11-23T09:00:00.25Z":  at("2026-11-23T09:00:00.25Z"),
		"@2026-11-23T09:00:00.0007": at("2026-11-23T09:00:00Z"),
		"@2026-11-23T09:00+02:00":   at("2026-11-23T07:00:00Z"),
		"@1732352400":               at("2024-11-23T09:00:00Z"),
		"@1732352400s":              at("2024-11-23T09:00:00Z"),
		"@1732352400000":            at("2024-11-23T09:00:00Z"),
		"@1732352400000ms":          at("2024-11-23T09:00:00Z"),
		"s@1732352400000":           at("2024-11-23T09:00:00Z"),
		"e@1732352400000":           at("2024-11-23T09:00:00Z"),
		"@5ms":                      at("1970-01-01T00:00:00.005Z"),
		"@-1ms":                     {Kind: Time, Time: now.Add(-time.Millisecond).Truncate(time.Millisecond)},
		"@0":                        at("1970-01-01T00:00:00Z"),
		"@now":                      at("2026-11-23T12:00:00Z"),
		"-2h":                       at("2026-11-23T10:00:00Z"),
		"@-2h":                      at("2026-11-23T10:00:00Z"),
		"2h ago":                    at("2026-11-23T10:00:00Z"),
		"1h30m ago":                 at("2026-11-23T10:30:00Z"),
		"-7d":                       at("2026-11-16T12:00:00Z"),
		"-1w1d12h":                  at("2026-11-15T00:00:00Z"),
	} {
		got, err := Parse(text, now)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
		} else if !equal(got, want) {
			t.Errorf("Parse(%q) = %+v, want %+v", text, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, hint := range map[string]string{
		"": "write start", "   ": "write start", "soon": "write start", "12x": "write start", "--5": "span is written",
		"stored": "group:NAME", "group:": "group's name", "@": "a time is written", "@yesterday": "a time is written",
		"-2hours": "span is written", "2h": "-2h", "9223372036854775808": "63 bits", "-9223372036854775808": "63 bits",
		"@12345678901234567": "a number is a time", "@2026-13-01": "a time is written", "@-5": "a time is written",
		"@+5": "a time is written", "-99999999w": "span is written",
		"@1969-12-31": "before 1970", "-5000w": "before 1970", "@-1ms1": "a span",
	} {
		_, err := Parse(text, now)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("Parse(%q): error %v, want a *SyntaxError", text, err)
		} else if syntax.Text != text || !strings.Contains(syntax.Reason, hint) {
			t.Errorf("Parse(%q): %+v, want a reason with %q", text, *syntax, hint)
		}
	}
}

func TestParseRange(t *testing.T) {
	five, ten := Point{Kind: Exact, Offset: 5}, Point{Kind: Exact, Offset: 10}
	for text, want := range map[string]Range{
		"5":         {From: five},
		"5..10":     {From: five, To: ten},
		"5 .. 10":   {From: five, To: ten},
		"5:10":      {From: five, To: ten},
		"5..":       {From: five},
		"5:":        {From: five},
		"..10":      {To: ten},
		":10":       {To: ten},
		":end":      {To: Point{Kind: End}},
		"start:end": {From: Point{Kind: Start}, To: Point{Kind: End}},
		"-2h..-1h":  {From: at("2026-11-23T10:00:00Z"), To: at("2026-11-23T11:00:00Z")},
		"-2h:now":   {From: at("2026-11-23T10:00:00Z"), To: Point{Kind: End}},
		"@2026-11-23T09:00:@2026-11-23T10:00": {
			From: at("2026-11-23T09:00:00Z"), To: at("2026-11-23T10:00:00Z")},
		"@2026-11-23T09:00:00":    {From: at("2026-11-23T09:00:00Z")},
		"@2026-11-23T09:00:00:10": {From: at("2026-11-23T09:00:00Z"), To: ten},
		"group:a..end":            {From: Point{Kind: Group, Name: "a"}, To: Point{Kind: End}},
		"group:a:end":             {From: Point{Kind: Group, Name: "a:end"}},
		"5:group:a:b":             {From: five, To: Point{Kind: Group, Name: "a:b"}},
		"@2026-11-23T09:00:30:":   {From: at("2026-11-23T09:00:30Z")},
	} {
		got, err := ParseRange(text, now)
		if err != nil {
			t.Errorf("ParseRange(%q): %v", text, err)
		} else if !equal(got.From, want.From) || !equal(got.To, want.To) {
			t.Errorf("ParseRange(%q) = %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", "..", ":", "a..b", "5..x", "1..2..3", "a:b", "5:x"} {
		if r, err := ParseRange(text, now); err == nil {
			t.Errorf("ParseRange(%q) = %v, want an error", text, r)
		}
	}
}

func TestStringParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPoint(t)
		got, err := Parse(p.String(), now)
		if err != nil || !equal(got, p) {
			t.Fatalf("Parse(%q) = %+v, %v, want %+v", p, got, err, p)
		}
		to := drawPoint(t)
		r, err := ParseRange(Range{p, to}.String(), now)
		if err != nil || !equal(r.From, p) || !equal(r.To, to) {
			t.Fatalf("ParseRange(%q) = %v, %v", Range{p, to}, r, err)
		}
	})
}

func TestResolveStaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPoint(t)
		start := rapid.Int64Range(0, 1<<40).Draw(t, "start")
		b := Bounds{Start: start, End: start + rapid.Int64Range(0, 1<<40).Draw(t, "length")}
		asked := rapid.Int64Min(0).Draw(t, "asked")
		look := Lookup{
			AtTime:    func(time.Time) (int64, bool, error) { return asked, true, nil },
			Committed: func(string) (int64, bool, error) { return asked, true, nil },
		}
		got, moved, err := p.Resolve(b, look)
		if err != nil || got < b.Start || got > b.End {
			t.Fatalf("%v in %v: %d, %v", p, b, got, err)
		}
		if p.Kind == Exact && moved != (p.Offset < b.Start || p.Offset > b.End) {
			t.Fatalf("%v in %v: moved = %v", p, b, moved)
		}
	})
}

func TestResolve(t *testing.T) {
	b := Bounds{Start: 100, End: 200}
	boom := errors.New("boom")
	none := Lookup{
		AtTime:    func(time.Time) (int64, bool, error) { return 0, false, nil },
		Committed: func(string) (int64, bool, error) { return 0, false, nil },
	}
	broken := Lookup{
		AtTime:    func(time.Time) (int64, bool, error) { return 0, false, boom },
		Committed: func(string) (int64, bool, error) { return 0, false, boom },
	}
	for _, c := range []struct {
		point Point
		look  Lookup
		want  int64
		moved bool
		err   error
	}{
		{Point{Kind: Start}, none, 100, false, nil},
		{Point{Kind: End}, none, 200, false, nil},
		{Point{Kind: AfterStart, Offset: 10}, none, 110, false, nil},
		{Point{Kind: AfterStart, Offset: math.MaxInt64}, none, 200, false, nil},
		{Point{Kind: BeforeEnd, Offset: 10}, none, 190, false, nil},
		{Point{Kind: BeforeEnd, Offset: math.MaxInt64}, none, 100, false, nil},
		{Point{Kind: Exact, Offset: 5}, none, 100, true, nil},
		{Point{Kind: Exact, Offset: 500}, none, 200, true, nil},
		{Point{Kind: Exact, Offset: 200}, none, 200, false, nil},
		{Point{Kind: Time, Time: now}, none, 200, false, nil},
		{Point{Kind: Time, Time: now}, broken, 0, false, boom},
		{Point{Kind: Group, Name: "g"}, broken, 0, false, boom},
	} {
		got, moved, err := c.point.Resolve(b, c.look)
		if got != c.want || moved != c.moved || !errors.Is(err, c.err) {
			t.Errorf("%v: %d, %v, %v, want %d, %v, %v", c.point, got, moved, err, c.want, c.moved, c.err)
		}
	}
	var missing *NoOffsetError
	if _, _, err := (Point{Kind: Group, Name: "g"}).Resolve(b, none); !errors.As(err, &missing) || missing.Group != "g" {
		t.Errorf("a group without an offset: %v", err)
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"start..end", "@2026-11-23T09:00:00Z", "-2h:now", "1h30m ago", "group:x..5", "+1:-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRange(text, now)
		if err != nil {
			return
		}
		again, err := ParseRange(r.String(), now)
		if err != nil || !equal(again.From, r.From) || !equal(again.To, r.To) {
			t.Fatalf("%q: %v read back as %v, %v", text, r, again, err)
		}
	})
}

func equal(a, b Point) bool {
	return a.Kind == b.Kind && a.Offset == b.Offset && a.Name == b.Name && a.Time.Equal(b.Time)
}

func drawPoint(t *rapid.T) Point {
	p := Point{Kind: Kind(rapid.IntRange(int(Start), int(Group)).Draw(t, "kind"))}
	switch p.Kind {
	case Exact, AfterStart, BeforeEnd:
		p.Offset = rapid.Int64Min(0).Draw(t, "offset")
	case Time:
		p.Time = time.UnixMilli(rapid.Int64Range(0, 1<<50).Draw(t, "millis"))
	case Group:
		p.Name = rapid.StringMatching(`[a-zA-Z0-9][a-zA-Z0-9:_-]{0,20}`).Draw(t, "name")
	}
	return p
}
