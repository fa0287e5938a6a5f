package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// broker is the process that the demo starts and ends.
type broker struct {
	address string
	data    string
	logFile string
	startup time.Duration
	command *exec.Cmd
	exited  chan error
}

// startBroker returns once the broker takes connections.
func startBroker(ctx context.Context, weir, folder string) (*broker, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	b := &broker{
		address: address,
		data:    filepath.Join(folder, "data"),
		logFile: filepath.Join(folder, "weir.log"),
		exited:  make(chan error, 1),
	}
	log, err := os.Create(b.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	b.command = exec.Command(weir, "start", "--data", b.data, "--listen", address)
	b.command.Stdout, b.command.Stderr = log, log
	// Ctrl-C is for the demo, which then ends the broker itself.
	b.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	started := time.Now()
	if err := b.command.Start(); err != nil {
		return nil, err
	}
	go func() { b.exited <- b.command.Wait() }()
	if err := b.await(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the broker did not start: %w\n%s", err, b.said()), b.stop())
	}
	b.startup = time.Since(started)
	return b, nil
}

func (b *broker) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		connection, err := net.Dial("tcp", b.address)
		if err == nil {
			return connection.Close()
		}
		select {
		case err := <-b.exited:
			b.exited <- err
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the broker by SIGTERM, and by force when that takes too long.
func (b *broker) stop() error {
	if err := b.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-b.exited:
		return err
	case <-time.After(30 * time.Second):
		b.command.Process.Kill()
		<-b.exited
		return errors.New("the broker did not end within 30 s of SIGTERM")
	}
}

func (b *broker) pid() int { return b.command.Process.Pid }

// said is the end of the broker's log.
func (b *broker) said() []byte {
	log, _ := os.ReadFile(b.logFile)
	return log[max(0, len(log)-4000):]
}

// freeAddress picks a port that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// session runs weir's commands against the broker and prints what a person would see.
type session struct {
	ctx     context.Context
	weir    string
	address string
	folder  string
	out     io.Writer
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
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, s.weir, args...)
	command.Env = append(os.Environ(), "WEIR_BROKERS="+s.address)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	text, err := command.Output()
	if err != nil {
		return text, fmt.Errorf("weir %s: %w\n%s", shellWords(args), err, complaints.Bytes())
	}
	return text, nil
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
