package local

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// Process is one process, told from every other that has or had its pid.
type Process struct {
	Pid     int       `json:"pid"`
	Birth   string    `json:"birth"` // when it began, as the system counts; with the pid it does not come twice
	Started time.Time `json:"started"`
}

// Self is the calling process.
func Self(now time.Time) (Process, error) { return identify(os.Getpid(), now) }

// identify names the process that has pid now. It has to be the caller or a child that is not waited for
// yet, so that the pid cannot change hands.
func identify(pid int, started time.Time) (Process, error) {
	b, _, err := birth(pid) // it may have ended already
	if err != nil {
		return Process{}, err
	}
	return Process{Pid: pid, Birth: b, Started: started.UTC().Truncate(time.Millisecond)}, nil
}

// Alive reports whether the process runs. One that has ended and waits to be collected does not.
func (p Process) Alive() bool {
	b, ended, err := birth(p.Pid)
	return err == nil && !ended && b == p.Birth
}

// Signal sends a signal, and os.ErrProcessDone when there is no such process any more.
func (p Process) Signal(sig os.Signal) error {
	found, err := os.FindProcess(p.Pid) // a handle where the system has them: what is checked next is what gets the signal
	if err != nil {
		return os.ErrProcessDone
	}
	defer found.Release()
	if !p.Alive() {
		return os.ErrProcessDone
	}
	return found.Signal(sig)
}

// pollInterval is between two looks at whether a process that is not our child has ended.
const pollInterval = 20 * time.Millisecond

// Wait returns when the process has ended, or with ctx's error.
func (p Process) Wait(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for p.Alive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Kill ends the process at once and returns when it has ended.
func (p Process) Kill(ctx context.Context) error {
	if err := p.Signal(os.Kill); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.Wait(ctx)
}

// Stop asks the process to end, waits for at most grace, and then ends it by force; forced says that it
// came to that.
func (p Process) Stop(ctx context.Context, grace time.Duration) (forced bool, err error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			return false, nil
		}
		return false, err
	}
	limit, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.Wait(limit) == nil {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return true, p.Kill(ctx)
}
