package controller

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// lead does the leader's work while this broker leads: it keeps the members of the group in line
// with the registered brokers and fences those it does not hear. It works from the image, after a
// barrier, and looks again when the image changes and once per heartbeat interval.
func (c *Controller) lead() {
	leading := false
	timer := time.NewTimer(c.config.HeartbeatInterval)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-c.stop:
			return
		case leading = <-c.raft.LeaderCh():
			c.led.Store(0)
			c.liveness.reset()
		case <-c.wakeLeader:
		case <-timer.C:
		}
		timer.Stop()
		if !leading {
			continue
		}
		if again := c.leadOnce(); again > 0 {
			timer.Reset(again)
		}
	}
}

// leadOnce returns when to look again if nothing happens; 0 for never. A group of one that has one
// broker to look after has nothing to do by the clock.
func (c *Controller) leadOnce() time.Duration {
	if !c.leads() {
		term := c.raft.CurrentTerm()
		if err := c.Barrier(c.ctx); err != nil {
			return retryInterval // leadership is lost, or the disk is slow
		}
		c.led.Store(term)
		c.leaderChanged.fire()
	}
	image := c.Image()
	servers := c.raft.GetConfiguration()
	if len(image.Brokers()) <= 1 && len(servers.Configuration().Servers) <= 1 {
		return 0
	}
	changed, err := c.alignMembers(servers, image)
	if err == nil {
		err = c.alignFences(image, time.Now())
	}
	if err != nil && !isLeadershipError(err) {
		c.logger.Warn("controller: members of the group are not in line yet", "err", err)
	}
	if changed {
		c.wake() // there may be more to do
	}
	return c.config.HeartbeatInterval
}

// leads says that this broker leads and has applied all of history.
func (c *Controller) leads() bool {
	return c.raft.State() == raft.Leader && c.led.Load() == c.raft.CurrentTerm()
}

// wake has the leader look whether there is something to do.
func (c *Controller) wake() {
	select {
	case c.wakeLeader <- struct{}{}:
	default:
	}
}

// isLeadershipError tells errors that only say that this broker leads no more.
func isLeadershipError(err error) bool {
	var notLeader *NotLeaderError
	return errors.As(err, &notLeader) || errors.Is(err, raft.ErrLeadershipLost) || errors.Is(err, ErrClosed)
}
