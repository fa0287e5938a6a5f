package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// produceRate keeps the producer busy for some seconds, so that a broker can die in the middle.
const produceRate = 1000

// partition is what `weir partition list -o json` prints of one.
type partition struct {
	Number   int32   `json:"partition"`
	Leader   int32   `json:"leader"`
	Replicas []int32 `json:"replicas"`
	InSync   []int32 `json:"in_sync"`
}

func (s *session) partitions() (list []partition, err error) {
	text, err := s.quietly([]string{"partition", "list", topic, "-o", "json"})
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal(text, &list)
}

// produce writes the events, kills the leader of partition 0 when a third of them is acknowledged, and
// returns which broker that was. Every event has to be acknowledged.
func produce(s *session, events []record) (victim int32, err error) {
	file := filepath.Join(s.folder, "clock-changes.tsv")
	if err := os.WriteFile(file, []byte(eventFile), 0o600); err != nil {
		return 0, err
	}
	before, err := s.partitions()
	if err != nil || len(before) != partitions {
		return 0, errors.Join(fmt.Errorf("the topic has %d partitions, want %d", len(before), partitions), err)
	}
	victim = before[0].Leader
	args := []string{"produce", topic, "-f", `%k\t%v\n`, "--file", file, "--rate", fmt.Sprintf("%d/s", produceRate)}
	fmt.Fprintf(s.out, "\n$ weir %s &\n", shellWords(args))
	command := s.command(s.ctx, args)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	receipts, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	started := time.Now()
	if err := command.Start(); err != nil {
		return 0, err
	}
	acknowledged, killError := countReceipts(receipts, len(events)/3, func(n int) error {
		s.say("%d acknowledged; now broker %d dies, which leads partition 0", n, victim)
		return s.show("dev", "kill", fmt.Sprint(victim), "--data", s.data)
	})
	took := time.Since(started)
	if err := errors.Join(killError, command.Wait()); err != nil {
		return 0, fmt.Errorf("weir produce: %w\n%s", err, complaints.Bytes())
	}
	if acknowledged != len(events) {
		return 0, fmt.Errorf("%d of %d events were acknowledged", acknowledged, len(events))
	}
	after, err := s.partitions()
	if err != nil {
		return 0, err
	}
	for i, p := range before {
		if p.Leader == victim {
			s.say("partition %d: led by %d, now by %d", p.Number, p.Leader, after[i].Leader)
		}
	}
	s.say("the producer went on by itself: %d changes of the clocks in %d time zones acknowledged in %v, at %d/s",
		acknowledged, len(byKey(events)), took.Round(time.Millisecond), produceRate)
	return victim, nil
}

// countReceipts counts lines and calls once when there are at least half of them.
func countReceipts(lines io.Reader, at int, once func(n int) error) (n int, err error) {
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() {
		if n++; n == at {
			err = once(n)
		}
	}
	return n, errors.Join(err, scanner.Err())
}

// comeBack starts the killed broker again and waits until each partition has all its replicas in sync.
func comeBack(s *session, victim int32) error {
	fmt.Fprintln(s.out)
	out, err := s.awaitInSync(func(p partition) bool { return !slices.Contains(p.InSync, victim) })
	if err != nil {
		return err
	}
	s.say("without broker %d: %s", victim, inSync(out))
	started := time.Now()
	if err := s.show("dev", "restart", fmt.Sprint(victim), "--data", s.data); err != nil {
		return err
	}
	back, err := s.awaitInSync(func(p partition) bool { return len(p.InSync) == len(p.Replicas) })
	if err != nil {
		return err
	}
	s.say("started and caught up in %v: %s", time.Since(started).Round(time.Millisecond), inSync(back))
	return s.show("cluster", "health", "--watch", "--exit-when-healthy", "--within", "1m")
}

// inSync puts the replicas of all partitions into words.
func inSync(list []partition) string {
	in, of := 0, 0
	for _, p := range list {
		in, of = in+len(p.InSync), of+len(p.Replicas)
	}
	return fmt.Sprintf("%d of %d replicas in sync", in, of)
}

// awaitInSync looks until all partitions are as wanted.
func (s *session) awaitInSync(wanted func(partition) bool) ([]partition, error) {
	limit := time.After(time.Minute)
	for {
		list, err := s.partitions()
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(p partition) bool { return !wanted(p) }) {
			return list, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-limit:
			return nil, fmt.Errorf("after a minute there are %s: %+v", inSync(list), list)
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}
