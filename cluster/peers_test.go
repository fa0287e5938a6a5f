package cluster

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/cluster/metadata"
)

// freePorts are ports that were free a moment ago.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// cohort is three brokers of a cluster, which may be up or not.
type cohort struct {
	t     *testing.T
	ports []int
	dirs  []string
}

func newCohort(t *testing.T) *cohort {
	return &cohort{t: t, ports: freePorts(t, 3), dirs: []string{t.TempDir(), t.TempDir(), t.TempDir()}}
}

// start starts brokers side by side; an error leaves nil in the place of one.
func (c *cohort) start(ids ...int) []*Node {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	nodes, errs := make([]*Node, len(ids)), make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		values := map[string]string{"node.id": strconv.Itoa(id), "peer.listener": "127.0.0.1:" + strconv.Itoa(c.ports[id-1])}
		if id > 1 {
			values["peer.seeds"] = "127.0.0.1:" + strconv.Itoa(c.ports[0])
		}
		cfg := brokerConfig(c.t, c.dirs[id-1], values)
		wg.Go(func() {
			nodes[i], errs[i] = Open(ctx, cfg, []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			c.t.Errorf("broker %d: %v", ids[i], err)
		}
	}
	return nodes
}

func (c *cohort) stop(nodes []*Node) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		if n != nil {
			wg.Go(func() { closeNode(c.t, n) })
		}
	}
	wg.Wait()
}

// TestStartWithoutSeed stops all of three brokers and starts two, without the one that
// they joined by: those are a majority, and find each other.
func TestStartWithoutSeed(t *testing.T) {
	c := newCohort(t)
	nodes := c.start(1, 2, 3)
	for _, n := range nodes {
		for n != nil && voters(n) < 3 {
			time.Sleep(10 * time.Millisecond) // members are added one by one; nothing tells of it
		}
	}
	c.stop(nodes)
	c.stop(c.start(2, 3))
}

// voters is how many voters the controller's group has as far as a broker knows.
func voters(n *Node) (voters int) {
	for _, m := range n.meta().Status().Members {
		if m.Voter {
			voters++
		}
	}
	return voters
}
