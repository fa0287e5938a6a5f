//go:build torture

package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"weir/cmd/weir/links"
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
	links     *links.Links
	addresses []string // for clients
	behind    []string // for peers, behind the links
}

func newProxies(t testing.TB) *proxies { return newProxiesOf(t, 3) }

func newProxiesOf(t testing.TB, brokers int) *proxies {
	t.Helper()
	p := &proxies{}
	for range brokers {
		p.addresses, p.behind = append(p.addresses, freeAddress(t)), append(p.behind, freeAddress(t))
	}
	var err error
	if p.links, err = links.New(p.behind...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.links.Close)
	return p
}

func (p *proxies) count() int                   { return len(p.addresses) }
func (p *proxies) within(int) []string          { return nil }
func (p *proxies) address(i int) string         { return p.addresses[i] }
func (p *proxies) hosts(i int) (string, string) { return p.behind[i], p.links.Address(i) }
func (p *proxies) isolate(i int)                { p.links.Isolate(i) }
func (p *proxies) cut(from, to int)             { p.links.Cut(from, to) }
func (p *proxies) heal()                        { p.links.Heal() }

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
