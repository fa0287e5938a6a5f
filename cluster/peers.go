package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"weir/cluster/config"
	"weir/cluster/controller"
	"weir/cluster/metadata"
	"weir/cluster/transport"
)

// The services of plain calls between brokers. The numbers are on the wire.
const (
	serviceForward   transport.Service = 1 // proposals to the controller's leader
	serviceHeartbeat transport.Service = 2 // signs of life to it
	serviceLeaders   transport.Service = 3 // who leads which partition
	serviceTransfer  transport.Service = 4 // to a partition's leader: let another replica lead
	serviceQuorum    transport.Service = 5 // to the controller's leader: how its group does
	serviceHeard     transport.Service = 6 // whether the controller hears of a broker
	serviceUnread    transport.Service = 7 // to a partition's leader: what consumers have not read
	serviceRequest   transport.Service = 8 // a request of Kafka's that brokers make of each other
	serviceRoom      transport.Service = 9 // how much room a broker's disk has
)

// probeInterval is between two rounds of asking the seeds whose cluster they are.
const probeInterval = 300 * time.Millisecond

// peers is this node's way to the others; the zero value is a node that is alone.
type peers struct {
	transport *transport.Transport // nil when alone
	internal  string               // host:port that others reach this node by; empty when alone
	saved     map[int32]string     // what the data directory tells the next start; of open, then of reconcile

	mu    sync.Mutex          // guards the rest
	seeds map[int32]string    // addresses of brokers that the metadata may not tell of yet
	lost  map[int32]time.Time // brokers whose connection was lost, and when
	there map[int32]bool      // brokers that are connected
	news  chan struct{}       // closed when there changes
}

// doubt is for how long a broker whose connection was lost is not called a leader. Then
// either its partitions have another one, or others can reach it, or it gets fenced.
const doubt = 3 * time.Second

func (p *peers) seen(node int32, connected bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if connected {
		delete(p.lost, node)
	} else {
		p.lost[node] = time.Now()
	}
	p.there[node] = connected
	close(p.news)
	p.news = make(chan struct{})
}

// isConnected tells, with a channel that is closed when that may have changed.
func (p *peers) isConnected(node int32) (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.there[node], p.news
}

func (p *peers) inDoubt(node int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.lost[node]
	return ok && time.Since(at) < doubt
}

// listenForPeers binds the port between brokers, if there is to be one.
func listenForPeers(cfg *config.Broker) (net.Listener, string, error) {
	if cfg.Peers.Listener == nil {
		if len(cfg.Peers.Seeds) > 0 {
			return nil, "", errors.New("cluster: peer.seeds names brokers to join, and there is no peer.listener for them to reach this one by")
		}
		return nil, "", nil
	}
	ln, err := net.Listen("tcp", cfg.Peers.Listener.Address())
	if err != nil {
		return nil, "", fmt.Errorf("peer.listener: %w", err)
	}
	advertised := *cfg.Peers.Listener
	if cfg.Peers.Advertised != nil {
		advertised = *cfg.Peers.Advertised
	}
	if advertised.Port == 0 {
		advertised.Port = ln.Addr().(*net.TCPAddr).Port
	}
	if ip := net.ParseIP(advertised.Host); advertised.Host == "" || ip != nil && ip.IsUnspecified() {
		return nil, "", errors.Join(errors.New("peer.listener: all interfaces are listened on, so peer.advertised.listener must say where others reach this broker"), ln.Close())
	}
	return ln, net.JoinHostPort(advertised.Host, strconv.Itoa(advertised.Port)), nil
}

// JoinRefusedError is Open's when the cluster does not take this broker.
type JoinRefusedError = controller.JoinRefusedError

// PeerAddress is the host:port that other brokers reach this node by; empty when it is alone.
func (n *Node) PeerAddress() string { return n.peers.internal }

// findCluster asks the seeds, until one answers, whose cluster they are.
func (n *Node) findCluster(ctx context.Context) (clusterID string, err error) {
	for {
		for _, seed := range n.static.Peers.Seeds {
			probe, cancel := context.WithTimeout(ctx, 2*time.Second)
			id, node, failed := transport.Probe(probe, seed, nil)
			cancel()
			if failed == nil {
				n.peers.mu.Lock()
				n.peers.seeds[node] = seed
				n.peers.mu.Unlock()
				clusterID = id
			}
			err = errors.Join(err, failed)
		}
		if clusterID != "" {
			return clusterID, nil
		}
		n.logger.Info("no broker of the cluster to join answers yet", "seeds", n.static.Peers.Seeds, "err", err)
		err = nil
		timer := time.NewTimer(probeInterval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "", fmt.Errorf("cluster: none of the seeds %v answers: %w", n.static.Peers.Seeds, ctx.Err())
		}
	}
}

// openTransport connects the node to the others.
func (n *Node) openTransport(ln net.Listener) (err error) {
	if ln == nil {
		return nil
	}
	n.peers.transport, err = transport.Open(transport.Config{
		ClusterID: n.dir.meta.ClusterID, Node: n.ID(), Directory: n.dir.meta.directory(),
		Listener: ln, Resolve: n.resolve, Logger: n.logger,
	})
	if err == nil {
		n.peers.transport.OnPeer(n.peerSeen)
	}
	return err
}

// resolve says where a broker is: as it has registered, else as a seed was reached.
func (n *Node) resolve(node int32) (address string, ok bool) {
	if c := n.controller.Load(); c != nil {
		if b, known := c.Image().Broker(node); known && b.Internal != "" {
			return b.Internal, true
		}
	}
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	address, ok = n.peers.seeds[node]
	return address, ok
}

// recallPeers has a start know where the others are, before there are any metadata: the
// controllers have to reach each other to learn what is committed of those, and the seeds
// may be down.
func (n *Node) recallPeers() {
	n.peers.saved = n.dir.peers()
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	for node, address := range n.peers.saved {
		n.peers.seeds[node] = address
	}
}

// notePeers keeps for the next start where the others are. It is called with reconciling
// held.
func (n *Node) notePeers(image *metadata.Image) {
	known := make(map[int32]string)
	for _, b := range image.Brokers() {
		if b.ID != n.ID() && b.Internal != "" {
			known[b.ID] = b.Internal
		}
	}
	if maps.Equal(known, n.peers.saved) {
		return
	}
	if err := n.dir.savePeers(known); err != nil {
		n.logger.Warn("a start without the seeds may not find the other brokers", "err", err)
		return
	}
	n.peers.saved = known
}

// call reaches a service of another broker on the controller's terms.
func (n *Node) call(s transport.Service) controller.Call {
	if n.peers.transport == nil {
		return nil
	}
	return func(ctx context.Context, node int32, request []byte) ([]byte, error) {
		answer, err := n.peers.transport.Call(ctx, node, s, request)
		var unreachable *transport.UnreachableError
		var late *transport.TimeoutError
		if errors.As(err, &unreachable) && unreachable.NotSent || errors.As(err, &late) && late.Stage != "answer" {
			err = fmt.Errorf("%w: %w", controller.ErrNotSent, err)
		}
		return answer, err
	}
}

// seedCalls are the ways to the controller of a broker that knows nobody yet.
func (n *Node) seedCalls() (calls []controller.Seed) {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	for node := range n.peers.seeds {
		forward := n.call(serviceForward)
		calls = append(calls, func(ctx context.Context, request []byte) ([]byte, error) { return forward(ctx, node, request) })
	}
	return calls
}

// serveControllers lets the other brokers' controllers in.
func (n *Node) serveControllers(c *controller.Controller) {
	if t := n.peers.transport; t != nil {
		t.Handle(serviceForward, c.HandleForward)
		t.Handle(serviceHeartbeat, c.HandleHeartbeat)
		t.Handle(serviceHeard, n.handleHeard)
		t.Handle(serviceLeaders, n.handleLeaders)
		t.Handle(serviceTransfer, n.handleTransfer)
		t.Handle(serviceQuorum, n.handleQuorum)
		t.Handle(serviceUnread, n.handleUnread)
		t.Handle(serviceRequest, n.handleRequest)
		t.Handle(serviceRoom, n.handleRoom)
	}
}

// groupID names the Raft group of a partition, in the transport and among the votes.
func groupID(topic metadata.UUID, partition int32) (id transport.GroupID) {
	copy(id[:16], topic[:])
	id[16], id[17], id[18], id[19] = byte(partition>>24), byte(partition>>16), byte(partition>>8), byte(partition)
	return id
}
