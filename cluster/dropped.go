package cluster

import (
	"context"
	"sync"
)

// dropped are the topics that have been deleted, by whichever broker, until somebody asks.
type dropped struct {
	wake chan struct{} // one token when there are topics

	mu     sync.Mutex // guards topics
	topics []Dropped
}

// Dropped is a topic that has been deleted. Another one may have its name by now.
type Dropped struct {
	Name string
	ID   [16]byte
}

// maxDropped bounds what is kept while nobody asks; of more than that nobody is told.
const maxDropped = 10_000

func (d *dropped) add(t Dropped) {
	d.mu.Lock()
	if len(d.topics) < maxDropped {
		d.topics = append(d.topics, t)
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// AwaitDropped waits for topics to be deleted, by whichever broker, and lists them, each
// deletion once.
func (n *Node) AwaitDropped(ctx context.Context) ([]Dropped, error) {
	select {
	case <-n.dropped.wake:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.dropped.mu.Lock()
	defer n.dropped.mu.Unlock()
	topics := n.dropped.topics
	n.dropped.topics = nil
	return topics, nil
}
