package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
	"weir/cluster/transport"
	"weir/partition"
)

// A partition's leader is known to its replicas from its Raft group. All other brokers,
// any of which clients ask, are told by the leader: at once when something changes, and
// everything from time to time, so that a message that was lost does no harm. One that starts
// asks before it serves. It is soft state: epochs order it, and nothing is decided by it.

// leadersInterval is between two tellings of everything.
const leadersInterval = 2 * time.Second

// Leadership is who leads a partition as far as this node knows.
type Leadership struct {
	Leader int32   // metadata.NoLeader when none is known
	Epoch  int32   // of the leadership; -1 when none is known
	ISR    []int32 // replicas in sync, the leader among them
}

// partitionKey names a partition in the table.
type partitionKey struct {
	topic     metadata.UUID
	partition int32
}

// leaders is the table.
type leaders struct {
	wake chan struct{} // one token when this node may lead something else than it has told
	led  chan struct{} // another, for LeadershipChanges

	mu      sync.Mutex // guards the rest
	known   map[partitionKey]Leadership
	told    map[partitionKey]Leadership // by this node, of what it leads
	changed chan struct{}               // closed when known changes
	telling map[int32]bool              // brokers that are being told; true: something new came up meanwhile
	again   bool                        // everything is to be told at the next wake
}

func newLeaders() *leaders {
	return &leaders{
		wake: make(chan struct{}, 1), led: make(chan struct{}, 1), known: make(map[partitionKey]Leadership), told: make(map[partitionKey]Leadership),
		changed: make(chan struct{}), telling: make(map[int32]bool),
	}
}

// beginTelling says whether a broker may be told now. It is told one thing after the
// other; who does not get its turn is told everything afterwards.
func (l *leaders) beginTelling(broker int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, busy := l.telling[broker]
	l.telling[broker] = busy
	return !busy
}

func (l *leaders) endTelling(broker int32) {
	l.mu.Lock()
	missed := l.telling[broker]
	delete(l.telling, broker)
	l.again = l.again || missed
	l.mu.Unlock()
	if missed {
		l.notify()
	}
}

func (l *leaders) takeAgain() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	again := l.again
	l.again = false
	return again
}

// notify is called by partitions, from within their groups.
func (l *leaders) notify() {
	for _, c := range []chan struct{}{l.wake, l.led} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// LeadershipChanges has one token when this node may lead other partitions than before, or
// the same ones anew. It is for one reader.
func (n *Node) LeadershipChanges() <-chan struct{} { return n.leaders.led }

// tellAgain has everything told soon.
func (l *leaders) tellAgain() {
	l.mu.Lock()
	l.again = true
	l.mu.Unlock()
	l.notify()
}

// learn takes news unless something newer is known.
func (l *leaders) learn(k partitionKey, news Leadership) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.known[k]; ok && (old.Epoch > news.Epoch || old.Epoch == news.Epoch && old.Leader == news.Leader && slices.Equal(old.ISR, news.ISR)) {
		return
	}
	l.known[k] = news
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leaders) of(k partitionKey) (Leadership, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, ok := l.known[k]
	return x, ok
}

// Leadership tells who leads a partition. A leader that is fenced, or whose connection
// has just been lost, counts as none: clients that are told so ask again soon.
func (n *Node) Leadership(t *Topic, index int32) Leadership {
	none := Leadership{Leader: metadata.NoLeader, Epoch: -1}
	if index < 0 || int(index) >= len(t.partitions) {
		return none
	}
	if p := t.partitions[index]; p != nil {
		if epoch, leading := p.Leading(); leading {
			return Leadership{Leader: n.ID(), Epoch: epoch, ISR: n.inSync(p)}
		}
	}
	x, ok := n.leaders.of(partitionKey{t.ID, index})
	if p := t.partitions[index]; p != nil {
		// A replica here may know before its leader has told.
		if id, _, known := transport.ParseAddress(raft.ServerAddress(p.Leader())); known && id != n.ID() && (!ok || p.LeaderEpoch() > x.Epoch) {
			if !slices.Contains(x.ISR, id) {
				x.ISR = []int32{id} // a leader always is; it will say who else
			}
			x, ok = Leadership{Leader: id, Epoch: p.LeaderEpoch(), ISR: x.ISR}, true
		}
	}
	if !ok || x.Leader == n.ID() { // it led, and does not any more
		return none
	}
	if b, registered := n.Image().Broker(x.Leader); !registered || b.Fenced || n.peers.inDoubt(x.Leader) {
		return Leadership{Leader: metadata.NoLeader, Epoch: x.Epoch, ISR: x.ISR}
	}
	return x
}

// inSync lists the replicas of a partition led here that are in sync: those with a vote
// that had everything in the leader's log at some time within replica.lag.time.max.ms,
// and that are not fenced; for that long after its election a leader that has not heard
// of one gives it the benefit of the doubt. The leader always is.
//
// This is what ISR means in Weir wherever Kafka's protocol has the word. It decides
// nothing but min.insync.replicas: what is committed is on disk on a majority.
func (n *Node) inSync(p *partition.Partition) []int32 {
	if p.Timing() == aloneTiming {
		return []int32{n.ID()} // ten thousand are asked again and again
	}
	im, since := n.Image(), time.Now().Add(-n.Config().Peers.ReplicaLag)
	ids := []int32{n.ID()}
	for _, f := range p.Followers() {
		node, directory, ok := transport.ParseAddress(raft.ServerAddress(f.ID))
		if !ok || !f.Voter {
			continue
		}
		if b, registered := im.Broker(node); !registered || b.Fenced || b.Directory != directory {
			continue
		}
		if f.CaughtUp.After(since) || f.CaughtUp.IsZero() && p.LeadingSince().After(since) {
			ids = append(ids, node)
		}
	}
	slices.Sort(ids)
	return ids
}

// tellLeaders is the goroutine that tells the others what this node leads.
func (n *Node) tellLeaders() {
	ticker := time.NewTicker(leadersInterval)
	defer ticker.Stop()
	for {
		everything := false
		select {
		case <-n.leaders.wake:
			everything = n.leaders.takeAgain()
		case <-ticker.C:
			if len(n.Image().Brokers()) < 2 {
				continue // there is nobody to tell again
			}
			everything = true
		case <-n.ctx.Done():
			return
		}
		if news := n.leadershipNews(everything); len(news) > 0 {
			n.spread(news)
		}
		n.wakeMembers()
	}
}

// leading is all that this node leads.
func (n *Node) leading() map[partitionKey]Leadership {
	now := make(map[partitionKey]Leadership)
	for _, t := range n.topics.Load().byName {
		for i, p := range t.partitions {
			if p == nil {
				continue
			}
			if epoch, leading := p.Leading(); leading {
				now[partitionKey{t.ID, int32(i)}] = Leadership{Leader: n.ID(), Epoch: epoch, ISR: n.inSync(p)}
			}
		}
	}
	return now
}

// leadershipNews is what this node leads and has not told, or all that it leads.
func (n *Node) leadershipNews(everything bool) map[partitionKey]Leadership {
	now, l := n.leading(), n.leaders
	for k, x := range now {
		l.learn(k, x)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	news := now
	if !everything {
		news = maps.Clone(now)
		maps.DeleteFunc(news, func(k partitionKey, x Leadership) bool {
			old, ok := l.told[k]
			return ok && old.Epoch == x.Epoch && slices.Equal(old.ISR, x.ISR)
		})
	}
	l.told = now
	return news
}

// maxLeadersPerCall bounds one message.
const maxLeadersPerCall = 4096

// spread tells all other brokers, side by side, and does not wait: one that is halted must
// not keep the others from hearing. One that cannot be reached hears with the next telling
// of everything.
func (n *Node) spread(news map[partitionKey]Leadership) {
	if n.peers.transport == nil {
		return
	}
	messages := encodeLeaderships(news)
	for _, broker := range n.Image().Brokers() {
		if broker.ID == n.ID() || broker.Fenced || !n.leaders.beginTelling(broker.ID) {
			continue
		}
		n.running.Go(func() {
			defer n.leaders.endTelling(broker.ID)
			ctx, cancel := context.WithTimeout(n.ctx, leadersInterval)
			defer cancel()
			for _, m := range messages {
				if _, err := n.peers.transport.Call(ctx, broker.ID, serviceLeaders, m); err != nil {
					n.logger.Debug("a broker was not told who leads", "broker", broker.ID, "err", err)
					return
				}
			}
		})
	}
}

// askTimeout bounds the wait of a start for what the others lead: one may be halted.
const askTimeout = time.Second

// askLeaders has the others tell what they lead, so that clients of a broker that has just
// started are not sent away.
func (n *Node) askLeaders(ctx context.Context) {
	if n.peers.transport == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var asked sync.WaitGroup
	for _, broker := range n.Image().Brokers() {
		if broker.ID == n.ID() || broker.Fenced {
			continue
		}
		asked.Go(func() {
			answer, err := n.peers.transport.Call(ctx, broker.ID, serviceLeaders, nil)
			if err == nil {
				err = n.learnLeaders(broker.ID, answer)
			}
			if err != nil {
				n.logger.Debug("a broker did not say what it leads", "broker", broker.ID, "err", err)
			}
		})
	}
	asked.Wait()
}

// encodeLeaderships puts them into messages.
func encodeLeaderships(all map[partitionKey]Leadership) (messages [][]byte) {
	var b []byte
	count := 0
	for k, x := range all {
		b = appendLeadership(b, k, x)
		if count++; count%maxLeadersPerCall == 0 {
			messages, b = append(messages, b), nil
		}
	}
	if b != nil {
		messages = append(messages, b)
	}
	return messages
}

func appendLeadership(b []byte, k partitionKey, x Leadership) []byte {
	b = append(b, k.topic[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(k.partition))
	b = binary.BigEndian.AppendUint32(b, uint32(x.Epoch))
	b = append(b, byte(len(x.ISR)))
	for _, id := range x.ISR {
		b = binary.BigEndian.AppendUint32(b, uint32(id))
	}
	return b
}

var errMalformedLeaders = errors.New("cluster: a message of leaders makes no sense")

// handleLeaders takes what another broker says that it leads. One that says nothing has
// started, and asks for what is led here.
func (n *Node) handleLeaders(_ context.Context, from int32, b []byte) ([]byte, error) {
	if n.Image() == nil {
		return nil, nil // still starting; it asks before it serves
	}
	if len(b) > 0 {
		return nil, n.learnLeaders(from, b)
	}
	messages := encodeLeaderships(n.leading())
	if len(messages) == 0 {
		return nil, nil
	}
	if len(messages) > 1 {
		n.leaders.tellAgain() // one answer does not hold it
	}
	return messages[0], nil
}

// learnLeaders takes what another broker leads.
func (n *Node) learnLeaders(from int32, b []byte) error {
	image := n.Image()
	for len(b) > 0 {
		if len(b) < 25 || len(b) < 25+4*int(b[24]) {
			return errMalformedLeaders
		}
		k := partitionKey{topic: metadata.UUID(b[:16]), partition: int32(binary.BigEndian.Uint32(b[16:]))}
		x := Leadership{Leader: from, Epoch: int32(binary.BigEndian.Uint32(b[20:]))}
		count := int(b[24])
		b = b[25:]
		for range count {
			x.ISR = append(x.ISR, int32(binary.BigEndian.Uint32(b)))
			b = b[4:]
		}
		if _, known := image.TopicByID(k.topic); known { // the table holds what exists
			n.leaders.learn(k, x)
		}
	}
	return nil
}

// forgetLeaders drops what is known of a topic that is gone.
func (n *Node) forgetLeaders(topic metadata.UUID) {
	n.leaders.mu.Lock()
	defer n.leaders.mu.Unlock()
	maps.DeleteFunc(n.leaders.known, func(k partitionKey, _ Leadership) bool { return k.topic == topic })
}

// awaitLeaders waits until every partition of a topic has a leader that is known here.
func (n *Node) awaitLeaders(ctx context.Context, id metadata.UUID) error {
	return n.awaitLeadership(ctx, id, func(t *Topic) bool {
		for i := range t.partitions {
			if n.Leadership(t, int32(i)).Leader == metadata.NoLeader {
				return false
			}
		}
		return true
	})
}

// awaitLeadership waits until what is known of who leads a topic is as wanted, or the topic
// is gone.
func (n *Node) awaitLeadership(ctx context.Context, id metadata.UUID, wanted func(*Topic) bool) error {
	for {
		n.leaders.mu.Lock()
		changed := n.leaders.changed
		n.leaders.mu.Unlock()
		if t := n.TopicByID(id); t == nil || wanted(t) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
