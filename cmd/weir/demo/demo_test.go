package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEvents(t *testing.T) {
	events, err := parseEvents(eventFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) < 2000 || len(byKey(events)[hero]) < 5 {
		t.Fatalf("%d events, %d of %s", len(events), len(byKey(events)[hero]), hero)
	}
	var before time.Time
	for i, e := range events {
		moment, _, _ := strings.Cut(e.Value, " ")
		at, err := time.Parse(time.RFC3339, moment)
		if err != nil || at.Before(before) {
			t.Fatalf("event %d, %+v: %v, after %v", i, e, err, before)
		}
		before = at
	}
}

func TestParseEventsRefusesALineWithoutTab(t *testing.T) {
	if _, err := parseEvents("a\tb\nc\n"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v", err)
	}
}

func TestParseRecords(t *testing.T) {
	got, err := parseRecords(strings.NewReader(`{"topic":"t","partition":2,"offset":7,"timestamp":"2026-11-23T09:41:07.412Z","key":"k","value":"v"}` + "\n"))
	if want := []record{{Partition: 2, Offset: 7, Key: "k", Value: "v"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseRecords(strings.NewReader(`{"partition":`)); err == nil {
		t.Error("half a record was taken")
	}
}

// TestCheck plants each fault that the demo must not pass over.
func TestCheck(t *testing.T) {
	sent := []record{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "a", Value: "3"}}
	good := []record{{0, 0, "a", "1"}, {1, 0, "b", "2"}, {0, 1, "a", "3"}}
	if err := check(sent, good); err != nil {
		t.Errorf("what was sent is refused: %v", err)
	}
	for fault, read := range map[string][]record{
		"lost":       {{0, 0, "a", "1"}, {1, 0, "b", "2"}},
		"twice":      {{0, 0, "a", "1"}, {1, 0, "b", "2"}, {0, 1, "a", "3"}, {0, 2, "a", "3"}},
		"swapped":    {{0, 0, "a", "3"}, {1, 0, "b", "2"}, {0, 1, "a", "1"}},
		"hole":       {{0, 0, "a", "1"}, {1, 0, "b", "2"}, {0, 2, "a", "3"}},
		"split":      {{0, 0, "a", "1"}, {1, 0, "b", "2"}, {1, 1, "a", "3"}},
		"other key":  {{0, 0, "a", "1"}, {1, 0, "c", "2"}, {0, 1, "a", "3"}},
		"other text": {{0, 0, "a", "1"}, {1, 0, "b", "x"}, {0, 1, "a", "3"}},
	} {
		if check(sent, read) == nil {
			t.Errorf("%s went unnoticed", fault)
		}
	}
	if same(good, good[:2]) == nil || same(good, good) != nil {
		t.Error("same() cannot tell")
	}
}

func TestShellWords(t *testing.T) {
	if got, want := shellWords([]string{"produce", "t", "-f", `%k\t%v\n`}), `produce t -f '%k\t%v\n'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
