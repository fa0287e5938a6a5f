package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Names of the peers, as flags and tables have them.
const (
	nameWeir  = "weir"
	nameFloor = "floor"
	nameKafka = "kafka"
	nameNATS  = "nats"
)

// peer is a server to measure.
type peer interface {
	name() string
	// prepare fetches or builds what the peer needs; work is the run's temporary folder.
	prepare(ctx context.Context, work string) error
	// describe says version and settings for the report.
	describe() (version, settings string)
	// measure starts the server in the empty folder dir, runs loads and stops it.
	measure(ctx context.Context, s *sitting, dir string) error
}

// server is a running process of a peer.
type server struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	err     error // of the process, set before exited closes
	address string
	pid     int
	logPath string
	begin   time.Time
	started time.Duration // from begin to the first answer
}

// Waits for a server.
const (
	readyTimeout = 90 * time.Second
	stopTimeout  = 60 * time.Second
)

// startServer runs cmd and waits until ready answers without an error. Output goes to logPath.
func startServer(ctx context.Context, cmd *exec.Cmd, address, logPath string, ready func(address string) error) (*server, error) {
	s, err := launch(cmd, address, logPath)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, ready); err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

func launch(cmd *exec.Cmd, address, logPath string) (*server, error) {
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	s := &server{cmd: cmd, exited: make(chan struct{}), address: address, logPath: logPath, begin: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = cmd.Process.Pid
	go func() {
		s.err = cmd.Wait()
		close(s.exited)
	}()
	return s, nil
}

// await returns once ready answers without an error; on an error of its own the process may still run.
func (s *server) await(ctx context.Context, ready func(address string) error) error {
	for {
		err := ready(s.address)
		if err == nil {
			s.started = time.Since(s.begin)
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("ended at the start: %v: %s", s.err, s.tail())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(s.begin) > readyTimeout {
			return fmt.Errorf("no answer after %v: %w: %s", readyTimeout, err, s.tail())
		}
	}
}

// end stops the process if it still runs.
func (s *server) end() error {
	select {
	case <-s.exited:
		return nil
	default:
		return s.stop()
	}
}

// stop asks the process to end and, when it does not, ends it.
func (s *server) stop() error {
	select {
	case <-s.exited:
		return fmt.Errorf("ended on its own: %v: %s", s.err, s.tail())
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("process %d did not end in %v", s.pid, stopTimeout)
	}
}

// tail returns the end of the server's output.
func (s *server) tail() string {
	b, err := os.ReadFile(s.logPath)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}

// pickAddresses returns n loopback addresses with free ports below the range that the kernel gives to
// clients, so that no outgoing connection takes one between the picking and the listening.
func pickAddresses(n int) ([]string, error) {
	var held []io.Closer // until all are picked, so that none is picked twice
	var picked []string
	for tries := 100 * n; len(picked) < n && tries > 0; tries-- {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000)))
		if err == nil {
			held, picked = append(held, ln), append(picked, ln.Addr().String())
		}
	}
	var errs []error
	for _, ln := range held {
		errs = append(errs, ln.Close())
	}
	if len(picked) < n {
		errs = append(errs, fmt.Errorf("%d of %d free ports between 20000 and 30000", len(picked), n))
	}
	return picked, errors.Join(errs...)
}

// command runs a program that fetches or builds and returns its output.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
