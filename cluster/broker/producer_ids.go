package broker

import (
	"context"
	"time"

	"weir/cluster"
	"weir/cluster/metadata"
)

// producerIDBlock is how many ids are taken from the controller at a time, as
// in Kafka. What is left of a block at a stop is never used.
const producerIDBlock = 1000

// producerIDs hands out producer ids, each once for ever.
type producerIDs struct {
	node *cluster.Node

	turn  chan struct{} // holds a token while somebody has block, and perhaps waits for the controller
	block metadata.ProducerIDBlock
}

// producerIDTimeout bounds the wait for the controller. Who asked is told to come again.
const producerIDTimeout = 10 * time.Second

func newProducerIDs(node *cluster.Node) *producerIDs {
	return &producerIDs{node: node, turn: make(chan struct{}, 1)}
}

func (p *producerIDs) next(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, producerIDTimeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if p.block.Count == 0 {
		result, err := p.node.Propose(ctx, metadata.AllocateProducerIDs{Broker: p.node.ID(), Count: producerIDBlock})
		if err != nil {
			return 0, err
		}
		p.block = result.(metadata.ProducerIDBlock)
	}
	id := p.block.First
	p.block.First++
	p.block.Count--
	return id, nil
}
