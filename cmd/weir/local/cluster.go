package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"weir/segment/vfs"
)

// StopGrace is how long a broker may take to stop before it is ended by force; it gives what is under way
// 30 s itself.
const StopGrace = 35 * time.Second

// Start starts a node's process and keeps it in the state. The caller holds the lock. ended is closed
// when the process has ended, if this process lives to see it; the child lives on without.
func (d Dir) Start(s *State, n *Node, now time.Time) (ended <-chan struct{}, err error) {
	log, err := os.OpenFile(d.Log(n.ID), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.Binary, n.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for whoever started it, who then stops it in order
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// Only Wait lets go of the pid, so until then it is this child's.
	p, err := identify(cmd.Process.Pid, now)
	if err == nil {
		s.Stopped, n.Process, n.Ended, n.At = false, &p, "", time.Time{}
		err = d.Save(s)
	}
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd.Wait() // how it ended is in its log
	}()
	return done, nil
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// End keeps in the state how nodes are about to end. The caller holds the lock.
func (d Dir) End(s *State, how Ended, now time.Time, nodes ...*Node) error {
	for _, n := range nodes {
		n.Ended, n.At = how, now.UTC().Truncate(time.Millisecond)
	}
	return d.Save(s)
}

// StopAll stops every node that is up, side by side, and returns which had to be ended by force. The
// caller holds the lock.
func (d Dir) StopAll(ctx context.Context, s *State, grace time.Duration, now time.Time) (stopped, forced []int, err error) {
	var up []*Node
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Up() {
			up = append(up, n)
		}
	}
	s.Stopped = true
	if err := d.End(s, Stopped, now, up...); err != nil {
		return nil, nil, err
	}
	var wait sync.WaitGroup
	hard, errs := make([]bool, len(up)), make([]error, len(up))
	for i, n := range up {
		wait.Go(func() { hard[i], errs[i] = n.Process.Stop(ctx, grace) })
	}
	wait.Wait()
	for i, n := range up {
		stopped = append(stopped, n.ID)
		if hard[i] {
			forced = append(forced, n.ID)
		}
	}
	return stopped, forced, errors.Join(errs...)
}

// Remove removes what the cluster keeps: the nodes' folders and logs, and the state. Nothing of it may
// run, and the caller holds the lock; its file goes last. Files of others stay, and the folder with them.
func (d Dir) Remove(s *State) error {
	for _, n := range s.Nodes {
		if err := d.free(n.ID); err != nil {
			return err
		}
	}
	for _, n := range s.Nodes {
		if err := errors.Join(os.RemoveAll(d.Data(n.ID)), removeFile(d.Log(n.ID))); err != nil {
			return err
		}
	}
	return removeFile(filepath.Join(string(d), stateFile))
}

// RemoveDir removes the lock's file and, when nothing is left in it, the folder.
func (d Dir) RemoveDir() (left int, err error) {
	if err := removeFile(filepath.Join(string(d), lockFile)); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(string(d))
	if err != nil || len(entries) > 0 {
		return len(entries), err
	}
	return 0, os.Remove(string(d))
}

// free makes sure that no process works on a node's folder, also none that the state does not know.
func (d Dir) free(id int) error {
	if _, err := os.Stat(d.Data(id)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := vfs.OS.Lock(filepath.Join(d.Data(id), "LOCK"))
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("a process that %s does not name works on %s", stateFile, d.Data(id))
	}
	if err != nil {
		return err
	}
	return lock.Close()
}

func removeFile(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
