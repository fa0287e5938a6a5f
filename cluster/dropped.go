package cluster

import (
	"context"
	"sync"
)

// dropped are the topics that have been deleted, by whichever broker, until somebody asks.
type dropped struct {
	wake chan struct{} // one token when there are names

	mu    sync.Mutex // guards names
	names []string
}

// maxDropped bounds what is kept while nobody asks; of more than that nobody is told.
const maxDropped = 10_000

func (d *dropped) add(name string) {
	d.mu.Lock()
	if len(d.names) < maxDropped {
		d.names = append(d.names, name)
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// AwaitDropped waits for topics to be deleted, by whichever broker, and names them, each
// deletion once.
func (n *Node) AwaitDropped(ctx context.Context) ([]string, error) {
	select {
	case <-n.dropped.wake:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.dropped.mu.Lock()
	defer n.dropped.mu.Unlock()
	names := n.dropped.names
	n.dropped.names = nil
	return names, nil
}
