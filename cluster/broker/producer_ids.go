package broker

import (
	"context"
	"sync"

	"weir/cluster"
	"weir/cluster/metadata"
)

// producerIDBlock is how many ids are taken from the controller at a time, as
// in Kafka. What is left of a block at a stop is never used.
const producerIDBlock = 1000

// producerIDs hands out producer ids, each once for ever.
type producerIDs struct {
	node *cluster.Node

	mu    sync.Mutex // guards block
	block metadata.ProducerIDBlock
}

func (p *producerIDs) next(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
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
