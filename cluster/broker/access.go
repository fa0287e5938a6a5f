package broker

// What clients may do is said by the cluster's ACLs, where authorizer.class.name has them count (cluster/acl). Every handler asks
// may or allowed before it does or tells something, with the operations and codes of Kafka. Other brokers have a port of
// their own, and may do everything.

import (
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/config"
	"weir/protocol"
	"weir/protocol/wire"
)

// access is what ACLs say, as of some state of the metadata.
type access struct {
	byACLs   bool
	cfg      acl.Config
	table    atomic.Pointer[acl.Table]
	renewing sync.Mutex // of table: one is enough
}

func (a *access) start(cfg *config.Access) error {
	a.byACLs, a.cfg.AllowEveryone = cfg.ByACLs, cfg.AllowEveryone
	for _, s := range cfg.SuperUsers {
		p, err := acl.ParsePrincipal(s)
		if err != nil {
			return err
		}
		a.cfg.SuperUsers = append(a.cfg.SuperUsers, p)
	}
	return nil
}

// rules are the ACLs of now; nil: everybody may do everything.
func (b *Broker) rules() *acl.Table {
	if !b.access.byACLs {
		return nil
	}
	if t := b.access.table.Load(); t != nil && t.Index() == b.node.Image().ACLs().Index {
		return t
	}
	b.access.renewing.Lock()
	defer b.access.renewing.Unlock()
	set := b.node.Image().ACLs()
	if t := b.access.table.Load(); t != nil && t.Index() == set.Index {
		return t
	}
	t := acl.NewTable(b.access.cfg, set)
	b.access.table.Store(t)
	return t
}

// clientOf is who is at the other end of a connection, which its State keeps: nobody is asked who they are.
func clientOf(conn *wire.Conn) *acl.Client {
	if known, ok := conn.State.(*acl.Client); ok {
		return known
	}
	var address netip.Addr
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		address = tcp.AddrPort().Addr()
	}
	client := acl.NewClient(acl.Anonymous, address)
	conn.State = client
	return client
}

// allowed says whether the client may do that.
func (c *call) allowed(op acl.Operation, r acl.Resource) bool {
	rules := c.broker.rules()
	return rules == nil || rules.Allows(c.client, op, r)
}

// forbidden are the codes of what a client may not do, by the type of the resource.
var forbidden = map[acl.ResourceType]protocol.ErrorCode{
	acl.TypeTopic: protocol.CodeTopicAuthorizationFailed, acl.TypeGroup: protocol.CodeGroupAuthorizationFailed,
	acl.TypeCluster: protocol.CodeClusterAuthorizationFailed, acl.TypeTransactionalID: protocol.CodeTransactionalIDAuthorizationFailed,
}

// may is nil if the client may do that, else one of those codes.
func (c *call) may(op acl.Operation, r acl.Resource) error {
	if c.allowed(op, r) {
		return nil
	}
	return forbidden[r.Type]
}

// allowedOnAny is allowed for any resource of a type.
func (c *call) allowedOnAny(op acl.Operation, kind acl.ResourceType) bool {
	rules := c.broker.rules()
	return rules == nil || rules.AllowsAny(c.client, op, kind)
}

// topicFor is topicOf for what the client wants to do. Whether there is a topic of a name it is only told if it may do that.
func (c *call) topicFor(op acl.Operation, byID bool, name string, id [16]byte) (*cluster.Topic, protocol.ErrorCode) {
	t, code := c.broker.topicOf(byID, name, id)
	switch {
	case byID && t == nil:
		return nil, code
	case byID:
		name = t.Name
	}
	if !c.allowed(op, acl.Topic(name)) {
		return nil, protocol.CodeTopicAuthorizationFailed
	}
	return t, code
}

// notAsked is what stands for operations in answers to who has not asked for them.
const notAsked = math.MinInt32

// operations are those that the client may do with a resource: bit n is Kafka's operation n.
func (c *call) operations(asked bool, r acl.Resource) int32 {
	if !asked {
		return notAsked
	}
	if rules := c.broker.rules(); rules != nil {
		return int32(rules.Allowed(c.client, r))
	}
	return int32(acl.Supported(r.Type))
}

// clusterOperations are those for the cluster, none for who may not describe it.
func (c *call) clusterOperations(asked bool) int32 {
	if asked && !c.allowed(acl.Describe, acl.Cluster) {
		return 0
	}
	return c.operations(asked, acl.Cluster)
}
