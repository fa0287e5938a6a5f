package broker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/group"
	"weir/cluster/metadata"
	"weir/protocol"
)

// offsetsTopic is where groups live, in Kafka's own record formats, so that its tools can
// read them.
const offsetsTopic = metadata.OffsetsTopic

// Bounds of what groups may have the broker keep, all of it in memory.
const (
	maxGroups         = 10_000 // with offsets, and as many with members
	maxGroupNameBytes = 255
	maxGroupsBytes    = 256 << 20
	// maxMetadataBytes is what the record format can hold of a commit; the configured
	// limit may be less.
	maxMetadataBytes = math.MaxInt16
)

// coordinator is the groups that this broker coordinates: those whose partition of the
// offsets topic it leads.
type coordinator struct {
	node     *cluster.Node
	rules    func() *acl.Table // as of Broker
	logger   *slog.Logger
	limits   group.Limits
	now      func() time.Time
	stopping <-chan struct{} // closed when parked requests are to be answered
	clock    *groupClock
	tickets  atomic.Uint64
	rematch  chan struct{} // one token when topics, or the regular expressions that they are matched against, are others

	loads    loads
	doubtful chan struct{} // one token when there may be commits for topics that are gone

	ctx     context.Context // of the background goroutines
	cancel  context.CancelFunc
	running sync.WaitGroup

	// What all shards take together.
	withOffsets, withMembers, bytes atomic.Int64

	mu     sync.Mutex // guards shards; a leaf
	shards map[int32]*shard
}

// shard is the groups of one partition of the topic. What is committed there is in the
// tables; what is on its way is in ahead.
type shard struct {
	ledger // its mu guards all below, too

	offsets *group.Offsets         // committed offsets
	pending *group.Pending         // those of transactions that are not ended
	stored  map[string][]byte      // the last record of each group of the classic protocol, as it is in the topic
	facts   map[string]group.Facts // likewise, what the topic has of groups of the consumer protocol
	groups  map[string]*liveGroup  // groups that have or had members
	live    int64                  // bytes of the last rewrite

	drainBegan time.Time // the last time that commits of transactions were kept out, for a rewrite

	groupBytes, storedBytes int64     // what groups and stored take
	size                    shardSize // as accounted
}

// shardSize is what has been counted of a shard.
type shardSize struct{ withOffsets, withMembers, bytes int64 }

func newCoordinator(n *cluster.Node, rules func() *acl.Table, limits group.Limits, now func() time.Time, stopping <-chan struct{}, logger *slog.Logger) *coordinator {
	c := &coordinator{
		node: n, rules: rules, logger: logger, limits: limits, now: now, stopping: stopping, clock: newGroupClock(),
		rematch: make(chan struct{}, 1), doubtful: make(chan struct{}, 1), shards: make(map[int32]*shard),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.loads = loads{ctx: c.ctx, run: c.running.Go, read: readLedger}
	return c
}

// start loads what is led here and runs what goes on beside requests, until close.
func (c *coordinator) start() {
	c.followLeadership()
	c.running.Go(c.keepTime)
	c.running.Go(c.followTopics)
	c.running.Go(c.forgetOutdated)
}

// close ends what start has begun. No request may be under way.
func (c *coordinator) close() {
	c.cancel()
	c.running.Wait()
}

// world is what a group of the consumer protocol asks.
func (c *coordinator) world(name string) consumerWorld {
	return consumerWorld{node: c.node, group: name, rules: c.rules}
}

func (c *coordinator) newShard(index int32) *shard {
	s := &shard{}
	s.ledger = newLedger(offsetsTopic, index, groupBook{c, s}, c.loads, c.logger)
	s.clear()
	return s
}

// clear forgets everything.
func (s *shard) clear() {
	s.offsets, s.pending = group.NewOffsets(), group.NewPending()
	s.stored, s.facts, s.groups = make(map[string][]byte), make(map[string]group.Facts), make(map[string]*liveGroup)
	s.live = 0
	s.groupBytes, s.storedBytes = 0, 0
}

func (c *coordinator) shard(index int32) *shard {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shards[index]
	if s == nil {
		s = c.newShard(index)
		c.shards[index] = s
	}
	return s
}

// within runs f on the shard of a group. f runs with mu held. Errors: NOT_COORDINATOR when another
// broker leads its partition, COORDINATOR_LOAD_IN_PROGRESS while that is being read or cannot be: to say that there
// is no such group would send its consumers back to the beginning.
func (c *coordinator) within(name string, f func(*shard)) error {
	t := c.node.Topic(offsetsTopic)
	if t == nil {
		f(c.newShard(0)) // there are no groups
		return nil
	}
	return c.on(t, coordinatedBy(name, t.NumPartitions()), f)
}

// on is within for a partition.
func (c *coordinator) on(t *cluster.Topic, index int32, f func(*shard)) error {
	s := c.shard(index)
	return s.on(t, func() { f(s) })
}

// each runs f on every shard that is coordinated here. Errors: COORDINATOR_LOAD_IN_PROGRESS
// when one of them cannot be read; f has seen the others.
func (c *coordinator) each(f func(*shard)) (err error) {
	t := c.node.Topic(offsetsTopic)
	if t == nil {
		return nil
	}
	for i := range int32(t.NumPartitions()) {
		if e := c.on(t, i, f); e != nil && !errors.Is(e, protocol.CodeNotCoordinator) {
			err = e
		}
	}
	return err
}

// names lists the groups of a shard, sorted.
func (s *shard) names() []string {
	names := slices.AppendSeq(s.offsets.Groups(), maps.Keys(s.groups))
	slices.Sort(names)
	return slices.Compact(names)
}

// has says whether there is such a group.
func (s *shard) has(name string) bool {
	return s.groups[name] != nil || s.offsets.Has(name) || s.pending.HasGroup(name)
}

// state is what a group does; one that has only committed offsets is empty.
func (s *shard) state(name string) (state group.State, protocolType string) {
	if g := s.groups[name]; g != nil {
		return g.State(), g.ProtocolType()
	}
	return group.Empty, ""
}

// account counts what a shard takes; it is called when that may have changed.
func (c *coordinator) account(s *shard) {
	is := shardSize{
		withOffsets: int64(s.offsets.Count() + s.pending.Count()), withMembers: int64(len(s.groups)),
		bytes: s.offsets.Bytes() + s.pending.Bytes() + s.groupBytes + s.storedBytes,
	}
	c.withOffsets.Add(is.withOffsets - s.size.withOffsets)
	c.withMembers.Add(is.withMembers - s.size.withMembers)
	c.bytes.Add(is.bytes - s.size.bytes)
	s.size = is
}

// coordinatedBy maps a group, or a transactional id, to a partition as Kafka does: Java's
// String.hashCode, made positive.
func coordinatedBy(name string, n int) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(name)) {
		h = 31*h + int32(unit)
	}
	return int32(int(h&0x7fffffff) % n)
}
