//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"weir/interop/job"
)

// member is a client's program that is in a group. What it reads goes to the group's reads.
type member struct {
	name      string
	command   *exec.Cmd
	orders    io.WriteCloser
	committed chan bool // answers to orders: false, ask again
	exited    chan error
	ending    atomic.Bool // it is to end
}

// reading is one record that a member has read; nil is the member that the driver is itself.
type reading struct {
	by *member
	at job.Position
}

// join starts a client's program as a member, and does not wait until it is one.
func (g *sharedTopic) join(t *testing.T, c *client, way string, instance string) *member {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{name: c.name, committed: make(chan bool, 1), exited: make(chan error, 1)}
	m.command = c.command(ctx, t)
	out, err := m.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if m.orders, err = m.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	m.command.Stderr = &complaints
	if err := m.command.Start(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(m.orders).Encode(g.job(way, instance)); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := g.listen(m, out)
		if e := m.command.Wait(); e != nil {
			err = fmt.Errorf("%s: %w\n%s", m.name, e, tail(complaints.Bytes(), 4000))
		}
		if !m.ending.Load() {
			g.trouble <- fmt.Errorf("a member ended by itself: %w", err)
		}
		m.exited <- err
	}()
	t.Cleanup(func() { m.ending.Store(true); cancel() })
	return m
}

func (g *sharedTopic) listen(m *member, out io.Reader) error {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var said job.Said
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			return fmt.Errorf("%s said %.400q: %w", m.name, lines.Bytes(), err)
		}
		if said.Read != nil {
			g.reads <- reading{m, *said.Read}
		}
		if said.Committed || said.Refused {
			m.committed <- said.Committed
		}
	}
	return nil
}

// commit has members commit what they have read, one after the other.
func (g *sharedTopic) commit(t *testing.T, members ...*member) {
	t.Helper()
	for _, m := range members {
		late := time.After(patience)
		for done := false; !done; {
			if _, err := io.WriteString(m.orders, "commit\n"); err != nil {
				t.Fatal(err)
			}
			select {
			case done = <-m.committed:
			case err := <-g.trouble:
				t.Fatal(err)
			case <-late:
				t.Fatalf("%s does not commit", m.name)
			}
		}
	}
	g.noteCommitted(t)
}

// leave tells a member to close, and waits until its program has ended.
func (m *member) leave(t *testing.T) {
	t.Helper()
	m.ending.Store(true)
	if err := m.orders.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-m.exited:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatalf("%s does not end", m.name)
	}
}

// kill ends a member by SIGKILL.
func (m *member) kill(t *testing.T) {
	t.Helper()
	m.ending.Store(true)
	if err := m.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-m.exited
}
