package cluster

import (
	"context"
	"sync"
	"time"
)

// A broker that the controller does not hear of is fenced, and no client is sent to it: what it leads is of use
// to nobody, however well it reaches its followers. Where only some links are cut that would last. So it hands
// over to replicas whose brokers are heard of. It asks them, and whether it is fenced, which it has not heard
// itself: when there is no controller nobody is heard of, and everything stays where it is.

// unheard says that this broker is likely to be fenced.
func (n *Node) unheard() bool {
	return n.peers.transport != nil && time.Since(n.meta().Heard()) > n.static.Peers.SessionTimeout
}

// askHeard is which brokers say that the controller hears of them, and has this one fenced.
func (n *Node) askHeard() map[int32]bool {
	ctx, cancel := context.WithTimeout(n.ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	heard := make(map[int32]bool)
	var asked sync.WaitGroup
	for _, broker := range n.Image().Brokers() {
		if broker.ID == n.ID() {
			continue
		}
		asked.Go(func() {
			answer, err := n.peers.transport.Call(ctx, broker.ID, serviceHeard, nil)
			if err != nil {
				n.logger.Debug("a broker did not say whether it is heard of", "broker", broker.ID, "err", err)
				return
			}
			if len(answer) == 1 && answer[0] == 1 {
				mu.Lock()
				defer mu.Unlock()
				heard[broker.ID] = true
			}
		})
	}
	asked.Wait()
	return heard
}

// handleHeard answers askHeard: 1 for yes, else 0.
func (n *Node) handleHeard(_ context.Context, from int32, _ []byte) ([]byte, error) {
	im := n.Image()
	if im == nil {
		return []byte{0}, nil // still starting
	}
	b, registered := im.Broker(from)
	if registered && b.Fenced && time.Since(n.meta().Heard()) < n.static.Peers.SessionTimeout/4 {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}
