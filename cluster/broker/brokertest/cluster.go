package brokertest

import (
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/cluster/broker"
)

// patience bounds waits for what happens soon unless something is broken.
const patience = 30 * time.Second

// Cluster runs brokers with the ids 1 to n, which form a cluster, until the test ends.
// settings, if not nil, gives each of them keys of its own. On return all are
// registered, each knows of all, and as many vote in the controller's group as are to.
func Cluster(t testing.TB, n int, settings func(id int) map[string]string) []*broker.Broker {
	t.Helper()
	of := func(id int) map[string]string {
		all := map[string]string{"node.id": strconv.Itoa(id), "peer.listener": "127.0.0.1:0"}
		if settings != nil {
			maps.Copy(all, settings(id))
		}
		return all
	}
	brokers := make([]*broker.Broker, n)
	dirs := make([]string, n)
	for i := range dirs {
		dirs[i] = t.TempDir() // before the brokers, to be removed after they have stopped
	}
	t.Cleanup(func() { stopAll(t, brokers) })
	brokers[0] = StartIn(t, dirs[0], of(1))
	for i := 1; i < n; i++ {
		all := of(i + 1)
		all["peer.seeds"] = brokers[0].Node().PeerAddress()
		brokers[i] = StartIn(t, dirs[i], all)
	}
	Eventually(t, "every broker knows of all", func() bool {
		for _, b := range brokers {
			if len(b.Node().Image().UsableBrokers()) < n {
				return false
			}
		}
		return true
	})
	Eventually(t, "the controller's group has its voters", func() bool {
		q, err := brokers[0].Node().Quorum(t.Context())
		voters := 0
		for _, m := range q.Members {
			if m.Voter {
				voters++
			}
		}
		return err == nil && voters == min(n-1+n%2, 5)
	})
	return brokers
}

// stopAll stops brokers side by side, since the last of a quorum would wait for the rest.
func stopAll(t testing.TB, brokers []*broker.Broker) {
	var wg sync.WaitGroup
	for _, b := range brokers {
		if b != nil {
			wg.Go(func() { Stop(t, b) })
		}
	}
	wg.Wait()
}

// Eventually waits until what is described has come about, and fails the test when it
// does not.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
