package broker

// Metadata (key 3), versions 0-13: brokers, and topics with their leaders.
//
// Null topics ask for all (version 0: empty ones do), an empty list for none.
// A topic that does not exist is created with the broker's defaults if both
// the request and auto.create.topics.enable allow it, and is answered with its
// leaders at once. From v10 on topics have ids, from v12 on they can be asked
// for by id. A partition without a leader is listed with
// LEADER_NOT_AVAILABLE, never left out.
// Topics that the client may not describe are not among all, and TOPIC_AUTHORIZATION_FAILED when they are named, whether they
// exist or not; so is a new one that it may not create.
// Added by version: 8 authorized operations, of the cluster until 10.

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/protocol"
	"weir/protocol/wire"
)

func (b *Broker) metadata(ctx context.Context, c *call, req *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	clusterID := b.node.ClusterID()
	resp.ClusterID, resp.ControllerID, resp.AuthorizedOperations = &clusterID, b.node.ControllerID(), c.clusterOperations(req.IncludeClusterAuthorizedOperations)
	for _, e := range b.brokersFor(c.Conn) {
		mb := kmsg.NewMetadataResponseBroker()
		mb.NodeID, mb.Host, mb.Port, mb.Rack = e.id, e.host, e.port, e.rack
		resp.Brokers = append(resp.Brokers, mb)
	}
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		for _, t := range b.node.Topics() {
			if c.allowed(acl.Describe, acl.Topic(t.Name)) {
				resp.Topics = append(resp.Topics, b.describeForMetadata(c, req, t))
			}
		}
		return resp, nil
	}
	create := b.node.Config().Creation.AutoCreate && (req.Version < 4 || req.AllowAutoTopicCreation)
	named := make(map[metadataKey]bool, len(req.Topics))
	for _, in := range req.Topics {
		if k := keyOf(in); !named[k] { // once each, or a small request has an answer of any size
			named[k] = true
			resp.Topics = append(resp.Topics, b.metadataTopic(ctx, c, req, in, create))
		}
	}
	return resp, nil
}

// metadataKey is how a request names a topic: by name, or by id.
type metadataKey struct {
	name string
	id   [16]byte
}

func keyOf(t kmsg.MetadataRequestTopic) metadataKey {
	if t.Topic != nil {
		return metadataKey{name: *t.Topic}
	}
	return metadataKey{id: t.TopicID}
}

func (b *Broker) metadataTopic(ctx context.Context, c *call, req *kmsg.MetadataRequest, in kmsg.MetadataRequestTopic, create bool) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.AuthorizedOperations = in.Topic, in.TopicID, notAsked
	var t *cluster.Topic
	var err error
	switch {
	case in.Topic == nil:
		if t = b.node.TopicByID(in.TopicID); t == nil {
			err = protocol.CodeUnknownTopicID
		} else {
			err = c.may(acl.Describe, acl.Topic(t.Name))
		}
	default:
		if err = c.may(acl.Describe, acl.Topic(*in.Topic)); err == nil {
			t, err = b.topicOrCreate(ctx, c, *in.Topic, create)
		}
	}
	if err != nil {
		out.ErrorCode = int16(errorCode(err))
		return out
	}
	return b.describeForMetadata(c, req, t)
}

func (b *Broker) topicOrCreate(ctx context.Context, c *call, name string, create bool) (*cluster.Topic, error) {
	if t := b.node.Topic(name); t != nil {
		return t, nil
	}
	if err := metadata.CheckTopicName(name); err != nil {
		return nil, err
	}
	if create && !c.mayCreate(name) {
		return nil, protocol.CodeTopicAuthorizationFailed
	}
	if metadata.IsInternal(name) && create {
		return b.node.EnsureInternalTopic(ctx, name)
	}
	if !create {
		return nil, protocol.CodeUnknownTopicOrPartition
	}
	t, created, err := b.node.EnsureTopic(ctx, name)
	if created {
		b.logger.Info("topic created because a client asked for it", "topic", name, "partitions", t.NumPartitions())
	}
	return t, err
}

// mayCreate says whether the client may make a topic of that name.
func (c *call) mayCreate(name string) bool {
	return c.allowed(acl.Create, acl.Cluster) || c.allowed(acl.Create, acl.Topic(name))
}

func (b *Broker) describeForMetadata(c *call, req *kmsg.MetadataRequest, t *cluster.Topic) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	name := t.Name
	out.Topic, out.TopicID, out.IsInternal = &name, t.ID, t.Internal
	out.AuthorizedOperations = c.operations(req.IncludeTopicAuthorizedOperations, acl.Topic(name))
	for i := range t.NumPartitions() {
		s := b.partitionState(t, int32(i))
		po := kmsg.NewMetadataResponseTopicPartition()
		po.Partition, po.ErrorCode, po.Leader, po.LeaderEpoch = int32(i), int16(s.code), s.leader, s.epoch
		po.Replicas, po.ISR, po.OfflineReplicas = s.replicas, s.isr, s.offline
		out.Partitions = append(out.Partitions, po)
	}
	return out
}

// partitionState is what Metadata and DescribeTopicPartitions tell of a partition.
type partitionState struct {
	code                   protocol.ErrorCode
	leader, epoch          int32
	replicas, isr, offline []int32
}

func (b *Broker) partitionState(t *cluster.Topic, index int32) partitionState {
	s := partitionState{leader: metadata.NoLeader, epoch: -1, replicas: []int32{}, isr: []int32{}, offline: []int32{}}
	if mp, ok := t.Described(index); ok {
		s.replicas = mp.Replicas
	}
	for _, id := range s.replicas {
		if mb, ok := b.node.Image().Broker(id); !ok || mb.Fenced {
			s.offline = append(s.offline, id)
		}
	}
	l := b.node.Leadership(t, index)
	s.leader, s.epoch = l.Leader, l.Epoch
	if l.ISR != nil {
		s.isr = l.ISR
	}
	if s.leader != metadata.NoLeader {
		return s
	}
	s.code = protocol.CodeLeaderNotAvailable
	if _, err := t.Replica(index); isOffline(err) {
		s.isr = []int32{}
		if !slices.Contains(s.offline, b.node.ID()) {
			s.offline = append(s.offline, b.node.ID())
		}
	}
	return s
}

func isOffline(err error) bool {
	var offline *cluster.OfflineError
	return errors.As(err, &offline)
}

// endpoint is a broker as one client reaches it.
type endpoint struct {
	id   int32
	host string
	port int32
	rack *string
}

// brokersFor lists the brokers under the addresses of the listener that the
// connection came in by.
func (b *Broker) brokersFor(conn *wire.Conn) []endpoint {
	listener := b.listenerOf(conn)
	var out []endpoint
	for _, mb := range b.node.Image().Brokers() {
		if mb.Fenced && mb.ID != b.node.ID() {
			continue
		}
		for _, e := range mb.Endpoints {
			if e.Listener != listener {
				continue
			}
			ep := endpoint{id: mb.ID, host: e.Host, port: int32(e.Port)}
			if mb.Rack != "" {
				ep.rack = &mb.Rack
			}
			out = append(out, ep)
		}
	}
	return out
}
