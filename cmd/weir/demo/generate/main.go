// Command generate writes the events of the demo to standard output: every change of the clocks of the
// world's time zones in the years 2010 to 2025, in the order in which they happened, keyed by zone.
// It reads this machine's copy of the tz database; SOURCE.md says which one the shipped file came from.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const zoneTable = "/usr/share/zoneinfo/zone1970.tab"

type event struct {
	at         time.Time
	zone, text string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	zones, err := zoneNames()
	if err != nil {
		return err
	}
	var events []event
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return err
		}
		events = append(events, changes(name, zone)...)
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.zone, b.zone)) })
	out := bufio.NewWriter(os.Stdout)
	for _, e := range events {
		fmt.Fprintf(out, "%s\t%s\n", e.zone, e.text)
	}
	return out.Flush()
}

// zoneNames reads the third column of the zone table.
func zoneNames() (names []string, err error) {
	table, err := os.ReadFile(zoneTable)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(table)) {
		if columns := strings.Split(strings.TrimSpace(line), "\t"); !strings.HasPrefix(line, "#") && len(columns) > 2 {
			names = append(names, columns[2])
		}
	}
	return names, nil
}

func changes(name string, zone *time.Location) (events []event) {
	first, end := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := first; ; {
		_, next := at.In(zone).ZoneBounds()
		if next.IsZero() || !next.Before(end) {
			return events
		}
		before, after := next.Add(-time.Second).In(zone), next.In(zone)
		text := fmt.Sprintf("%s  %s -> %s", next.UTC().Format(time.RFC3339), before.Format("-07:00 MST"), after.Format("-07:00 MST"))
		events = append(events, event{next, name, text})
		at = next
	}
}
