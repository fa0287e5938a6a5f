package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"weir/bench"
	"weir/bench/raw"
)

// cluster is the processes that serve a peer together, often a single one.
type cluster []*server

// startCluster runs the commands of brokers that will listen at addresses, and waits until every one
// answers and knows all others. Their output goes to dir.
func startCluster(ctx context.Context, dir string, addresses []string, commands []*exec.Cmd) (cluster, error) {
	var c cluster
	for i, cmd := range commands {
		s, err := launch(cmd, addresses[i], filepath.Join(dir, fmt.Sprintf("%d.txt", i+1)))
		if err != nil {
			return nil, errors.Join(err, c.each((*server).end))
		}
		c = append(c, s)
	}
	if err := c.await(ctx); err != nil {
		return nil, errors.Join(err, c.each((*server).end))
	}
	return c, nil
}

func (c cluster) await(ctx context.Context) error {
	ready := answersKafka
	if len(c) > 1 {
		ready = func(address string) error { return knowsBrokers(address, len(c)) }
	}
	for i, s := range c {
		if err := s.await(ctx, ready); err != nil {
			return fmt.Errorf("broker %d: %w", i+1, err)
		}
	}
	return nil
}

// answersKafka asks once for the API versions.
func answersKafka(address string) error {
	c, err := raw.Dial(address)
	if err != nil {
		return err
	}
	return c.Close()
}

func knowsBrokers(address string, want int) error {
	got, err := raw.Brokers(address)
	if err == nil && got != want {
		err = fmt.Errorf("%s knows %d brokers, want %d", address, got, want)
	}
	return err
}

// stop stops all processes at once: one alone could wait for a majority that is gone.
func (c cluster) stop() error { return c.each((*server).stop) }

func (c cluster) each(f func(*server) error) error {
	errs := make([]error, len(c))
	var wg sync.WaitGroup
	for i, s := range c {
		wg.Go(func() { errs[i] = f(s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c cluster) addresses() []string {
	var out []string
	for _, s := range c {
		out = append(out, s.address)
	}
	return out
}

func (c cluster) pids() []int {
	var out []int
	for _, s := range c {
		out = append(out, s.pid)
	}
	return out
}

// started is how long it took until the last one was ready.
func (c cluster) started() time.Duration {
	var longest time.Duration
	for _, s := range c {
		longest = max(longest, s.started)
	}
	return longest
}

// memory is that of all processes. Code and files that they share count in each.
func (c cluster) memory() (bench.ProcessSample, error) {
	var sum bench.ProcessSample
	for _, s := range c {
		p, err := bench.SampleProcess(s.pid)
		if err != nil {
			return sum, err
		}
		sum.RSSBytes += p.RSSBytes
		sum.PeakRSSBytes += p.PeakRSSBytes
		sum.RSSAnonBytes += p.RSSAnonBytes
	}
	return sum, nil
}
