package floor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// startTimeout bounds the wait for a child's address, which comes after it wrote its read file.
const startTimeout = 2 * time.Minute

// Args returns the arguments that ParseArgs turns back into cfg: what a parent hands to its child.
func Args(cfg Config) []string {
	return []string{
		cfg.Dir, strconv.FormatBool(cfg.Sync), strconv.FormatInt(cfg.ReadFileBytes, 10), strconv.FormatInt(cfg.ReadBytes, 10),
		strings.Join(cfg.Followers, ","), strconv.FormatBool(cfg.Unsummed),
	}
}

// ParseArgs reads what Args made.
func ParseArgs(args []string) (Config, error) {
	if len(args) != 6 {
		return Config{}, fmt.Errorf("floor takes 6 arguments, got %d", len(args))
	}
	sync, err := strconv.ParseBool(args[1])
	fileBytes, err2 := strconv.ParseInt(args[2], 10, 64)
	readBytes, err3 := strconv.ParseInt(args[3], 10, 64)
	unsummed, err4 := strconv.ParseBool(args[5])
	cfg := Config{Dir: args[0], Sync: sync, ReadFileBytes: fileBytes, ReadBytes: readBytes, Unsummed: unsummed}
	if args[4] != "" {
		cfg.Followers = strings.Split(args[4], ",")
	}
	return cfg, errors.Join(err, err2, err3, err4)
}

// Main is what the child process calls with the arguments of Args: it serves until its standard input
// ends, which it does when the parent is gone, however that came.
func Main(args []string, stdin io.Reader, stdout io.Writer) error {
	cfg, err := ParseArgs(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		// The end of input is the sign to stop, and so is an error of it.
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	return Run(ctx, cfg, stdout)
}

// Child is a floor server in a process of its own.
type Child struct {
	Address string
	PID     int
	cmd     *exec.Cmd
	stdin   io.Closer
	stderr  strings.Builder
}

// StartChild runs command, whose program calls Main with the arguments after it, and waits until it
// serves. A command is usually the running program and a hidden verb.
func StartChild(command []string, cfg Config) (*Child, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(command) == 0 {
		return nil, errors.New("no command for the floor process")
	}
	ch := &Child{cmd: exec.Command(command[0], append(command[1:len(command):len(command)], Args(cfg)...)...)}
	ch.cmd.Env = os.Environ()
	ch.cmd.Stderr = &ch.stderr
	stdin, err := ch.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	ch.stdin = stdin
	stdout, err := ch.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := ch.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start floor process: %w", err)
	}
	ch.PID = ch.cmd.Process.Pid
	timer := time.AfterFunc(startTimeout, func() { _ = ch.cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	timer.Stop()
	if err != nil {
		return nil, fmt.Errorf("floor process did not start: %w", errors.Join(err, ch.Stop()))
	}
	ch.Address = strings.TrimSpace(line)
	return ch, nil
}

// Stop ends the process and returns what went wrong in it.
func (c *Child) Stop() error {
	c.stdin.Close()
	timer := time.AfterFunc(30*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("floor process: %w: %s", err, strings.TrimSpace(c.stderr.String()))
	}
	return nil
}
