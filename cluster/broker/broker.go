// Package broker speaks Kafka for a node: one file for each API, one table of
// error codes, and the server that carries both.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"weir/cluster"
	"weir/cluster/config"
	"weir/cluster/group"
	"weir/cluster/metadata"
	"weir/protocol"
	"weir/protocol/wire"
)

// Broker is a running broker. Its methods may be called side by side.
type Broker struct {
	cfg          *config.Broker
	logger       *slog.Logger
	node         *cluster.Node
	server       *wire.Server
	sessions     *fetchSessions
	groups       *coordinator
	transactions *transactions
	txnGuards    *txnGuards
	brokerCalls  brokerCalls
	producerIDs  *producerIDs
	quotas       quotas
	access       access
	now          func() time.Time

	listeners map[string]string // bound address to listener name
	addr      string
	stopping  chan struct{} // closed when parked fetches are to be answered
	stopOnce  sync.Once
	// endBackground ends what runs beside the server.
	endBackground context.CancelFunc
	serving       sync.WaitGroup
}

// Start opens the node that cfg describes and serves Kafka on its listeners.
// It returns once they answer, or ctx ends the wait for a cluster that does not.
// Addresses with port 0 are bound to free ports.
func Start(ctx context.Context, cfg *config.Broker, logger *slog.Logger) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{
		cfg: cfg, logger: logger, now: time.Now,
		listeners: make(map[string]string), stopping: make(chan struct{}), txnGuards: newTxnGuards(),
	}
	if err := b.access.start(&cfg.Access); err != nil {
		return nil, err
	}
	lns, endpoints, err := b.listen()
	if err == nil {
		b.node, err = cluster.Open(ctx, cfg, endpoints, logger)
	}
	if err == nil {
		err = b.serve(lns)
	}
	if err != nil {
		for _, ln := range lns {
			err = errors.Join(err, ignoreClosed(ln.Close()))
		}
		return nil, err
	}
	return b, nil
}

// listen binds every address before the data directory is touched: a port
// that is taken shows at once.
func (b *Broker) listen() (lns []net.Listener, endpoints []metadata.Endpoint, err error) {
	for i, l := range b.cfg.Listeners {
		ln, err := net.Listen("tcp", l.Address())
		if err != nil {
			return lns, nil, fmt.Errorf("listener %s: %w", l, err)
		}
		lns = append(lns, ln)
		b.listeners[ln.Addr().String()] = l.Name
		if b.addr == "" {
			b.addr = ln.Addr().String()
		}
		advertised := b.cfg.Advertised[i]
		if advertised.Port == 0 {
			advertised.Port = ln.Addr().(*net.TCPAddr).Port
		}
		endpoints = append(endpoints, metadata.Endpoint{Listener: l.Name, Host: advertised.Host, Port: uint16(advertised.Port)})
	}
	return lns, endpoints, nil
}

func (b *Broker) serve(lns []net.Listener) error {
	b.sessions = newFetchSessions(b.cfg.Network.FetchSessions, b.now)
	b.groups = newCoordinator(b.node, b.rules, groupLimits(&b.cfg.Groups), b.now, b.stopping, b.logger)
	b.producerIDs = newProducerIDs(b.node)
	b.quotas.start(&b.cfg.Network)
	b.transactions = newTransactions(b.node, b.producerIDs, newMarkers(b), b.now, b.logger)
	b.groups.start()
	b.transactions.start()
	b.node.HandleRequests(b.answerBroker)
	wireCfg := wire.Config{
		MaxRequestBytes: b.cfg.Network.RequestMaxBytes,
		RequestLimit: func(_ *wire.Conn, key int16) int {
			api, _ := protocol.Lookup(key)
			return min(api.MaxRequestBytes, b.cfg.Network.RequestMaxBytes)
		},
		MemoryBytes: b.cfg.Network.QueuedMaxRequestBytes,
		IdleTimeout: b.cfg.Network.MaxIdle,
		ConnectionLimits: func() (total, perIP int) {
			n := &b.node.Config().Network
			return n.MaxConnections, n.MaxConnectionsPerIP
		},
	}
	if wireCfg.MemoryBytes < 0 {
		wireCfg.MemoryBytes = math.MaxInt64
	}
	if wireCfg.IdleTimeout == 0 {
		wireCfg.IdleTimeout = math.MaxInt64
	}
	if err := wireCfg.Validate(); err != nil {
		b.brokerCalls.close()
		b.transactions.close()
		b.groups.close()
		return errors.Join(err, b.node.Close())
	}
	b.server = wire.NewServer(wireCfg, b, b.logger)
	ctx, cancel := context.WithCancel(context.Background())
	b.endBackground = cancel
	b.serving.Go(func() { b.followLeadership(ctx) })
	b.serving.Go(func() { b.expireOffsets(ctx) })
	b.serving.Go(func() { b.forgetDropped(ctx) })
	for _, ln := range lns {
		b.serving.Go(func() {
			if err := b.server.Serve(ln); err != nil && !errors.Is(err, wire.ErrServerClosed) {
				b.logger.Error("a listener ended", "addr", ln.Addr().String(), "err", err)
			}
		})
	}
	return nil
}

// Addr is the address of the first listener, as bound.
func (b *Broker) Addr() string { return b.addr }

// Node is what the broker serves.
func (b *Broker) Node() *cluster.Node { return b.node }

// Stats are the live counters of the server.
func (b *Broker) Stats() *wire.Stats { return b.server.Stats() }

// Fatal receives the error after which the process has to end at once; see
// cluster.Node.Fatal.
func (b *Broker) Fatal() <-chan error { return b.node.Fatal() }

// Shutdown stops in order: other brokers take over what this one leads, while it still tells
// clients of them; no new requests; those that began are answered,
// parked fetches with what they have; then the node closes and marks its data
// clean. When ctx ends first, connections are cut. It is idempotent.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.stopOnce.Do(func() {
		b.node.HandOver(ctx)
		close(b.stopping)
	})
	err := b.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, b.server.Close())
	}
	b.endBackground()
	b.serving.Wait()
	b.brokerCalls.close()
	b.transactions.close()
	b.groups.close()
	return errors.Join(err, b.node.Close())
}

// followLeadership has coordinators take up what is led here.
func (b *Broker) followLeadership(ctx context.Context) {
	quotas := b.node.Image().Quotas().Index
	for {
		select {
		case <-b.node.LeadershipChanges(): // also after every change of the metadata
			if now := b.node.Image().Quotas().Index; now != quotas {
				quotas = now
				b.server.Unmute() // who has to wait still, is told so with the next answer
			}
			b.groups.followLeadership()
			b.groups.match()
			b.transactions.followLeadership()
		case <-ctx.Done():
			return
		}
	}
}

// offsetsCheckInterval is how often old commits, and transactional ids, are looked for, as commits are in Kafka.
const offsetsCheckInterval = 10 * time.Minute

// expireOffsets forgets commits that are of no use for longer than offsets.retention.minutes
// (KIP-211), groups of which nothing is left, and transactional ids that nobody has used for transactional.id.expiration.ms.
func (b *Broker) expireOffsets(ctx context.Context) {
	ticker := time.NewTicker(offsetsCheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.groups.expire(ctx, b.cfg.Groups.OffsetsRetention)
			b.groups.doubt()
			b.transactions.forget(b.cfg.Producers.TransactionalIDExpiration)
		case <-ctx.Done():
			return
		}
	}
}

// forgetDropped drops the offsets that groups of this coordinator have committed for topics
// that were deleted, on whichever broker: one made again under the name begins anew. The
// broker that was asked for the deletion has done its share before it answered.
func (b *Broker) forgetDropped(ctx context.Context) {
	for {
		topics, err := b.node.AwaitDropped(ctx)
		if err != nil {
			return
		}
		if err := b.groups.removeDropped(ctx, topics); err != nil && ctx.Err() == nil {
			b.logger.Warn("committed offsets of deleted topics remain for now", "err", err)
		}
	}
}

// Bounds of what members have groups keep.
const (
	// maxProtocolBytes is the metadata of one protocol: a subscription to some 1,500 topics.
	maxProtocolBytes = 64 << 10
	// maxMemberBytes is all protocols of a member.
	maxMemberBytes = 256 << 10
	// maxGroupBytes is a group as it is stored, without its assignments, which are smaller than a
	// frame: together they fit into a segment of the offsets topic.
	maxGroupBytes = 5 << 19
)

func groupLimits(cfg *config.Groups) group.Limits {
	return group.Limits{
		Size: cfg.MaxSize, ProtocolBytes: maxProtocolBytes, MemberBytes: maxMemberBytes, GroupBytes: maxGroupBytes,
		InitialRebalanceDelay: cfg.InitialRebalanceDelay, MinSession: cfg.MinSessionTimeout, MaxSession: cfg.MaxSessionTimeout,
	}
}

// listenerOf names the listener that a connection came in by.
func (b *Broker) listenerOf(c *wire.Conn) string { return b.listeners[c.ListenerAddr().String()] }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
