//go:build torture

package torture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wires is how the brokers of a cluster, from 0 on, are reached.
type wires interface {
	count() int
	within(i int) []string              // the command to run it under
	address(i int) string               // for clients
	hosts(i int) (bind, reached string) // for its peers
	// isolate takes a broker off the others in both directions, cut drops
	// silently what from sends to to, until heal.
	isolate(i int)
	cut(from, to int)
	heal()
}

// proxies are wires over loopback: what brokers send each other passes
// through this process. Clients reach all of them at all times.
type proxies struct {
	t         testing.TB
	addresses []string // for clients
	behind    []string // for peers, behind the proxies
	listeners []net.Listener
	running   sync.WaitGroup

	mu    sync.Mutex // guards the rest
	gates [][]gate   // from, to
	ended bool
	moved chan struct{} // closed when a gate changes
	conns map[net.Conn]bool
}

// gate is what happens to bytes from one broker to another.
type gate struct {
	shut  bool
	delay time.Duration
	rate  int // bytes a second, 0 for any
}

func newProxies(t testing.TB) *proxies { return newProxiesOf(t, 3) }

func newProxiesOf(t testing.TB, brokers int) *proxies {
	t.Helper()
	p := &proxies{
		t: t, addresses: make([]string, brokers), behind: make([]string, brokers), listeners: make([]net.Listener, brokers),
		moved: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	for i := range p.listeners {
		p.gates = append(p.gates, make([]gate, brokers))
		p.addresses[i], p.behind[i] = freeAddress(t), freeAddress(t)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.listeners[i] = ln
		p.running.Go(func() { p.accept(i, ln) })
	}
	t.Cleanup(p.end)
	return p
}

func (p *proxies) count() int                   { return len(p.listeners) }
func (p *proxies) within(int) []string          { return nil }
func (p *proxies) address(i int) string         { return p.addresses[i] }
func (p *proxies) hosts(i int) (string, string) { return p.behind[i], p.listeners[i].Addr().String() }

func (p *proxies) set(from, to int, g gate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gates[from][to] = g
	close(p.moved)
	p.moved = make(chan struct{})
}

func (p *proxies) cut(from, to int) { p.set(from, to, gate{shut: true}) }

func (p *proxies) isolate(i int) {
	for j := range p.gates {
		if j != i {
			p.cut(i, j)
			p.cut(j, i)
		}
	}
}

func (p *proxies) slow(i int, delay time.Duration, rate int) {
	for j := range p.gates {
		if j != i {
			p.set(i, j, gate{delay: delay, rate: rate})
			p.set(j, i, gate{delay: delay, rate: rate})
		}
	}
}

func (p *proxies) heal() {
	for i := range p.gates {
		for j := range p.gates {
			p.set(i, j, gate{})
		}
	}
}

func (p *proxies) end() {
	p.mu.Lock()
	p.ended = true
	close(p.moved)
	p.moved = make(chan struct{})
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	for _, ln := range p.listeners {
		ln.Close()
	}
	p.running.Wait()
}

func (p *proxies) accept(to int, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(to, c) })
	}
}

// keep notes a connection for the end; false when that has come.
func (p *proxies) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxies) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	c.Close()
}

// serve passes one connection on. The greeting (cluster/transport/handshake.go)
// says from whom it comes.
func (p *proxies) serve(to int, in net.Conn) {
	if !p.keep(in) {
		return
	}
	defer p.drop(in)
	hello := make([]byte, 12)
	if _, err := io.ReadFull(in, hello); err != nil {
		return
	}
	rest := make([]byte, binary.BigEndian.Uint16(hello[10:]))
	if _, err := io.ReadFull(in, rest); err != nil || len(rest) < 5 {
		return
	}
	from := int(int32(binary.BigEndian.Uint32(rest[1:]))) - 1
	if from < 0 || from >= len(p.gates) {
		from = to // a probe of one that is no member yet
	}
	if !p.open(from, to) {
		return
	}
	out, err := net.Dial("tcp", p.behind[to])
	if err != nil || !p.keep(out) {
		return
	}
	defer p.drop(out)
	if _, err := out.Write(append(hello, rest...)); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(from, to, out, in) })
	both.Go(func() { p.pass(to, from, in, out) })
	both.Wait()
}

// open waits until bytes may pass; false at the end.
func (p *proxies) open(from, to int) bool {
	for {
		p.mu.Lock()
		g, moved, ended := p.gates[from][to], p.moved, p.ended
		p.mu.Unlock()
		if ended {
			return false
		}
		if !g.shut {
			return true
		}
		<-moved
	}
}

type chunk struct {
	due   time.Time
	bytes []byte
}

// pass copies in to out until either ends; what came is delivered before.
func (p *proxies) pass(from, to int, out, in net.Conn) {
	chunks := make(chan chunk, 1024)
	p.running.Go(func() {
		defer close(chunks)
		for {
			b := make([]byte, 32<<10)
			n, err := in.Read(b)
			if n > 0 {
				p.mu.Lock()
				g := p.gates[from][to]
				p.mu.Unlock()
				chunks <- chunk{time.Now().Add(g.delay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range chunks {
		time.Sleep(time.Until(c.due))
		if !p.open(from, to) {
			break
		}
		if _, err := out.Write(c.bytes); err != nil {
			break
		}
		p.mu.Lock()
		g := p.gates[from][to]
		p.mu.Unlock()
		if g.rate > 0 {
			time.Sleep(time.Duration(len(c.bytes)) * time.Second / time.Duration(g.rate))
		}
	}
	if p.open(from, to) {
		out.Close()
	}
	in.Close()
	for range chunks { // let the reader end
	}
}

// namespaces are wires of the kernel: each broker is in a network namespace of
// its own, with one link to a bridge. Clients are on the bridge.
type namespaces struct {
	t    *testing.T
	name string // of everything made here begins with it
	net  string // the first three numbers of all addresses
	cuts [][2]int
	off  []bool
}

// canNamespaces says whether this process may make them.
func canNamespaces() bool {
	if os.Getuid() != 0 || os.Getenv("WEIR_TORTURE_NETNS") == "no" {
		return false
	}
	name := fmt.Sprintf("weirtry%d", os.Getpid())
	if exec.Command("ip", "netns", "add", name).Run() != nil {
		return false
	}
	defer exec.Command("ip", "netns", "del", name).Run()
	bridge := fmt.Sprintf("weirt%d", os.Getpid()%100000)
	if exec.Command("ip", "link", "add", bridge, "type", "bridge").Run() != nil {
		return false
	}
	return exec.Command("ip", "link", "del", bridge).Run() == nil
}

var namespaceSets atomic.Int32

func newNamespaces(t *testing.T) *namespaces {
	t.Helper()
	// The kernel takes some time to remove what had a name.
	number := os.Getpid()%1000*100 + int(namespaceSets.Add(1))%100
	n := &namespaces{t: t, name: fmt.Sprintf("weir%d", number), net: fmt.Sprintf("10.231.%d", number%250), off: make([]bool, 3)}
	t.Cleanup(func() {
		for i := range n.off {
			exec.Command("ip", "link", "del", n.link(i)).Run()
			exec.Command("ip", "netns", "del", n.space(i)).Run()
		}
		exec.Command("ip", "link", "del", n.name).Run()
	})
	n.ip("link add %s type bridge", n.name)
	n.ip("addr add %s.1/24 dev %s", n.net, n.name)
	n.ip("link set %s up", n.name)
	for i := range n.off {
		n.ip("netns add %s", n.space(i))
		n.ip("link add %s type veth peer name eth0 netns %s", n.link(i), n.space(i))
		n.ip("link set %s master %s", n.link(i), n.name)
		n.ip("link set %s up", n.link(i))
		n.ip("-n %s addr add %s/24 dev eth0", n.space(i), n.host(i))
		n.ip("-n %s link set eth0 up", n.space(i))
		n.ip("-n %s link set lo up", n.space(i))
	}
	return n
}

func (n *namespaces) ip(format string, args ...any) {
	n.t.Helper()
	line := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v", line, errors.Join(err, errors.New(string(out))))
	}
}

func (n *namespaces) count() int                   { return len(n.off) }
func (n *namespaces) space(i int) string           { return fmt.Sprintf("%sn%d", n.name, i+1) }
func (n *namespaces) link(i int) string            { return fmt.Sprintf("%sv%d", n.name, i+1) }
func (n *namespaces) host(i int) string            { return fmt.Sprintf("%s.%d", n.net, 11+i) }
func (n *namespaces) within(i int) []string        { return []string{"ip", "netns", "exec", n.space(i)} }
func (n *namespaces) address(i int) string         { return n.host(i) + ":9092" }
func (n *namespaces) hosts(i int) (string, string) { return n.host(i) + ":9093", n.host(i) + ":9093" }

func (n *namespaces) isolate(i int) {
	n.ip("link set %s down", n.link(i))
	n.off[i] = true
}

func (n *namespaces) cut(from, to int) {
	n.ip("-n %s route add blackhole %s/32", n.space(from), n.host(to))
	n.cuts = append(n.cuts, [2]int{from, to})
}

func (n *namespaces) heal() {
	for i := range n.off {
		if n.off[i] {
			n.ip("link set %s up", n.link(i))
			n.off[i] = false
		}
	}
	for _, c := range n.cuts {
		n.ip("-n %s route del blackhole %s/32", n.space(c[0]), n.host(c[1]))
	}
	n.cuts = nil
}
