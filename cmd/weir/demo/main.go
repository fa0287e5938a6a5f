// Command demo shows Weir at work, from nothing to nothing: it starts three brokers on free loopback ports
// with their data in a temporary folder, writes keyed events from a file of real ones, kills a leader in the
// middle of it, reads everything back, replays one key from an offset, checks count and order, starts the
// killed broker again and waits until it has caught up, stops the brokers and removes the folder.
//
//	go run ./cmd/weir/demo -weir bin/weir
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// The events and what they are: SOURCE.md.
//
//go:embed clock-changes.tsv
var eventFile string

const (
	topic      = "clock-changes"
	partitions = 4
	hero       = "Europe/Lisbon" // the zone whose events are shown
)

func main() {
	weir := flag.String("weir", "bin/weir", "the binary to show")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *weir, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run leaves no process and no file behind, also when it fails or ctx ends.
func run(ctx context.Context, weir string, out io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if removed := os.RemoveAll(folder); err == nil {
			err = removed
		}
	}()
	if weir, err = filepath.Abs(weir); err != nil {
		return err
	}
	base, err := freeBase()
	if err != nil {
		return err
	}
	data := filepath.Join(folder, "data")
	fmt.Fprintf(out, "$ weir %s\n", shellWords(devArgs(data, base)))
	c, err := startCluster(ctx, weir, data, base)
	if err != nil {
		return err
	}
	s := &session{ctx: ctx, weir: weir, addresses: c.addresses, folder: folder, data: data, out: out}
	s.say("%d brokers answered after %v: %s", nodes, c.startup.Round(time.Millisecond), c.addresses)
	err = tell(s)
	stopped := time.Now()
	if stopError := c.stop(); err == nil {
		err = stopError
	}
	if err != nil {
		return fmt.Errorf("%w\nthe brokers said:\n%s", err, c.said())
	}
	fmt.Fprintf(out, "\n$ kill -TERM %d\n  %d brokers stopped after %v\n\nEverything acknowledged was there, in order. %s is removed.\n",
		c.pid(), nodes, time.Since(stopped).Round(time.Millisecond), folder)
	return nil
}

// tell is the story that the demo tells.
func tell(s *session) error {
	sent, err := parseEvents(eventFile)
	if err != nil {
		return err
	}
	if err := s.show("topic", "create", topic, "-p", fmt.Sprint(partitions), "--replicas", fmt.Sprint(nodes)); err != nil {
		return err
	}
	victim, err := produce(s, sent)
	if err != nil {
		return err
	}

	started := time.Now()
	read, err := s.records("consume", topic, "--from", "start", "-e", "-o", "jsonl")
	if err != nil {
		return err
	}
	if err := check(sent, read); err != nil {
		return err
	}
	s.say("%d read in %v: none lost, none twice, each zone on one partition and in order",
		len(read), time.Since(started).Round(time.Millisecond))
	if err := replay(s, read); err != nil {
		return err
	}
	return comeBack(s, victim)
}

// replay reads the hero's last events again, from the offset of the fifth last.
func replay(s *session, read []record) error {
	of := byKey(read)[hero]
	if len(of) < 5 {
		return fmt.Errorf("%s has only %d events", hero, len(of))
	}
	want := of[len(of)-5:]
	place := []string{"-p", fmt.Sprint(want[0].Partition), "--from", fmt.Sprint(want[0].Offset), "-k", hero}
	again, err := s.records(append([]string{"replay", topic, "-o", "jsonl"}, place...)...)
	if err != nil {
		return err
	}
	if err := same(want, again); err != nil {
		return err
	}
	for _, r := range again {
		s.say("%s[%d]@%d  %s", topic, r.Partition, r.Offset, r.Value)
	}
	s.say("the same five, at the same offsets")
	return nil
}
