package cluster

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
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
