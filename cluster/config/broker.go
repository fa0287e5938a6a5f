package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Broker holds the values that one broker runs with. Build it with Load, New or DefaultBroker
// and derive others with With; the fields mirror the settings it keeps for Describe, so they are
// read and not written.
type Broker struct {
	NodeID    int32
	ClusterID string // used when the data directory is new; empty: drawn at random
	Rack      string

	DataDir      string   // holds who the broker is, the controller's log and the votes, and partitions
	MoreDataDirs []string // each holds partitions only, and fails alone

	Listeners  []Listener
	Advertised []Listener // one per listener, in the same order; port 0 means "the port that was bound"

	Peers     Peers
	Admin     Admin
	Leaders   Leaders
	Access    Access
	Network   Network
	Creation  Creation
	Producers Producers
	Groups    Groups
	Cleaner   Cleaner

	MoveRate                  int64 // bytes a second that replicas are copied with from data folder to data folder
	RetentionCheckInterval    time.Duration
	WriteTimeout              time.Duration // a disk that takes longer hangs
	FreeBytesMin              int64         // that are to stay free of the disk; -1: the default, which its size decides
	MaxDecompressedBatchBytes int           // a compressed batch may decode to this much while it is checked

	Topic Topic // what a topic without overrides runs with

	settings settings
}

// Peers is how brokers of a cluster find and judge each other.
type Peers struct {
	Listener       *Listener     // nil: this broker is alone
	Advertised     *Listener     // host empty or port 0: as bound
	Seeds          []string      // host:port
	SessionTimeout time.Duration // of silence, until a broker is fenced
	ReplicaLag     time.Duration // that a replica in sync may be behind
	ThrottledRate  int64         // bytes a second to replicas that are behind
}

// Admin is where metrics and health are served.
type Admin struct {
	Listener         *Listener // nil: nowhere
	Chosen           bool      // somebody has set it; else another port will do
	PartitionMetrics bool      // there are series for each partition
}

// Leaders says how partitions are led and read.
type Leaders struct {
	Rebalance         bool          // leadership goes back to the preferred replica
	RebalanceInterval time.Duration // between two looks
	RackAware         bool          // consumers are sent to a replica in their rack
	Drained           bool          // this broker is to lead nothing
}

// Access is who may do what.
type Access struct {
	ByACLs        bool     // the cluster's ACLs say it; else everybody may do everything
	SuperUsers    []string // principals, as Type:name, that may do everything
	AllowEveryone bool     // as may everybody with what no ACL is about
}

// Network bounds what connections and requests may take.
type Network struct {
	RequestMaxBytes       int           // one request frame
	QueuedMaxRequestBytes int64         // all requests in memory; -1: no limit
	MaxConnections        int           // at a time
	MaxConnectionsPerIP   int           // at a time
	MaxIdle               time.Duration // 0: never closed for idling
	FetchMaxBytes         int           // one fetch answer
	FetchSessions         int
	MaxDescribePartitions int           // partitions in one DescribeTopicPartitions answer
	QuotaWindows          int           // one more than those that a client may be above its quotas for
	QuotaWindow           time.Duration // the length of one
}

// Creation says how topics come and go.
type Creation struct {
	AutoCreate               bool
	DeleteAllowed            bool
	NumPartitions            int32
	DefaultReplicationFactor int16
	MaxPartitions            int // over all topics of the cluster
}

// Producers bounds what is kept about producers and their transactions.
type Producers struct {
	IDExpiration               time.Duration
	MaxIDsPerPartition         int
	TransactionMaxTimeout      time.Duration
	TransactionalIDExpiration  time.Duration
	TransactionStatePartitions int32
}

// Cleaner is how topics are compacted.
type Cleaner struct {
	Threads     int           // partitions at a time
	BufferBytes int64         // memory for keys, of all of them together
	Rate        float64       // bytes a second that are read and written
	Backoff     time.Duration // between two looks
}

// Groups bounds consumer groups and their offsets.
type Groups struct {
	OffsetMetadataMaxBytes int
	OffsetsRetention       time.Duration
	OffsetsPartitions      int32
	InitialRebalanceDelay  time.Duration
	MinSessionTimeout      time.Duration
	MaxSessionTimeout      time.Duration
	MaxSize                int // members of one group
	Consumer               ConsumerGroups
}

// ConsumerGroups bounds groups of the consumer protocol (KIP-848).
type ConsumerGroups struct {
	HeartbeatInterval time.Duration
	SessionTimeout    time.Duration
	MaxSize           int      // members of one group
	Assignors         []string // the first is the default
	Upgrade           bool     // groups with members may change from the classic protocol
	Downgrade         bool     // and back
}

// DefaultBroker returns what a broker with no settings runs with.
func DefaultBroker() *Broker {
	b, err := build(settings{})
	if err != nil {
		panic("config: the defaults of the key table do not form a broker: " + err.Error())
	}
	return b
}

// New returns a broker with values given by name, as if by flags.
func New(values map[string]string) (*Broker, error) {
	var flags []Entry
	for _, name := range sortedNames(values) {
		flags = append(flags, Entry{Name: name, Value: values[name]})
	}
	b, _, err := Load(Sources{Flags: flags})
	return b, err
}

// With returns the broker with the dynamic values that the cluster has stored: cluster for all
// brokers, node for this one. The receiver is left alone.
func (b *Broker) With(cluster, node map[string]string) (*Broker, error) {
	s := b.settings
	s.cluster, s.node = cluster, node
	return build(s)
}

func build(s settings) (*Broker, error) {
	r := &reader{value: s.broker}
	b := &Broker{
		NodeID:    int32(r.long("node.id")),
		ClusterID: r.str("cluster.id"),
		Rack:      r.str("broker.rack"),
		Peers: Peers{
			Seeds:          r.list("peer.seeds"),
			SessionTimeout: r.millis("broker.session.timeout.ms"),
			ReplicaLag:     r.millis("replica.lag.time.max.ms"),
			ThrottledRate:  r.long(ThrottledRate),
		},
		Leaders: Leaders{
			Rebalance:         r.bool("auto.leader.rebalance.enable"),
			RebalanceInterval: time.Duration(r.long("leader.imbalance.check.interval.seconds")) * time.Second,
			RackAware:         isRackAware(r.str("replica.selector.class")),
			Drained:           r.bool(BrokerDrained),
		},
		Access: Access{
			ByACLs:        r.str("authorizer.class.name") != "",
			SuperUsers:    splitPrincipals(r.str("super.users")),
			AllowEveryone: r.bool("allow.everyone.if.no.acl.found"),
		},
		Network: Network{
			RequestMaxBytes:       r.int("socket.request.max.bytes"),
			QueuedMaxRequestBytes: r.long("queued.max.request.bytes"),
			MaxConnections:        r.int("max.connections"),
			MaxConnectionsPerIP:   r.int("max.connections.per.ip"),
			MaxIdle:               r.millis("connections.max.idle.ms"),
			FetchMaxBytes:         r.int("fetch.max.bytes"),
			FetchSessions:         r.int("max.incremental.fetch.session.cache.slots"),
			MaxDescribePartitions: r.int("max.request.partition.size.limit"),
			QuotaWindows:          r.int("quota.window.num"),
			QuotaWindow:           time.Duration(r.long("quota.window.size.seconds")) * time.Second,
		},
		Creation: Creation{
			AutoCreate:               r.bool("auto.create.topics.enable"),
			DeleteAllowed:            r.bool("delete.topic.enable"),
			NumPartitions:            int32(r.long("num.partitions")),
			DefaultReplicationFactor: int16(r.long("default.replication.factor")),
			MaxPartitions:            r.int("max.partitions"),
		},
		Producers: Producers{
			IDExpiration:               r.millis("producer.id.expiration.ms"),
			MaxIDsPerPartition:         r.int("max.producer.ids.per.partition"),
			TransactionMaxTimeout:      r.millis("transaction.max.timeout.ms"),
			TransactionalIDExpiration:  r.millis("transactional.id.expiration.ms"),
			TransactionStatePartitions: int32(r.long("transaction.state.log.num.partitions")),
		},
		Groups: Groups{
			OffsetMetadataMaxBytes: r.int("offset.metadata.max.bytes"),
			OffsetsRetention:       time.Duration(r.long("offsets.retention.minutes")) * time.Minute,
			OffsetsPartitions:      int32(r.long("offsets.topic.num.partitions")),
			InitialRebalanceDelay:  r.millis("group.initial.rebalance.delay.ms"),
			MinSessionTimeout:      r.millis("group.min.session.timeout.ms"),
			MaxSessionTimeout:      r.millis("group.max.session.timeout.ms"),
			MaxSize:                r.int("group.max.size"),
			Consumer:               consumerGroups(r),
		},
		Cleaner: Cleaner{
			Threads:     r.int("log.cleaner.threads"),
			BufferBytes: r.long("log.cleaner.dedupe.buffer.size"),
			Rate:        r.double("log.cleaner.io.max.bytes.per.second"),
			Backoff:     r.millis("log.cleaner.backoff.ms"),
		},
		MoveRate:                  r.long("replica.alter.log.dirs.io.max.bytes.per.second"),
		RetentionCheckInterval:    r.millis("log.retention.check.interval.ms"),
		WriteTimeout:              r.millis("log.write.timeout.ms"),
		FreeBytesMin:              r.long(FreeBytesMin),
		MaxDecompressedBatchBytes: r.int("max.decompressed.batch.bytes"),
		settings:                  s,
	}
	if id, ok := s.explicit("broker.id"); ok {
		if _, both := s.explicit("node.id"); !both {
			b.NodeID = int32((&reader{value: func(*Key) (Setting, bool) { return id, true }}).long("broker.id"))
		}
	}
	b.setDataDirs(r)
	topic, err := resolveTopic(nil, s)
	if err = errors.Join(r.err, err); err != nil {
		return nil, err
	}
	b.Topic = *topic
	if err := b.setPeers(r); err != nil {
		return nil, err
	}
	b.Admin.PartitionMetrics = r.bool("metrics.partition.enable")
	_, b.Admin.Chosen = s.explicit("admin.listener")
	if b.Admin.Listener, err = hostPort(r, "admin.listener"); err != nil {
		return nil, err
	}
	if err := b.setListeners(r, s.hostname); err != nil {
		return nil, err
	}
	return b, b.Validate()
}

func consumerGroups(r *reader) ConsumerGroups {
	policy := r.str("group.consumer.migration.policy")
	return ConsumerGroups{
		HeartbeatInterval: r.within("group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
		SessionTimeout:    r.within("group.consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
		MaxSize:           r.int("group.consumer.max.size"),
		Assignors:         r.list("group.consumer.assignors"),
		Upgrade:           policy == "bidirectional" || policy == "upgrade",
		Downgrade:         policy == "bidirectional" || policy == "downgrade",
	}
}

// Validate checks what the key table cannot: values that must fit one another. It is called by
// every constructor.
func (b *Broker) Validate() error {
	var errs []error
	if b.Groups.MinSessionTimeout > b.Groups.MaxSessionTimeout {
		errs = append(errs, &InvalidValueError{Key: "group.min.session.timeout.ms",
			Value: fmt.Sprint(b.Groups.MinSessionTimeout.Milliseconds()), Allowed: "at most group.max.session.timeout.ms"})
	}
	if b.Topic.Compaction.MinLagMillis > b.Topic.Compaction.MaxLagMillis {
		errs = append(errs, &InvalidValueError{Key: "log.cleaner.min.compaction.lag.ms",
			Value: fmt.Sprint(b.Topic.Compaction.MinLagMillis), Allowed: "at most log.cleaner.max.compaction.lag.ms"})
	}
	if c := b.Cleaner; c.BufferBytes/int64(c.Threads) < 1<<20 {
		errs = append(errs, &InvalidValueError{Key: "log.cleaner.dedupe.buffer.size", Value: fmt.Sprint(c.BufferBytes),
			Allowed: fmt.Sprintf("at least 1 MiB for each of log.cleaner.threads (%d)", c.Threads)})
	}
	if b.Topic.MaxMessageBytes > b.Network.RequestMaxBytes {
		errs = append(errs, &InvalidValueError{Key: "message.max.bytes", Value: fmt.Sprint(b.Topic.MaxMessageBytes),
			Allowed: fmt.Sprintf("at most socket.request.max.bytes (%d)", b.Network.RequestMaxBytes)})
	}
	if len(b.Listeners) == 0 {
		errs = append(errs, errors.New("listeners: at least one listener is needed"))
	}
	return errors.Join(errs...)
}

// maxDataDirs bounds log.dirs: each has goroutines that sync.
const maxDataDirs = 64

// setDataDirs reads log.dirs. None may lie within another: what is one's topic would be another's rubbish.
func (b *Broker) setDataDirs(r *reader) {
	key := "log.dirs"
	dirs := r.list(key)
	if len(dirs) == 0 {
		key = "log.dir"
		dirs = r.list(key)
	}
	if len(dirs) == 0 || len(dirs) > maxDataDirs {
		r.fail(key, fmt.Sprintf("1 to %d data directories expected, got %d", maxDataDirs, len(dirs)))
		return
	}
	for i, dir := range dirs {
		for _, other := range dirs[:i] {
			if within(dir, other) || within(other, dir) {
				r.fail(key, fmt.Sprintf("%s and %s lie one within the other", other, dir))
			}
		}
	}
	b.DataDir, b.MoreDataDirs = dirs[0], dirs[1:]
}

// within says whether a path is another one or lies below it.
func within(path, of string) bool {
	rel, err := filepath.Rel(of, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
