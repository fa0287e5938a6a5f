package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// Brokers make two of Kafka's requests of each other: WriteTxnMarkers and AddPartitionsToTxn. What travels is key and
// version of the request (2 bytes each) and its body; back comes the body of the response.

// ask has a broker answer, this one or another.
func ask[P kmsg.Response](ctx context.Context, b *Broker, id int32, req kmsg.Request) (resp P, err error) {
	if id == b.node.ID() {
		answer, err := b.answer(ctx, req)
		if err != nil {
			return resp, err
		}
		return answer.(P), nil
	}
	request := binary.BigEndian.AppendUint16(nil, uint16(req.Key()))
	request = binary.BigEndian.AppendUint16(request, uint16(req.GetVersion()))
	body, err := b.node.Request(ctx, id, req.AppendTo(request))
	if err != nil {
		return resp, err
	}
	resp = req.ResponseKind().(P)
	return resp, resp.ReadFrom(body)
}

// answer does what a broker asks for.
func (b *Broker) answer(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	switch req := req.(type) {
	case *kmsg.WriteTxnMarkersRequest:
		return b.writeMarkers(ctx, req), nil
	case *kmsg.AddPartitionsToTxnRequest:
		return b.addForBroker(ctx, req), nil
	}
	return nil, fmt.Errorf("broker: no broker asks for %T", req)
}

// brokerCalls are the requests of other brokers that are being answered. They come on the node's port, which is open for
// longer than the coordinators run.
type brokerCalls struct {
	mu     sync.Mutex // guards closed, and that nothing begins behind close
	closed bool
	under  sync.WaitGroup
}

func (c *brokerCalls) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.under.Add(1)
	}
	return !c.closed
}

// close waits for what is under way, and lets nothing begin.
func (c *brokerCalls) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.under.Wait()
}

// errStopping: this broker answers no more requests.
var errStopping = errors.New("broker: stopping")

// answerBroker answers another broker.
func (b *Broker) answerBroker(ctx context.Context, _ int32, request []byte) ([]byte, error) {
	if !b.brokerCalls.begin() {
		return nil, errStopping
	}
	defer b.brokerCalls.under.Done()
	if len(request) < 4 {
		return nil, fmt.Errorf("broker: a request of %d bytes from another broker", len(request))
	}
	h := protocol.RequestHeader{Key: int16(binary.BigEndian.Uint16(request)), Version: int16(binary.BigEndian.Uint16(request[2:]))}
	if api, ok := protocol.Lookup(h.Key); !ok || !api.Serves(h.Version) {
		return nil, fmt.Errorf("broker: another broker asks for key %d of version %d", h.Key, h.Version)
	}
	req, err := protocol.DecodeRequest(h, request[4:])
	if err != nil {
		return nil, err
	}
	resp, err := b.answer(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.AppendTo(nil), nil
}
