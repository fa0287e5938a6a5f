package config

import "math"

const (
	// BrokerDrained is the key by which a broker is drained.
	BrokerDrained = "broker.drained"
	// ThrottledRate is the key of what a broker sends to replicas that are behind.
	ThrottledRate = "leader.replication.throttled.rate"
	// FreeBytesMin is the key of what is to stay free of a disk.
	FreeBytesMin = "log.dir.free.bytes.min"
)

// brokerKeys are the broker keys that have an effect, those shared with topics (ScopeBoth) aside.
// Defaults are Kafka's except where the doc line says otherwise.
var brokerKeys = []Key{
	{Name: "node.id", Type: TypeInt, Scope: ScopeBroker, Default: "1", Valid: between{0, maxInt}, Doc: "Number of this broker; unique in its cluster."},
	{Name: "broker.id", Type: TypeInt, Scope: ScopeBroker, Null: true, Valid: between{0, maxInt}, Doc: "Older name of node.id."},
	{Name: "broker.rack", Type: TypeString, Scope: ScopeBroker, Null: true, Doc: "Rack or zone of this broker; replicas are spread over racks."},
	{Name: "cluster.id", Type: TypeString, Scope: ScopeBroker, Null: true, Doc: "Weir's own: cluster id used when the data directory is new (also the variable CLUSTER_ID); drawn at random when unset."},
	{Name: "log.dirs", Type: TypeList, Scope: ScopeBroker, Null: true, Doc: "Data directories, one for each disk. The first holds the votes and the controller's log too, and the broker ends with it; each of the others fails alone."},
	{Name: "log.dir", Type: TypeString, Scope: ScopeBroker, Default: "weir-data", Doc: "Data directories when log.dirs is unset. Kafka's default lies in the temporary folder."},
	{Name: FreeBytesMin, Type: TypeLong, Scope: ScopeBroker, Default: "-1", Valid: atLeast(-1), Dynamic: true, Doc: "Weir's own: bytes that are to stay free on the file system of each data directory. With fewer the broker takes no records for partitions that it leads, and hands them over to replicas with room where those are a majority; with less than a quarter of it its replicas store no records at all, nor what groups and transactions write. Either ends with a quarter of it more. -1 means 1 GiB, and at most 5 % of the file system; 0 means no mark."},

	{Name: "listeners", Type: TypeList, Scope: ScopeBroker, Default: "PLAINTEXT://127.0.0.1:9092", Doc: "Addresses to listen on, as NAME://host:port; an empty host means all. Kafka's default is all; here nothing is open to the network unless asked for."},
	{Name: "advertised.listeners", Type: TypeList, Scope: ScopeBroker, Null: true, Doc: "Addresses told to clients, one per listener; the listener's own when unset."},
	{Name: "listener.security.protocol.map", Type: TypeList, Scope: ScopeBroker, Null: true, Doc: "Protocol of each listener name, as NAME:PROTOCOL; only PLAINTEXT is served yet."},
	{Name: "peer.listener", Type: TypeString, Scope: ScopeBroker, Null: true, Doc: "Weir's own: host:port to listen on for other brokers of the cluster; a broker without it is alone."},
	{Name: "peer.advertised.listener", Type: TypeString, Scope: ScopeBroker, Null: true, Doc: "Weir's own: host:port that other brokers reach this one by; peer.listener when unset."},
	{Name: "peer.seeds", Type: TypeList, Scope: ScopeBroker, Null: true, Doc: "Weir's own: host:port of brokers whose cluster a new broker joins; one without seeds begins a cluster."},
	{Name: "admin.listener", Type: TypeString, Scope: ScopeBroker, Default: "127.0.0.1:9644", Doc: "Weir's own: host:port to serve metrics and health on, over HTTP; empty for nowhere. Where the default is taken by another process, a free port is used."},
	{Name: "metrics.partition.enable", Type: TypeBool, Scope: ScopeBroker, Default: "true", Doc: "Weir's own: whether metrics have series for each partition."},
	{Name: "broker.session.timeout.ms", Type: TypeInt, Scope: ScopeBroker, Default: "6000", Valid: between{1000, 3600000}, Doc: "Milliseconds without a sign of life after which a broker is fenced. Kafka's default is 9000."},
	{Name: "replica.lag.time.max.ms", Type: TypeLong, Scope: ScopeBroker, Default: "30000", Valid: between{100, 1 << 40}, Doc: "Milliseconds that a replica may be behind the leader's log and count as in sync."},
	{Name: ThrottledRate, Type: TypeLong, Scope: ScopeBroker, Default: "104857600", Valid: atLeast(1), Dynamic: true, Doc: "Bytes a second that this broker sends to replicas that are new or have been behind for seconds, of all partitions together; it must be above what is produced to them, or they never catch up. Kafka's default is no limit."},
	{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: TypeLong, Scope: ScopeBroker, Default: noLimit, Valid: atLeast(1), Dynamic: true, Doc: "Bytes a second that a broker copies of replicas that move from one of its data folders to another, of all together; it must be above what is produced to them, or they never get there."},
	{Name: "replica.selector.class", Type: TypeString, Scope: ScopeBroker, Null: true, Valid: replicaSelector{}, Doc: "Which replica a consumer with a rack reads from: the leader when unset, one in sync in its rack with org.apache.kafka.common.replica.RackAwareReplicaSelector."},
	{Name: "auto.leader.rebalance.enable", Type: TypeBool, Scope: ScopeBroker, Default: "true", Doc: "Whether leadership goes back to a partition's first replica when that is in sync again."},
	{Name: BrokerDrained, Type: TypeBool, Scope: ScopeBroker, Default: "false", Dynamic: true, ByRequest: true, Doc: "Weir's own: whether the broker gets no replicas and no leaderships; of one broker, set while it runs and kept by the controller."},
	{Name: "leader.imbalance.check.interval.seconds", Type: TypeLong, Scope: ScopeBroker, Default: "300", Valid: between{1, 1 << 30}, Doc: "Seconds between two looks for leadership to give back."},
	{Name: "controller.listener.names", Type: TypeList, Scope: ScopeBroker, Null: true, Doc: "Listeners of a KRaft controller; Weir drops them from listeners."},

	{Name: "authorizer.class.name", Type: TypeString, Scope: ScopeBroker, Default: "", Valid: authorizer{}, Doc: "What says who may do what: everybody may do everything when empty, the cluster's ACLs say it with org.apache.kafka.metadata.authorizer.StandardAuthorizer. The same on all brokers."},
	{Name: "super.users", Type: TypeString, Scope: ScopeBroker, Null: true, Valid: principals{}, Doc: "Principals that may do everything, whatever ACLs say, as Type:name;Type:name. Without authentication everybody is User:ANONYMOUS."},
	{Name: "allow.everyone.if.no.acl.found", Type: TypeBool, Scope: ScopeBroker, Default: "false", Doc: "Whether everybody may do everything with a resource that no ACL is about."},

	{Name: "socket.request.max.bytes", Type: TypeInt, Scope: ScopeBroker, Default: "104857600", Valid: between{1024, maxInt}, Doc: "Largest request in bytes."},
	{Name: "queued.max.request.bytes", Type: TypeLong, Scope: ScopeBroker, Default: "268435456", Valid: either{-1, between{1 << 20, 1 << 50}}, Doc: "Bytes of requests held in memory over all connections before reading stops; -1 means no limit (Kafka's default)."},
	{Name: "max.connections", Type: TypeInt, Scope: ScopeBroker, Default: "10000", Valid: between{0, maxInt}, Dynamic: true, Doc: "Connections served at a time. Kafka's default is unlimited."},
	{Name: "max.connections.per.ip", Type: TypeInt, Scope: ScopeBroker, Default: "2147483647", Valid: between{0, maxInt}, Dynamic: true, Doc: "Connections served at a time from one address."},
	{Name: "connections.max.idle.ms", Type: TypeLong, Scope: ScopeBroker, Default: "600000", Valid: atLeast(-1), Doc: "Milliseconds after which an idle connection is closed; -1 means never."},
	{Name: "quota.window.num", Type: TypeInt, Scope: ScopeBroker, Default: "11", Valid: between{1, 1 << 20}, Doc: "How many windows, less one, a client that was idle may be above its quotas for."},
	{Name: "quota.window.size.seconds", Type: TypeInt, Scope: ScopeBroker, Default: "1", Valid: between{1, 1 << 20}, Doc: "Seconds of such a window, and the longest that a client over its request_percentage waits at a time."},
	{Name: "fetch.max.bytes", Type: TypeInt, Scope: ScopeBroker, Default: "57671680", Valid: between{1024, maxInt}, Doc: "Largest fetch answer in bytes."},
	{Name: "max.incremental.fetch.session.cache.slots", Type: TypeInt, Scope: ScopeBroker, Default: "1000", Valid: between{0, maxInt}, Doc: "Fetch sessions kept."},
	{Name: "max.request.partition.size.limit", Type: TypeInt, Scope: ScopeBroker, Default: "2000", Valid: between{1, maxInt}, Doc: "Partitions in one DescribeTopicPartitions answer."},

	{Name: "auto.create.topics.enable", Type: TypeBool, Scope: ScopeBroker, Default: "false", Doc: "Whether asking for an unknown topic creates it. Kafka's default is true: there a mistyped name becomes a topic."},
	{Name: "delete.topic.enable", Type: TypeBool, Scope: ScopeBroker, Default: "true", Doc: "Whether topics can be deleted."},
	{Name: "num.partitions", Type: TypeInt, Scope: ScopeBroker, Default: "1", Valid: between{1, maxInt}, Dynamic: true, Doc: "Partitions of a new topic when the request names none."},
	{Name: "default.replication.factor", Type: TypeInt, Scope: ScopeBroker, Default: "1", Valid: between{1, 32767}, Dynamic: true, Doc: "Replicas of a new topic when the request names none."},
	{Name: "max.partitions", Type: TypeInt, Scope: ScopeBroker, Default: "20000", Valid: between{1, 1_000_000}, Doc: "Weir's own: partitions the cluster takes at most, over all topics."},

	{Name: "message.max.bytes", Type: TypeInt, Scope: ScopeBroker, Default: "1048588", Valid: between{0, maxInt}, Dynamic: true, Doc: "Default of max.message.bytes, in bytes."},
	{Name: "max.decompressed.batch.bytes", Type: TypeInt, Scope: ScopeBroker, Default: "67108864", Valid: between{1 << 20, maxInt}, Doc: "Weir's own: bytes a compressed batch may decode to while it is checked."},
	{Name: "log.segment.bytes", Type: TypeInt, Scope: ScopeBroker, Default: "1073741824", Valid: between{14, maxInt}, Dynamic: true, Doc: "Default of segment.bytes, in bytes."},
	{Name: "log.roll.ms", Type: TypeLong, Scope: ScopeBroker, Null: true, Valid: atLeast(1), Dynamic: true, Doc: "Default of segment.ms, in milliseconds."},
	{Name: "log.roll.hours", Type: TypeInt, Scope: ScopeBroker, Default: "168", Valid: between{1, maxInt}, Doc: "Default of segment.ms, in hours."},
	{Name: "log.roll.jitter.ms", Type: TypeLong, Scope: ScopeBroker, Null: true, Valid: atLeast(0), Dynamic: true, Doc: "Default of segment.jitter.ms, in milliseconds."},
	{Name: "log.roll.jitter.hours", Type: TypeInt, Scope: ScopeBroker, Default: "0", Valid: between{0, maxInt}, Doc: "Default of segment.jitter.ms, in hours."},
	{Name: "log.retention.ms", Type: TypeLong, Scope: ScopeBroker, Null: true, Valid: atLeast(-1), Dynamic: true, Doc: "Default of retention.ms, in milliseconds."},
	{Name: "log.retention.minutes", Type: TypeInt, Scope: ScopeBroker, Null: true, Valid: between{-1, maxInt}, Doc: "Default of retention.ms, in minutes."},
	{Name: "log.retention.hours", Type: TypeInt, Scope: ScopeBroker, Default: "168", Valid: between{-1, maxInt}, Doc: "Default of retention.ms, in hours."},
	{Name: "log.retention.bytes", Type: TypeLong, Scope: ScopeBroker, Default: "-1", Valid: atLeast(-1), Dynamic: true, Doc: "Default of retention.bytes, in bytes."},
	{Name: "log.retention.check.interval.ms", Type: TypeLong, Scope: ScopeBroker, Default: "300000", Valid: atLeast(1), Doc: "Milliseconds between two looks for segments to delete."},
	{Name: "log.write.timeout.ms", Type: TypeLong, Scope: ScopeBroker, Default: "10000", Valid: between{100, 1 << 40}, Doc: "Weir's own: milliseconds after which a disk that has not come back from a write or a sync counts as hung; the replica leaves its group until it does."},
	{Name: "log.index.interval.bytes", Type: TypeInt, Scope: ScopeBroker, Default: "4096", Valid: between{0, maxInt}, Dynamic: true, Doc: "Default of index.interval.bytes, in bytes."},
	{Name: "log.flush.interval.messages", Type: TypeLong, Scope: ScopeBroker, Default: noLimit, Valid: atLeast(1), Dynamic: true, Doc: "Default of flush.messages, in records."},
	{Name: "log.flush.interval.ms", Type: TypeLong, Scope: ScopeBroker, Null: true, Valid: atLeast(0), Dynamic: true, Doc: "Default of flush.ms, in milliseconds."},
	{Name: "log.message.timestamp.type", Type: TypeString, Scope: ScopeBroker, Default: "CreateTime", Valid: oneOf{"CreateTime", "LogAppendTime"}, Dynamic: true, Doc: "Default of message.timestamp.type."},
	{Name: "log.message.timestamp.before.max.ms", Type: TypeLong, Scope: ScopeBroker, Default: noLimit, Valid: atLeast(0), Dynamic: true, Doc: "Default of message.timestamp.before.max.ms, in milliseconds."},
	{Name: "log.message.timestamp.after.max.ms", Type: TypeLong, Scope: ScopeBroker, Default: "3600000", Valid: atLeast(0), Dynamic: true, Doc: "Default of message.timestamp.after.max.ms, in milliseconds."},
	{Name: "log.cleanup.policy", Type: TypeList, Scope: ScopeBroker, Default: "delete", Valid: subsetOf{"compact", "delete"}, Dynamic: true, Doc: "Default of cleanup.policy."},
	{Name: "log.cleaner.threads", Type: TypeInt, Scope: ScopeBroker, Default: "1", Valid: between{1, 1000}, Dynamic: true, Doc: "Partitions that a broker compacts at a time."},
	{Name: "log.cleaner.dedupe.buffer.size", Type: TypeLong, Scope: ScopeBroker, Default: "134217728", Valid: between{1 << 20, 1 << 40}, Dynamic: true, Doc: "Bytes of memory for the keys of all partitions that are compacted at a time, 1 MiB to 2 GiB of it for each; a key takes 18. A pass that meets more keys ends early, and the next one goes on."},
	{Name: "log.cleaner.io.max.bytes.per.second", Type: TypeDouble, Scope: ScopeBroker, Default: "1.7976931348623157E308", Valid: ratio{1, math.MaxFloat64}, Dynamic: true, Doc: "Bytes a second that a broker reads and writes for compaction, of all partitions together."},
	{Name: "log.cleaner.backoff.ms", Type: TypeLong, Scope: ScopeBroker, Default: "15000", Valid: between{1, 1 << 40}, Dynamic: true, Doc: "Milliseconds between two looks for partitions to compact."},
	{Name: "log.cleaner.delete.retention.ms", Type: TypeLong, Scope: ScopeBroker, Default: "86400000", Valid: atLeast(0), Dynamic: true, Doc: "Default of delete.retention.ms, in milliseconds."},
	{Name: "log.cleaner.min.compaction.lag.ms", Type: TypeLong, Scope: ScopeBroker, Default: "0", Valid: atLeast(0), Dynamic: true, Doc: "Default of min.compaction.lag.ms, in milliseconds."},
	{Name: "log.cleaner.max.compaction.lag.ms", Type: TypeLong, Scope: ScopeBroker, Default: noLimit, Valid: atLeast(1), Dynamic: true, Doc: "Default of max.compaction.lag.ms, in milliseconds."},
	{Name: "log.cleaner.min.cleanable.ratio", Type: TypeDouble, Scope: ScopeBroker, Default: "0.5", Valid: ratio{0, 1}, Dynamic: true, Doc: "Default of min.cleanable.dirty.ratio."},

	{Name: "producer.id.expiration.ms", Type: TypeInt, Scope: ScopeBroker, Default: "86400000", Valid: between{1, maxInt}, Dynamic: true, Doc: "Milliseconds after which an idle producer's sequence state is forgotten."},
	{Name: "max.producer.ids.per.partition", Type: TypeInt, Scope: ScopeBroker, Default: "10000", Valid: between{1, 200_000}, Doc: "Weir's own: producers whose sequence state a partition keeps; the one idle longest goes first."},
	{Name: "offset.metadata.max.bytes", Type: TypeInt, Scope: ScopeBroker, Default: "4096", Valid: between{0, maxInt}, Doc: "Largest metadata in bytes beside a committed offset."},
	{Name: "offsets.retention.minutes", Type: TypeInt, Scope: ScopeBroker, Default: "10080", Valid: between{1, maxInt}, Doc: "Minutes the offsets of an empty group are kept."},
	{Name: "offsets.topic.num.partitions", Type: TypeInt, Scope: ScopeBroker, Default: "50", Valid: between{1, 1000}, Doc: "Partitions of __consumer_offsets."},
	{Name: "group.initial.rebalance.delay.ms", Type: TypeInt, Scope: ScopeBroker, Default: "3000", Valid: between{0, maxInt}, Doc: "Milliseconds a new group waits for more members."},
	{Name: "group.min.session.timeout.ms", Type: TypeInt, Scope: ScopeBroker, Default: "6000", Valid: between{0, maxInt}, Doc: "Smallest session timeout in milliseconds a member may ask for."},
	{Name: "group.max.session.timeout.ms", Type: TypeInt, Scope: ScopeBroker, Default: "1800000", Valid: between{0, maxInt}, Doc: "Largest session timeout in milliseconds a member may ask for."},
	{Name: "group.max.size", Type: TypeInt, Scope: ScopeBroker, Default: "1000", Valid: between{1, maxInt}, Doc: "Members of one group. Kafka's default is unlimited."},
	{Name: "group.consumer.heartbeat.interval.ms", Type: TypeInt, Scope: ScopeBroker, Default: "5000", Valid: between{1, maxInt}, Dynamic: true, Doc: "Milliseconds between two heartbeats of a member of the consumer protocol, brought between the two below."},
	{Name: "group.consumer.min.heartbeat.interval.ms", Type: TypeInt, Scope: ScopeBroker, Default: "5000", Valid: between{1, maxInt}, Doc: "Smallest value of group.consumer.heartbeat.interval.ms."},
	{Name: "group.consumer.max.heartbeat.interval.ms", Type: TypeInt, Scope: ScopeBroker, Default: "15000", Valid: between{1, maxInt}, Doc: "Largest value of group.consumer.heartbeat.interval.ms."},
	{Name: "group.consumer.session.timeout.ms", Type: TypeInt, Scope: ScopeBroker, Default: "45000", Valid: between{1, maxInt}, Dynamic: true, Doc: "Milliseconds after which a member of the consumer protocol that is not heard from counts as gone, brought between the two below."},
	{Name: "group.consumer.min.session.timeout.ms", Type: TypeInt, Scope: ScopeBroker, Default: "45000", Valid: between{1, maxInt}, Doc: "Smallest value of group.consumer.session.timeout.ms."},
	{Name: "group.consumer.max.session.timeout.ms", Type: TypeInt, Scope: ScopeBroker, Default: "60000", Valid: between{1, maxInt}, Doc: "Largest value of group.consumer.session.timeout.ms."},
	{Name: "group.consumer.max.size", Type: TypeInt, Scope: ScopeBroker, Default: "1000", Valid: between{1, maxInt}, Dynamic: true, Doc: "Members of one group of the consumer protocol. Kafka's default is unlimited."},
	{Name: "group.consumer.assignors", Type: TypeList, Scope: ScopeBroker, Default: "uniform,range", Valid: subsetOf{"uniform", "range"}, Dynamic: true, Doc: "How partitions may be shared out in groups of the consumer protocol; the first is the default. Other assignors cannot be loaded."},
	{Name: "group.consumer.migration.policy", Type: TypeString, Scope: ScopeBroker, Default: "bidirectional", Valid: oneOf{"bidirectional", "upgrade", "downgrade", "disabled"}, Dynamic: true, Doc: "Whether a group that has members may change from the classic protocol to the consumer protocol (upgrade) and back (downgrade)."},
	{Name: "transaction.max.timeout.ms", Type: TypeInt, Scope: ScopeBroker, Default: "900000", Valid: between{1, maxInt}, Doc: "Largest transaction timeout in milliseconds a producer may ask for."},
	{Name: "transactional.id.expiration.ms", Type: TypeInt, Scope: ScopeBroker, Default: "604800000", Valid: between{1, maxInt}, Doc: "Milliseconds after which an idle transactional id is forgotten."},
	{Name: "transaction.state.log.num.partitions", Type: TypeInt, Scope: ScopeBroker, Default: "50", Valid: between{1, 1000}, Doc: "Partitions of __transaction_state."},
}
