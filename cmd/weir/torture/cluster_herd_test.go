//go:build torture

package torture

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/bench"
)

// herd is many members of groups, each with a connection of its own and nothing else: no more than
// what a member has to say.
type herd struct {
	c       *trio
	ctx     context.Context
	running sync.WaitGroup
	stable  atomic.Int64 // members that are in a generation, and have their assignment
	beats   atomic.Int64

	mu sync.Mutex        // guards at
	at map[string]string // the coordinators' addresses, by group
}

func newHerd(c *trio) *herd {
	ctx, cancel := context.WithCancel(context.Background())
	h := &herd{c: c, ctx: ctx}
	c.t.Cleanup(func() { cancel(); h.running.Wait() })
	return h
}

// speaker asks a broker one thing after the other.
type speaker struct {
	nc net.Conn
	f  *kmsg.RequestFormatter
}

func (s *speaker) ask(req kmsg.Request, resp kmsg.Response) error {
	if _, err := s.nc.Write(s.f.AppendRequest(nil, req, 1)); err != nil {
		return err
	}
	head := make([]byte, 8) // length, correlation id
	if _, err := io.ReadFull(s.nc, head); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 4 || n > 1<<24 {
		return fmt.Errorf("an answer of %d bytes", n)
	}
	body := make([]byte, n-4)
	if _, err := io.ReadFull(s.nc, body); err != nil {
		return err
	}
	resp.SetVersion(req.GetVersion())
	if len(body) > 0 && resp.IsFlexible() {
		body = body[1:] // no tags in the header
	}
	return resp.ReadFrom(body)
}

// graze is one member's life. It reports the generation of each assignment that it is given.
func (h *herd) graze(group string, generation func(int32)) {
	h.running.Go(func() {
		address := h.movedFrom(group, "")
		for began := time.Now(); h.ctx.Err() == nil; {
			joined := false
			err := h.live(address, group, func(g int32) {
				joined = true
				generation(g)
			})
			if joined {
				began = time.Now()
			}
			switch {
			case h.ctx.Err() != nil:
			case kerr.IsRetriable(err) && time.Since(began) < patience: // the partition of its offsets has just been made, or moved
				time.Sleep(100 * time.Millisecond)
				address = h.movedFrom(group, address)
			default:
				h.c.t.Errorf("a member of %s: %v", group, err)
				return
			}
		}
	})
}

func (h *herd) live(address, group string, generation func(int32)) error {
	nc, err := (&net.Dialer{}).DialContext(h.ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(h.ctx, func() { nc.Close() })()
	s := &speaker{nc, kmsg.NewRequestFormatter(kmsg.FormatterClientID("herd"))}
	for id := ""; ; {
		joined, err := s.join(group, &id)
		if err != nil {
			return err
		}
		if err := s.sync(group, id, joined); err != nil {
			if err == kerr.RebalanceInProgress {
				continue
			}
			return err
		}
		h.stable.Add(1)
		generation(joined.Generation)
		err = h.beat(s, group, id, joined.Generation)
		h.stable.Add(-1)
		if err != kerr.RebalanceInProgress {
			return err
		}
	}
}

// join is at most two requests: the first is answered with the member's id.
func (s *speaker) join(group string, id *string) (*kmsg.JoinGroupResponse, error) {
	for {
		req, resp := kmsg.NewPtrJoinGroupRequest(), kmsg.NewPtrJoinGroupResponse()
		req.Version, req.Group, req.MemberID, req.ProtocolType = 5, group, *id, "consumer"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 45_000, 60_000
		meta := kmsg.NewConsumerMemberMetadata()
		meta.Topics = []string{shared.name}
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = "range", meta.AppendTo(nil)
		req.Protocols = append(req.Protocols, p)
		if err := s.ask(req, resp); err != nil {
			return nil, err
		}
		switch err := kerr.ErrorForCode(resp.ErrorCode); err {
		case nil:
			return resp, nil
		case kerr.MemberIDRequired:
			*id = resp.MemberID
		default:
			return nil, err
		}
	}
}

// sync has the leader give everybody nothing.
func (s *speaker) sync(group, id string, joined *kmsg.JoinGroupResponse) error {
	req, resp := kmsg.NewPtrSyncGroupRequest(), kmsg.NewPtrSyncGroupResponse()
	req.Version, req.Group, req.MemberID, req.Generation = 3, group, id, joined.Generation
	if joined.LeaderID == id {
		for _, m := range joined.Members {
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			assignment := kmsg.NewConsumerMemberAssignment()
			a.MemberID, a.MemberAssignment = m.MemberID, assignment.AppendTo(nil)
			req.GroupAssignment = append(req.GroupAssignment, a)
		}
	}
	if err := s.ask(req, resp); err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// beat goes on until the group shares anew.
func (h *herd) beat(s *speaker, group, id string, generation int32) error {
	ticker := time.NewTicker(3 * time.Second) // heartbeat.interval.ms
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-h.ctx.Done():
			return nil
		}
		req, resp := kmsg.NewPtrHeartbeatRequest(), kmsg.NewPtrHeartbeatResponse()
		req.Version, req.Group, req.MemberID, req.Generation = 3, group, id, generation
		if err := s.ask(req, resp); err != nil {
			return err
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return err
		}
		h.beats.Add(1)
	}
}

// settled waits until all members are.
func (h *herd) settled(members int64) {
	h.c.t.Helper()
	for began := time.Now(); h.stable.Load() < members; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 2*patience {
			h.c.t.Fatalf("%d of %d members are in a generation", h.stable.Load(), members)
		}
	}
}

// movedFrom is where a group's coordinator is, now that it is not at this address. Its members and those of all other groups
// wait for one answer, and do not ask each for itself.
func (h *herd) movedFrom(group, address string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at[group] == address {
		h.at = h.addresses(slices.Collect(maps.Keys(h.at)))
	}
	return h.at[group]
}

// addresses are of the coordinators of groups.
func (h *herd) addresses(groups []string) map[string]string {
	h.c.t.Helper()
	all := map[string]string{}
	h.c.admin("coordinators", func(ctx context.Context, a *kadm.Client) error {
		for name, r := range a.FindGroupCoordinators(ctx, groups...) {
			if r.Err != nil {
				return r.Err
			}
			all[name] = h.c.brokers[r.NodeID-1].address
		}
		return nil
	})
	return all
}

// TestClusterHerd tells what the heartbeats of many groups of ten cost, and how often a group of 500 members
// that come at once shares.
func TestClusterHerd(t *testing.T) {
	const each, crowd = 10, 500
	const atOnce = 100 // groups that come together: more would measure this machine's many connections
	groups := setting(t, "WEIR_TORTURE_GROUPS", 100)
	c := newTrio(t, newProxies(t))
	c.allVote()
	c.createTopic(shared)
	h := newHerd(c)
	var names []string
	for i := range groups {
		names = append(names, fmt.Sprintf("herd-%04d", i))
	}
	h.at = h.addresses(append(names, "crowd"))
	began := time.Now()
	for i, name := range names {
		for range each {
			h.graze(name, func(int32) {})
		}
		if i%atOnce == atOnce-1 {
			h.settled(int64(i+1) * each)
		}
	}
	h.settled(int64(groups) * each)
	t.Logf("%d groups of %d are stable after %v", groups, each, time.Since(began).Round(time.Millisecond))
	time.Sleep(5 * time.Second)
	before, beats := c.samples(), h.beats.Load()
	const long = 20 * time.Second
	time.Sleep(long)
	beats = h.beats.Load() - beats
	for i, after := range c.samples() {
		t.Logf("broker %d: %.1f %% of a core, %d MiB resident, while all brokers took %d heartbeats a second",
			i+1, 100*cpu(before[i], after)/long.Seconds(), after.RSSBytes>>20, beats/int64(long.Seconds()))
	}

	var generations sync.Map
	began = time.Now()
	for range crowd {
		h.graze("crowd", func(g int32) { generations.Store(g, true) })
	}
	h.settled(int64(groups)*each + crowd)
	var all []int32
	generations.Range(func(g, _ any) bool { all = append(all, g.(int32)); return true })
	t.Logf("a group of %d is stable after %v, in generation %v", crowd, time.Since(began).Round(time.Millisecond), all)
}

func cpu(before, after bench.ProcessSample) float64 {
	return after.UserSeconds + after.SystemSeconds - before.UserSeconds - before.SystemSeconds
}
