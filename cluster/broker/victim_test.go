package broker_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// patience bounds waits for what happens at once unless something is broken.
const patience = 20 * time.Second

// victim is a broker under attack with a healthy client beside it, and what
// it held before the attack began.
type victim struct {
	t          *testing.T
	b          *broker.Broker
	addr       string
	healthy    *rawClient
	produced   int64
	goroutines int
	fds        int
}

func newVictim(t *testing.T, settings map[string]string) *victim {
	t.Helper()
	b := brokertest.Start(t, settings)
	v := &victim{t: t, b: b, addr: b.Addr(), healthy: dial(t, b.Addr())}
	v.healthy.createTopic("healthy", 1, nil)
	v.check()
	v.goroutines, v.fds = v.ownGoroutines(), openFiles(t)
	return v
}

// ownGoroutines is how many there are beside those of the partitions, each of which has
// its Raft group's: the main loop, the state machine, the snapshots' and the leader's.
func (v *victim) ownGoroutines() int {
	return runtime.NumGoroutine() - 4*v.b.Node().Image().PartitionCount()
}

// check has the healthy client write a record and read it back.
func (v *victim) check() {
	v.t.Helper()
	if err := v.healthy.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		v.t.Fatal(err)
	}
	p := v.healthy.produce("healthy", 0, -1, batchOf(v.t, plain, recordbatch.CodecNone, record("k", "v")))
	if p.ErrorCode != 0 || p.BaseOffset != v.produced {
		v.t.Fatalf("the healthy client's record: %v at %d, want %d", protocol.ErrorCode(p.ErrorCode), p.BaseOffset, v.produced)
	}
	v.produced++
	f := v.healthy.fetch("healthy", 0, v.produced-1)
	if f.ErrorCode != 0 || len(f.RecordBatches) == 0 {
		v.t.Fatalf("the healthy client's fetch: %v, %d bytes", protocol.ErrorCode(f.ErrorCode), len(f.RecordBatches))
	}
}

// recovered waits until all that the attack took is given back, and serves the
// healthy client.
func (v *victim) recovered() {
	v.t.Helper()
	s := v.b.Stats()
	v.eventually("only the healthy connection is left", func() bool { return s.ConnectionsOpen.Load() == 1 })
	v.eventually("no request is held", func() bool { return s.RequestsHeld.Load() == 0 && s.InFlightBytes.Load() == 0 })
	v.eventually("goroutines are back", func() bool { return v.ownGoroutines() <= v.goroutines+2 })
	v.eventually("open files are back", func() bool { return openFiles(v.t) <= v.fds })
	if n := s.HandlerPanics.Load(); n != 0 {
		v.t.Errorf("%d handlers panicked", n)
	}
	v.check()
}

func (v *victim) eventually(what string, f func() bool) {
	v.t.Helper()
	eventually(v.t, what, f)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !f(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not so in %v: %s", patience, what)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// attack opens a connection that is closed when the test ends, at the latest.
func (v *victim) attack() net.Conn {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.addr)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		v.t.Fatal(err)
	}
	return conn
}

// sendAndRead writes bytes, says that no more will come, and returns all that
// the broker answers until it closes the connection, which it has to.
func (v *victim) sendAndRead(b []byte) []byte {
	v.t.Helper()
	conn := v.attack()
	defer conn.Close()
	answer, err := exchange(conn, b)
	if err != nil {
		v.t.Fatalf("the connection is still open: %v", err)
	}
	return answer
}

// exchange is what sendAndRead does on a connection. The error says that the
// broker left it open.
func exchange(conn net.Conn, b []byte) ([]byte, error) {
	if _, err := conn.Write(b); err == nil { // an error: closed already
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	answer, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return answer, err
	}
	return answer, nil // a reset is a close, too
}

// frameOf is a request as it goes on the wire.
func frameOf(req kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("attacker")).AppendRequest(nil, req, correlation)
}
