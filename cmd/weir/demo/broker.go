package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// cluster is the weir dev that the demo starts and ends, with its brokers.
type cluster struct {
	weir      string
	data      string
	addresses string // of the brokers, as clients take them
	greeting  string
	logFile   string // what weir dev itself says while it runs
	startup   time.Duration
	command   *exec.Cmd
	exited    chan error
}

// nodes is how many brokers there are, and how many replicas a partition has.
const nodes = 3

// devArgs is the command line of weir dev.
func devArgs(data string, base int) []string {
	return []string{"dev", "--nodes", fmt.Sprint(nodes), "--port-base", fmt.Sprint(base), "--data", data}
}

// startCluster returns once every broker takes requests and knows the others.
func startCluster(ctx context.Context, weir, data string, base int) (*cluster, error) {
	c := &cluster{weir: weir, data: data, logFile: data + ".log", exited: make(chan error, 1)}
	log, err := os.Create(c.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.command = exec.Command(weir, devArgs(data, base)...)
	c.command.Stderr = log
	greeting, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	// Ctrl-C is for the demo, which then ends the brokers itself.
	c.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	started := time.Now()
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	read := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(greeting) // up to its end, which comes when weir dev ends
		for lines.Scan() {
			if c.greeting += lines.Text() + "\n"; strings.HasPrefix(lines.Text(), "Ctrl-C") {
				read <- nil
			}
		}
		err := c.command.Wait()
		c.exited <- err
		read <- fmt.Errorf("weir dev ended: %w", err)
	}()
	select {
	case err = <-read:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(90 * time.Second):
		err = errors.New("it does not come up")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the brokers did not start: %w\n%s", err, c.said()), c.stop())
	}
	c.startup = time.Since(started)
	for line := range strings.Lines(c.greeting) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "Kafka" {
			c.addresses = words[1]
		}
	}
	return c, nil
}

// stop ends weir dev and with it the brokers, in order, and makes sure that none is left when that fails.
func (c *cluster) stop() error {
	err := c.command.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case ended := <-c.exited:
		c.exited <- ended
		err = errors.Join(err, ended)
	case <-time.After(time.Minute):
		c.command.Process.Kill()
		<-c.exited
		err = errors.Join(err, errors.New("weir dev did not end within a minute of SIGTERM"))
	}
	if err != nil { // its brokers may be left
		if out, stopError := exec.Command(c.weir, "dev", "stop", "--data", c.data).CombinedOutput(); stopError != nil {
			err = errors.Join(err, fmt.Errorf("%w: %s", stopError, out))
		}
	}
	return err
}

func (c *cluster) pid() int { return c.command.Process.Pid }

// said is what weir dev told, and the end of each broker's log.
func (c *cluster) said() []byte {
	said, _ := os.ReadFile(c.logFile)
	for id := 1; id <= nodes; id++ {
		log, _ := os.ReadFile(filepath.Join(c.data, fmt.Sprintf("%d.log", id)))
		said = append(append(said, '\n'), log[max(0, len(log)-2000):]...)
	}
	return said
}

// freeBase finds ports for the brokers that were free a moment ago, below those that the system gives
// away by itself.
func freeBase() (int, error) {
next:
	for range 1000 {
		base := 11000 + 2*rand.IntN(8000)
		for i := range nodes {
			for _, port := range []int{base + 1000*i, base + 1000*i + 1, base + 1000*i + 552} {
				listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					continue next
				}
				listener.Close()
			}
		}
		return base, nil
	}
	return 0, errors.New("no free ports")
}

// session runs weir's commands against the brokers and prints what a person would see.
type session struct {
	ctx       context.Context
	weir      string
	addresses string
	folder    string
	data      string
	out       io.Writer
}

// show runs a command and prints its output, indented.
func (s *session) show(args ...string) error {
	text, err := s.run(args)
	for line := range strings.Lines(string(text)) {
		s.say("%s", strings.TrimRight(line, "\n"))
	}
	return err
}

// records runs a command that prints records as lines of JSON.
func (s *session) records(args ...string) ([]record, error) {
	text, err := s.run(args)
	if err != nil {
		return nil, err
	}
	return parseRecords(bytes.NewReader(text))
}

func (s *session) run(args []string) ([]byte, error) {
	fmt.Fprintf(s.out, "\n$ weir %s\n", shellWords(args))
	return s.quietly(args)
}

// quietly runs a command that the person at the screen does not see.
func (s *session) quietly(args []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	command := s.command(ctx, args)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	text, err := command.Output()
	if err != nil {
		return text, fmt.Errorf("weir %s: %w\n%s", shellWords(args), err, complaints.Bytes())
	}
	return text, nil
}

// command is weir with the brokers' addresses in its environment; it is asked to end when ctx does.
func (s *session) command(ctx context.Context, args []string) *exec.Cmd {
	command := exec.CommandContext(ctx, s.weir, args...)
	command.Env = append(os.Environ(), "WEIR_BROKERS="+s.addresses)
	return command
}

func (s *session) say(format string, args ...any) { fmt.Fprintf(s.out, "  "+format+"\n", args...) }

// shellWords quotes what a shell would take apart.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		if words[i] = arg; strings.ContainsAny(arg, `\%* `) {
			words[i] = "'" + arg + "'"
		}
	}
	return strings.Join(words, " ")
}
