package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// record is an event, and where it is once it was read.
type record struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Key       string `json:"key"`
	Value     string `json:"value"`
}

// parseEvents reads lines of key, tab and value.
func parseEvents(text string) (events []record, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), "\t")
		if !found {
			return nil, fmt.Errorf("line %d has no tab: %q", len(events)+1, lines.Text())
		}
		events = append(events, record{Key: key, Value: value})
	}
	return events, lines.Err()
}

// parseRecords reads what `weir consume -o jsonl` prints.
func parseRecords(in io.Reader) (records []record, err error) {
	decoder := json.NewDecoder(in)
	for {
		var r record
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return records, nil
		} else if err != nil {
			return nil, fmt.Errorf("record %d: %w", len(records)+1, err)
		}
		records = append(records, r)
	}
}

// check wants read to be what was sent: each partition's offsets from 0 without a hole, each key on one
// partition, and its values in the order in which they were sent.
func check(sent, read []record) error {
	if len(read) != len(sent) {
		return fmt.Errorf("%d records were read, %d sent", len(read), len(sent))
	}
	next := map[int32]int64{}
	for _, r := range read {
		if r.Offset != next[r.Partition] {
			return fmt.Errorf("partition %d: offset %d where %d was due", r.Partition, r.Offset, next[r.Partition])
		}
		next[r.Partition]++
	}
	got := byKey(read)
	for key, want := range byKey(sent) {
		if len(got[key]) != len(want) {
			return fmt.Errorf("key %s: %d records were read, %d sent", key, len(got[key]), len(want))
		}
		for i, r := range got[key] {
			if r.Value != want[i].Value {
				return fmt.Errorf("key %s: read %q where %q was due", key, r.Value, want[i].Value)
			}
			if r.Partition != got[key][0].Partition {
				return fmt.Errorf("key %s is on partitions %d and %d", key, got[key][0].Partition, r.Partition)
			}
		}
	}
	return nil
}

// same wants the very same records.
func same(want, got []record) error {
	if !slices.Equal(want, got) {
		return fmt.Errorf("the replay gave %v, want %v", got, want)
	}
	return nil
}

func byKey(records []record) map[string][]record {
	keys := map[string][]record{}
	for _, r := range records {
		keys[r.Key] = append(keys[r.Key], r)
	}
	return keys
}
