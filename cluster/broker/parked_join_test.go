package broker_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestParkedJoinsHoldNoFrames: members that wait for a rebalance, however many, hold nothing of what all requests
// share, so that others are served.
func TestParkedJoinsHoldNoFrames(t *testing.T) {
	const limit, metadata = 1 << 20, 4 << 10
	v := newVictim(t, map[string]string{"queued.max.request.bytes": fmt.Sprint(limit), "group.initial.rebalance.delay.ms": "600000"})
	n := idleConnections(t)
	if n*metadata < 4*limit {
		t.Fatalf("%d members do not fill what requests may hold", n)
	}
	v.eventually("groups are coordinated", func() bool { return commit(v.healthy, "g", "healthy", 0, 0, "") == 0 })
	v.eventually("all of them", func() bool {
		return ask[*kmsg.ListGroupsResponse](v.healthy, kmsg.NewPtrListGroupsRequest()).ErrorCode == 0
	})
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 3, 60_000, 600_000, "waits"
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: []byte(strings.Repeat("m", metadata))}}
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", v.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		join.Group = fmt.Sprint("g", i/100) // a group holds no more than some 600 of them
		if _, err := conn.Write(frameOf(join, 1)); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	v.eventually("all wait, and hold little", func() bool {
		return v.b.Stats().RequestsHeld.Load() == int64(n) && v.b.Stats().InFlightBytes.Load() < limit/4
	})
	v.check()
	for _, conn := range conns {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	v.fds += 4 * openFilesPerPartition // of the offsets topic
	v.recovered()
}
