package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/partition"
	"weir/protocol"
)

// adminClientID may write to the broker's own topics, as in Kafka.
const adminClientID = "__admin_client"

// topicOf finds a topic as a request names it: by id or by name.
func (b *Broker) topicOf(byID bool, name string, id [16]byte) (*cluster.Topic, protocol.ErrorCode) {
	if byID {
		if t := b.node.TopicByID(id); t != nil {
			return t, protocol.CodeNone
		}
		return nil, protocol.CodeUnknownTopicID
	}
	if t := b.node.Topic(name); t != nil {
		return t, protocol.CodeNone
	}
	return nil, protocol.CodeUnknownTopicOrPartition
}

// checkPartition says whether a partition exists, whoever leads it, and returns its topic.
func (b *Broker) checkPartition(topic string, index int32) (*cluster.Topic, error) {
	t, code := b.topicOf(false, topic, [16]byte{})
	if code != protocol.CodeNone {
		return nil, code
	}
	if index < 0 || int(index) >= t.NumPartitions() {
		return nil, cluster.ErrUnknownPartition
	}
	return t, nil
}

// noEpoch is the leader epoch of a client that does not know one.
const noEpoch = -1

// partitionOf finds a partition that is led here by its topic's name, for a client that
// believes in a leader epoch.
func (b *Broker) partitionOf(topic string, index, epoch int32) (*partition.Partition, error) {
	t, code := b.topicOf(false, topic, [16]byte{})
	if code != protocol.CodeNone {
		return nil, code
	}
	return replicaOf(t, index, epoch, false)
}

// replicaOf finds this broker's replica of a partition, which has to lead unless any will
// do. As KIP-320 has it, the epoch is looked at before who leads: a client behind learns
// that there is news, one ahead that this broker is.
func replicaOf(t *cluster.Topic, index, epoch int32, anyReplica bool) (*partition.Partition, error) {
	p, err := t.Replica(index)
	if err != nil {
		return nil, err
	}
	if err := p.CheckLeaderEpoch(epoch); err != nil {
		return nil, err
	}
	if anyReplica {
		return p, nil
	}
	return t.Partition(index)
}

// requestError is a request that contradicts itself: INVALID_REQUEST, and in
// words what is wrong.
type requestError struct{ reason string }

func (e *requestError) Error() string { return e.reason }

func invalidRequest(format string, args ...any) error {
	return &requestError{reason: fmt.Sprintf(format, args...)}
}

// codeAndMessage words an error for the APIs that carry a message.
func codeAndMessage(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	return int16(errorCode(err)), kmsg.StringPtr(err.Error())
}

func nullable(s string, null bool) *string {
	if null {
		return nil
	}
	return &s
}

// withTimeout bounds a request by the time that its client gives it; none or
// less means that the client does not say.
func withTimeout(ctx context.Context, millis int32) (context.Context, context.CancelFunc) {
	if millis <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(millis)*time.Millisecond)
}
