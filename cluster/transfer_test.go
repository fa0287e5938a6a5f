package cluster

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/cluster/config"
	"weir/partition"
)

// TestMalformedCalls: what another broker sends is not trusted to be what it should.
func TestMalformedCalls(t *testing.T) {
	n := startNode(t, nil)
	ctx := context.Background()
	good := make([]byte, transferBytes)
	good[0] = transferVersion
	for _, b := range [][]byte{nil, {transferVersion}, good[:transferBytes-1], append(bytes.Clone(good), 0), make([]byte, transferBytes)} {
		if _, err := n.handleTransfer(ctx, 2, b); !errors.Is(err, errMalformedTransfer) {
			t.Errorf("transfer %x: %v", b, err)
		}
	}
	answer, err := n.handleTransfer(ctx, 2, good)
	if err != nil || len(answer) < 3 || answer[1] != transferRefused {
		t.Errorf("an unknown topic: %x, %v", answer, err)
	}
	for _, from := range []int32{n.ID(), 77} { // not fenced, not known
		if answer, err := n.handleHeard(ctx, from, []byte("?")); err != nil || !bytes.Equal(answer, []byte{0}) {
			t.Errorf("whether broker %d is fenced: %x, %v", from, answer, err)
		}
	}
	for _, b := range [][]byte{nil, {quorumVersion + 1}, {quorumVersion, 0}} {
		if _, err := n.handleQuorum(ctx, 2, b); !errors.Is(err, errMalformedQuorum) {
			t.Errorf("quorum %x: %v", b, err)
		}
	}
}

func TestTransferRefused(t *testing.T) {
	n := startNode(t, nil)
	topic := mustTopic(t, n, "t", 1, nil)
	for _, x := range []struct {
		index, to int32
		want      string
	}{{0, 2, "not in sync"}, {0, n.ID(), "not in sync"}, {7, 2, ErrUnknownPartition.Error()}, {-1, 2, ErrUnknownPartition.Error()}} {
		if got := n.transfer(context.Background(), topic.ID, x.index, x.to); !strings.Contains(got, x.want) {
			t.Errorf("partition %d to %d: %q, want %q", x.index, x.to, got, x.want)
		}
	}
}

func TestQuorumEncoding(t *testing.T) {
	for _, members := range [][]QuorumMember{nil, {
		{Node: 1, Directory: [16]byte{1, 15: 2}, Voter: true, LogEndOffset: 12, Heard: time.UnixMilli(5), CaughtUp: time.UnixMilli(4)},
		{Node: -1},
	}} {
		q := Quorum{Leader: 3, Epoch: 1 << 40, HighWatermark: 99, Members: members}
		b := q.encode()
		if got, err := decodeQuorum(b); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("got %+v (%v), want %+v", got, err, q)
		}
		for cut := range b {
			if (cut-quorumHeadBytes)%quorumMemberBytes == 0 && cut >= quorumHeadBytes {
				continue // as many members less
			}
			if _, err := decodeQuorum(b[:cut]); !errors.Is(err, errMalformedQuorum) {
				t.Errorf("%d bytes of %d: %v", cut, len(b), err)
			}
		}
	}
}

// TestRebalanceIsOff: with auto.leader.rebalance.enable=false nothing is looked at.
func TestRebalanceIsOff(t *testing.T) {
	for _, enabled := range []string{"true", "false"} {
		n := startNode(t, map[string]string{"auto.leader.rebalance.enable": enabled})
		var r rebalancer
		if r.next(n, time.Now()) != nil {
			t.Error("there is nothing to give back")
		}
		if looks := !r.due.IsZero(); looks != (enabled == "true") {
			t.Errorf("enabled is %s: looks is %v", enabled, looks)
		}
	}
}

// TestRebalanceLeavesTheDrainedAlone: what a drained broker is preferred for is not given
// back to it, and is once it is not drained any more.
func TestRebalanceLeavesTheDrainedAlone(t *testing.T) {
	c := newCohort(t)
	nodes := c.start(1, 2, 3)
	defer func() { c.stop(nodes) }()
	if t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	drain := func(value string) {
		t.Helper()
		err := nodes[2].AlterBrokerConfigs(ctx, 1, false, func(map[string]string) (map[string]string, error) {
			return map[string]string{config.BrokerDrained: value}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	results, err := nodes[0].CreateTopics(ctx, []TopicSpec{{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2}}}}, false)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	id := results[0].Topic.ID
	drain("true")
	second := nodes[1]
	var p *partition.Partition
	eventually(t, ctx, "broker 2 leads", func() bool {
		topic := second.TopicByID(id)
		if topic != nil {
			p, _ = topic.Partition(0)
		}
		return p != nil
	})
	eventually(t, ctx, "broker 1 is in sync", func() bool {
		followers := p.Followers()
		return len(followers) == 1 && !followers[0].CaughtUp.IsZero()
	})
	eventually(t, ctx, "broker 2 knows of it", func() bool { return isDrained(second.Image(), 1) })
	look := func() func() {
		r := rebalancer{due: time.Now()}
		return r.next(second, time.Now())
	}
	if look() != nil {
		t.Error("it is given back to a broker that is drained")
	}
	drain("false")
	eventually(t, ctx, "it is given back", func() bool { return look() != nil })
}
