package controller

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/hashicorp/raft"
)

// A sign of life is: beatVersion (1 byte), epoch, last index, applied index (8 bytes each). The
// answer is: beatVersion, whether it was taken (1 byte).
const (
	beatVersion = 1
	beatBytes   = 1 + 3*8
)

// beat is one sign of life.
type beat struct{ epoch, last, applied uint64 }

func (b beat) encode() []byte {
	out := append(make([]byte, 0, beatBytes), beatVersion)
	out = binary.BigEndian.AppendUint64(out, b.epoch)
	out = binary.BigEndian.AppendUint64(out, b.last)
	return binary.BigEndian.AppendUint64(out, b.applied)
}

func decodeBeat(b []byte) (beat, error) {
	if len(b) != beatBytes || b[0] != beatVersion {
		return beat{}, &MalformedError{Reason: "not a sign of life of a version that this broker reads"}
	}
	return beat{binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint64(b[17:])}, nil
}

// beat gives the leader a sign of life once per interval, and a new leader one at once.
func (c *Controller) beat() {
	ticker := time.NewTicker(c.config.HeartbeatInterval)
	defer ticker.Stop()
	for {
		changed := c.leaderChanged.wait()
		select {
		case <-c.stop:
			return
		case <-c.fault.raised: // the sooner others take over
			return
		case <-ticker.C:
		case <-changed:
		}
		leader, known := c.Leader()
		own, ok := c.Image().Broker(c.config.NodeID)
		if known && leader == c.config.NodeID {
			c.noteHeard()
			continue
		}
		if !known || !ok || own.Directory != c.config.Directory {
			continue
		}
		b := beat{epoch: own.Epoch, last: c.raft.LastIndex(), applied: c.raft.AppliedIndex()}
		ctx, cancel := context.WithTimeout(c.ctx, 2*c.config.HeartbeatInterval)
		answer, err := c.config.Heartbeat(ctx, leader, b.encode())
		cancel()
		switch {
		case err != nil:
			c.logger.Debug("controller: the leader is not reached", "leader", leader, "err", err)
		case bytes.Equal(answer, []byte{beatVersion, flag(true)}):
			c.noteHeard()
		}
	}
}

func (c *Controller) noteHeard() {
	now := time.Now()
	c.heard.Store(&now)
}

// Heard is when a leader last took a sign of life of this broker, or this broker itself led; at first, when
// it began. Without another for SessionTimeout it is fenced.
func (c *Controller) Heard() time.Time { return *c.heard.Load() }

// HandleHeartbeat notes a sign of life of another broker, if this one leads and that one speaks
// for its newest registration. The error is MalformedError.
func (c *Controller) HandleHeartbeat(_ context.Context, from int32, request []byte) ([]byte, error) {
	b, err := decodeBeat(request)
	if err != nil {
		return nil, err
	}
	broker, ok := c.Image().Broker(from)
	taken := ok && broker.Epoch == b.epoch && c.raft.State() == raft.Leader
	if taken {
		first := !c.liveness.contact(from).heard
		c.liveness.hear(from, b, c.raft.LastIndex(), time.Now())
		if first || broker.Fenced {
			c.wake()
		}
	}
	return []byte{beatVersion, flag(taken)}, nil
}
