package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/protocol"
	"weir/protocol/wire"
)

// responseBytes is the room a response gets at first; larger ones grow.
const responseBytes = 512

// call is one request on its way through a handler.
type call struct {
	*wire.Request
	broker *Broker
	client *acl.Client
	meter  *meter // nil: the client has no quotas
}

// handler answers one API. It runs on the connection's reader, in the order
// of arrival, and must not wait: what waits goes into the Reply.
type handler func(c *call) wire.Reply

// handlers has one entry for each API of protocol.APIs; a test compares.
var handlers = map[int16]handler{
	protocol.KeyProduce:                 atOnce((*call).produce),
	protocol.KeyFetch:                   atOnce((*call).fetch),
	protocol.KeyListOffsets:             later((*Broker).listOffsets),
	protocol.KeyMetadata:                later((*Broker).metadata),
	protocol.KeyOffsetCommit:            later((*Broker).offsetCommit),
	protocol.KeyOffsetFetch:             later((*Broker).offsetFetch),
	protocol.KeyOffsetDelete:            later((*Broker).offsetDelete),
	protocol.KeyFindCoordinator:         later((*Broker).findCoordinator),
	protocol.KeyJoinGroup:               later((*Broker).joinGroup),
	protocol.KeyHeartbeat:               later((*Broker).heartbeat),
	protocol.KeyLeaveGroup:              later((*Broker).leaveGroup),
	protocol.KeySyncGroup:               later((*Broker).syncGroup),
	protocol.KeyDescribeGroups:          later((*Broker).describeGroups),
	protocol.KeyListGroups:              later((*Broker).listGroups),
	protocol.KeyDeleteGroups:            later((*Broker).deleteGroups),
	protocol.KeyApiVersions:             atOnce((*call).apiVersions),
	protocol.KeyCreateTopics:            later((*Broker).createTopics),
	protocol.KeyDeleteTopics:            later((*Broker).deleteTopics),
	protocol.KeyDeleteRecords:           later((*Broker).deleteRecords),
	protocol.KeyInitProducerID:          later((*Broker).initProducerID),
	protocol.KeyAddPartitionsToTxn:      later((*Broker).addPartitionsToTxn),
	protocol.KeyAddOffsetsToTxn:         later((*Broker).addOffsetsToTxn),
	protocol.KeyEndTxn:                  later((*Broker).endTxn),
	protocol.KeyWriteTxnMarkers:         later((*Broker).writeTxnMarkers),
	protocol.KeyTxnOffsetCommit:         later((*Broker).txnOffsetCommit),
	protocol.KeyOffsetForLeaderEpoch:    later((*Broker).offsetForLeaderEpoch),
	protocol.KeyDescribeACLs:            later((*Broker).describeACLs),
	protocol.KeyCreateACLs:              later((*Broker).createACLs),
	protocol.KeyDeleteACLs:              later((*Broker).deleteACLs),
	protocol.KeyDescribeConfigs:         later((*Broker).describeConfigs),
	protocol.KeyAlterConfigs:            later((*Broker).alterConfigs),
	protocol.KeyIncrementalAlterConfigs: later((*Broker).incrementalAlterConfigs),
	protocol.KeyConsumerGroupHeartbeat:  later((*Broker).consumerGroupHeartbeat),
	protocol.KeyConsumerGroupDescribe:   later((*Broker).consumerGroupDescribe),
	protocol.KeyListConfigResources:     later((*Broker).listConfigResources),
	protocol.KeyAlterReplicaLogDirs:     later((*Broker).alterReplicaLogDirs),
	protocol.KeyDescribeLogDirs:         later((*Broker).describeLogDirs),
	protocol.KeyCreatePartitions:        later((*Broker).createPartitions),
	protocol.KeyAlterReassignments:      later((*Broker).alterReassignments),
	protocol.KeyListReassignments:       later((*Broker).listReassignments),
	protocol.KeyElectLeaders:            later((*Broker).electLeaders),
	protocol.KeyDescribeClientQuotas:    later((*Broker).describeClientQuotas),
	protocol.KeyAlterClientQuotas:       later((*Broker).alterClientQuotas),
	protocol.KeyDescribeScram:           later((*Broker).describeScram),
	protocol.KeyDescribeQuorum:          later((*Broker).describeQuorum),
	protocol.KeyDescribeTransactions:    later((*Broker).describeTransactions),
	protocol.KeyListTransactions:        later((*Broker).listTransactions),
	protocol.KeyUnregisterBroker:        later((*Broker).unregisterBroker),
	protocol.KeyUpdateFeatures:          later((*Broker).updateFeatures),
	protocol.KeyDescribeCluster:         later((*Broker).describeCluster),
	protocol.KeyDescribeProducers:       later((*Broker).describeProducers),
	protocol.KeyDescribeTopicPartitions: later((*Broker).describeTopicPartitions),
}

// atOnce makes a handler of a function that has to see requests in the order of
// arrival, or answers without waiting.
func atOnce(f func(*call, kmsg.Request) wire.Reply) handler {
	return func(c *call) wire.Reply {
		req, err := protocol.DecodeRequest(c.Header, c.Body)
		if err != nil {
			return wire.Closed(err)
		}
		return f(c, req)
	}
}

// later makes a handler of a function that may take its time: it runs when
// the answer's turn has come, so answers stay in order, one after the other,
// and the reader goes on reading meanwhile. The request is decoded only then:
// what waits takes no more memory than its frame.
func later[Q kmsg.Request, P kmsg.Response](f func(b *Broker, ctx context.Context, c *call, req Q) (P, error)) handler {
	return func(c *call) wire.Reply {
		return lazy(func(ctx context.Context) (wire.Response, error) {
			req, err := protocol.DecodeRequest(c.Header, c.Body)
			if err != nil {
				return wire.Response{}, err
			}
			typed, ok := req.(Q)
			if !ok {
				return wire.Response{}, fmt.Errorf("broker: %T handed to the handler of %T", req, typed)
			}
			resp, err := f(c.broker, ctx, c, typed)
			if err != nil {
				return wire.Response{}, err
			}
			return c.encode(resp), nil
		})
	}
}

// lazy is a Reply that is made when its turn has come.
type lazy func(ctx context.Context) (wire.Response, error)

// Await implements wire.Reply.
func (f lazy) Await(ctx context.Context) (wire.Response, error) { return f(ctx) }

// Handle implements wire.Handler.
func (b *Broker) Handle(r *wire.Request) wire.Reply {
	c := &call{Request: r, broker: b, client: clientOf(r.Conn)}
	h, ok := handlers[r.Header.Key]
	if !ok {
		return wire.Closed(fmt.Errorf("broker: no handler for API key %d", r.Header.Key))
	}
	if api, _ := protocol.Lookup(r.Header.Key); !api.Serves(r.Header.Version) && r.Header.Key == protocol.KeyApiVersions {
		return c.apiVersionsUnsupported() // its body is not ours to read
	}
	return c.metered(h)
}

// encode makes the frame of a response whose every byte is on the heap.
func (c *call) encode(resp kmsg.Response) wire.Response {
	c.tell(resp)
	return wire.Response{Parts: []wire.Part{{Bytes: protocol.AppendResponse(c.Buffer(responseBytes), c.Header, resp)}}}
}

// ready is encode for an answer that is there before Handle returns.
func (c *call) ready(resp kmsg.Response) wire.Reply {
	c.tell(resp)
	return c.Respond(wire.Part{Bytes: protocol.AppendResponse(c.Buffer(responseBytes), c.Header, resp)})
}
