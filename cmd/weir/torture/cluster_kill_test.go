//go:build torture

package torture

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A fault leaves all brokers running and connected.
type fault struct {
	name string
	run  func(c *trio)
}

// anyLeader is who leads a partition that is drawn.
func (c *trio) anyLeader() int {
	to := c.attacked[c.rng.IntN(len(c.attacked))]
	return c.leader(to, int32(c.rng.IntN(int(to.partitions))))
}

// controller is which broker leads the controller.
func (c *trio) controller() (i int) {
	c.t.Helper()
	c.admin("the controller", func(ctx context.Context, a *kadm.Client) error {
		m, err := a.BrokerMetadata(ctx)
		if i = int(m.Controller) - 1; err == nil && i < 0 {
			err = errors.New("none is known")
		}
		return err
	})
	return i
}

// other is another broker than i.
func (c *trio) other(i int) int { return (i + 1 + c.rng.IntN(2)) % 3 }

// moment lasts up to so long, which is what is drawn.
func (c *trio) moment(most time.Duration) { time.Sleep(time.Duration(c.rng.Int64N(int64(most)))) }

// recovered waits until everything is written again.
func (c *trio) recovered(what string, who ...int) {
	c.t.Helper()
	for i := range who {
		who[i]++
	}
	c.t.Logf("%s %v: all is written after %v", what, who, c.steady().Round(time.Millisecond))
}

// Timeouts of groups are 1 to 2 s (partition.Timing), of the controller 0.5 to 1. A
// broker of which that hears nothing for session is fenced.
const (
	election = 2 * time.Second
	session  = 6 * time.Second
)

var processFaults = []fault{
	{"kill a leader", func(c *trio) {
		i := c.anyLeader()
		c.kill(i)
		c.recovered("killed leader", i)
		c.moment(time.Second)
		c.heal()
	}},
	{"kill a follower", func(c *trio) {
		i := c.other(c.anyLeader())
		c.kill(i)
		c.recovered("killed follower", i)
		c.moment(time.Second)
		c.heal()
	}},
	{"kill, and again in its start", func(c *trio) {
		i := c.anyLeader()
		for range 3 {
			c.kill(i)
			c.moment(300 * time.Millisecond)
			c.launch(i)
			c.moment(1500 * time.Millisecond)
		}
		c.heal()
	}},
	{"kill all", func(c *trio) {
		for _, i := range c.rng.Perm(3) {
			c.kill(i)
		}
		for _, i := range c.rng.Perm(3) {
			c.launch(i)
			c.moment(500 * time.Millisecond)
		}
		c.heal()
		c.recovered("killed", 0, 1, 2)
	}},
	{"kill two one after the other", func(c *trio) {
		i := c.anyLeader()
		c.kill(i)
		c.moment(2 * time.Second)
		j := c.other(i)
		c.kill(j)
		c.launch(i)
		c.moment(2 * time.Second)
		c.heal()
		c.recovered("killed", i, j)
	}},
	{"halt a leader", func(c *trio) {
		i := c.anyLeader()
		c.pause(i)
		time.Sleep(election/4 + time.Duration(c.rng.Int64N(int64(3*election))))
		c.resume(i)
		c.recovered("halted leader", i)
	}},
	{"halt a leader until another leads", func(c *trio) {
		i := c.anyLeader()
		c.pause(i)
		c.recovered("leader that is halted", i)
		c.resume(i)
		c.moment(time.Second)
	}},
	{"halt two, kill one, resume", func(c *trio) { // NATS 7567
		order := c.rng.Perm(3)
		a, b, k := order[0], order[1], order[2]
		c.pause(a)
		c.moment(time.Second)
		c.pause(b)
		c.moment(500 * time.Millisecond)
		c.kill(k)
		c.resume(a)
		c.moment(election)
		c.launch(k)
		c.moment(election)
		c.pause(a)
		c.resume(b)
		c.moment(2 * election)
		c.heal()
		c.recovered("halted, halted, killed", a, b, k)
	}},
	{"restart in order", func(c *trio) {
		for _, i := range c.rng.Perm(3) {
			c.stop(i)
			c.launch(i)
			c.brokers[i].answers()
			c.steady()
		}
	}},
}

var networkFaults = []fault{
	{"isolate a leader", func(c *trio) {
		i := c.anyLeader()
		c.net.isolate(i)
		time.Sleep(election/2 + time.Duration(c.rng.Int64N(int64(2*election))))
		c.net.heal()
		c.recovered("isolated leader", i)
	}},
	{"isolate a follower", func(c *trio) {
		i := c.other(c.anyLeader())
		c.net.isolate(i)
		time.Sleep(election/2 + time.Duration(c.rng.Int64N(int64(2*election))))
		c.net.heal()
		c.recovered("isolated follower", i)
	}},
	{"isolate a leader and kill it", func(c *trio) {
		i := c.anyLeader()
		c.net.isolate(i)
		c.moment(2 * election)
		c.kill(i)
		c.net.heal()
		c.heal()
		c.recovered("isolated and killed leader", i)
	}},
	{"all apart", func(c *trio) {
		for i := range 3 {
			c.net.isolate(i)
		}
		time.Sleep(election + time.Duration(c.rng.Int64N(int64(election))))
		c.net.heal()
		c.recovered("isolated", 0, 1, 2)
	}},
	{"a leader is not heard", func(c *trio) {
		i := c.anyLeader()
		c.net.cut(i, (i+1)%3)
		c.net.cut(i, (i+2)%3)
		time.Sleep(2 * election)
		c.net.heal()
		c.recovered("not heard", i)
	}},
	{"a leader hears nothing", func(c *trio) {
		i := c.anyLeader()
		c.net.cut((i+1)%3, i)
		c.net.cut((i+2)%3, i)
		time.Sleep(2 * election)
		c.net.heal()
		c.recovered("hears nothing", i)
	}},
	{"one link of a leader", func(c *trio) {
		i := c.anyLeader()
		j := c.other(i)
		c.net.cut(i, j)
		c.net.cut(j, i)
		c.recovered("no link between", i, j)
		c.moment(election)
		c.net.heal()
	}},
	{"no link to the controller", func(c *trio) {
		i := c.controller()
		j := c.other(i)
		c.net.cut(i, j)
		c.net.cut(j, i)
		time.Sleep(session + election) // whatever j led it is fenced, and no client is sent to it
		c.recovered("no link to the controller of", j)
		c.net.heal()
		c.moment(election)
	}},
	{"a flapping link", func(c *trio) {
		i := c.anyLeader()
		for range 5 {
			c.net.isolate(i)
			time.Sleep(time.Second)
			c.net.heal()
			time.Sleep(time.Second)
		}
		c.recovered("flapping", i)
	}},
}

// Those of a proxy only.
var slowFaults = []fault{
	{"a slow link", func(c *trio) {
		i := c.anyLeader()
		c.net.(*proxies).links.Slow(i, 100*time.Millisecond, 3e6/8)
		c.recovered("slow", i)
		time.Sleep(election)
		c.net.heal()
	}},
	{"kill a leader over slow links", func(c *trio) { // what it has sent is on its way, and what follows it takes its time
		for i := range 3 {
			c.net.(*proxies).links.Slow(i, 100*time.Millisecond, 0)
		}
		c.steady()
		i := c.anyLeader()
		c.kill(i)
		c.recovered("killed leader", i)
		c.heal()
	}},
}

func clusterCycles(t *testing.T) int { return setting(t, "WEIR_TORTURE_CLUSTER_CYCLES", 1) }

func (c *trio) suffers(f fault) {
	c.t.Helper()
	began := time.Now()
	f.run(c)
	c.t.Logf("%s: %v", f.name, time.Since(began).Round(time.Millisecond))
}

func torment(t *testing.T, faults []fault, net func(t *testing.T) wires) {
	for _, f := range faults {
		t.Run(strings.ReplaceAll(strings.ReplaceAll(f.name, ",", ""), " ", "-"), func(t *testing.T) {
			t.Parallel() // much of it is waiting
			c := newTrio(t, net(t))
			c.begin()
			for range clusterCycles(t) {
				c.suffers(f)
			}
			c.finish()
		})
	}
}

// TestClusterProcesses kills, halts and restarts brokers of a cluster.
func TestClusterProcesses(t *testing.T) {
	torment(t, processFaults, func(t *testing.T) wires { return newProxies(t) })
}

// TestClusterNetwork cuts links between brokers: those of the kernel where it
// may make any, else those of a proxy.
func TestClusterNetwork(t *testing.T) {
	able := canNamespaces()
	torment(t, networkFaults, func(t *testing.T) wires {
		if !able {
			return newProxies(t)
		}
		return newNamespaces(t)
	})
	torment(t, slowFaults, func(t *testing.T) wires { return newProxies(t) })
}

// TestClusterMix has all of these in random order on one cluster. Between
// brokers there is a proxy, which holds back what was sent rather than losing it.
func TestClusterMix(t *testing.T) {
	all := slices.Concat(slowFaults, processFaults, networkFaults)
	c := newTrio(t, newProxies(t))
	c.begin()
	for range setting(t, "WEIR_TORTURE_CLUSTER_MIX", 4) {
		c.suffers(all[c.rng.IntN(len(all))])
	}
	c.finish()
}
