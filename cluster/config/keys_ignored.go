package config

const (
	whyKRaft             = "Weir runs its own Raft controller inside each broker"
	whyZooKeeper         = "Weir has no ZooKeeper"
	whyThreads           = "Weir has no thread pools to size"
	whyReplicas          = "internal topics are replicated automatically"
	whyRaftCopies        = "partitions are replicated by Raft, not by fetching followers"
	whySecurity          = "encryption and authentication are not served yet"
	whyMetrics           = "Weir has its own metrics"
	whyQuota             = "quotas of clients are set by request (weir quota set), and others are not served"
	whyCleaner           = "compaction is always there, for topics that ask for it, and reads in pieces of a fixed size"
	whyTiered            = "tiered storage is not served yet"
	whyLocalIsAll        = "without tiered storage, which is not served yet, all that is kept is local: retention.ms and retention.bytes hold, as in Kafka"
	whyDeletedAtOnce     = "files go at once, since readers keep those open that they are reading"
	whyGroups            = "Weir uses fixed values for this"
	whyLeadersThrottle   = "leaders throttle what they send (leader.replication.throttled.rate)"
	whyThrottledReplicas = "replicas that are behind are throttled, named or not (leader.replication.throttled.rate)"
	whySockets           = "the operating system's own buffer sizes are used"
	whyRemoved           = "Kafka itself has removed it"
)

// ignoredKeys are Kafka's broker keys that mean nothing here; a pasted configuration may hold
// them. Each found costs one warning line.
var ignoredKeys = ignored(map[string][]string{
	whyKRaft: {"process.roles", "controller.quorum.voters", "controller.quorum.bootstrap.servers", "controller.quorum.election.timeout.ms",
		"controller.quorum.election.backoff.max.ms", "controller.quorum.fetch.timeout.ms", "controller.quorum.append.linger.ms",
		"controller.quorum.request.timeout.ms", "controller.quorum.retry.backoff.ms", "controller.quorum.auto.join.enable",
		"controller.socket.timeout.ms", "controller.performance.sample.period.ms", "controller.performance.always.log.threshold.ms",
		"metadata.log.dir", "metadata.log.max.record.bytes.between.snapshots", "metadata.log.max.snapshot.interval.ms",
		"metadata.log.segment.bytes", "metadata.log.segment.ms", "metadata.max.idle.interval.ms", "metadata.max.retention.bytes",
		"metadata.max.retention.ms", "initial.broker.registration.timeout.ms", "broker.heartbeat.interval.ms",
		"controlled.shutdown.enable", "controlled.shutdown.max.retries", "controlled.shutdown.retry.backoff.ms",
		"unstable.api.versions.enable", "unstable.feature.versions.enable", "server.max.startup.time.ms", "early.start.listeners",
		"leader.imbalance.per.broker.percentage"},
	whyZooKeeper: {"zookeeper.connect", "zookeeper.connection.timeout.ms", "zookeeper.session.timeout.ms", "zookeeper.max.in.flight.requests",
		"zookeeper.set.acl", "zookeeper.clientcnxnsocket", "zookeeper.ssl.client.enable", "zookeeper.metadata.migration.enable",
		"broker.id.generation.enable", "reserved.broker.max.id"},
	whyThreads: {"num.network.threads", "num.io.threads", "background.threads", "num.recovery.threads.per.data.dir", "num.replica.fetchers",
		"num.replica.alter.log.dirs.threads", "queued.max.requests", "group.coordinator.threads", "share.coordinator.threads",
		"connection.failed.authentication.delay.ms", "request.timeout.ms"},
	whyReplicas: {"offsets.topic.replication.factor", "offsets.topic.segment.bytes", "offsets.topic.compression.codec", "offsets.load.buffer.size",
		"offsets.commit.timeout.ms", "offsets.commit.required.acks", "offsets.retention.check.interval.ms",
		"transaction.state.log.replication.factor", "transaction.state.log.min.isr", "transaction.state.log.segment.bytes",
		"transaction.state.log.load.buffer.size", "share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr",
		"share.coordinator.state.topic.num.partitions", "share.coordinator.state.topic.segment.bytes"},
	whyRaftCopies: {"replica.fetch.max.bytes", "replica.fetch.min.bytes", "replica.fetch.wait.max.ms",
		"replica.fetch.backoff.ms", "replica.fetch.response.max.bytes", "replica.socket.receive.buffer.bytes", "replica.socket.timeout.ms",
		"replica.high.watermark.checkpoint.interval.ms", "fetch.purgatory.purge.interval.requests",
		"producer.purgatory.purge.interval.requests", "delete.records.purgatory.purge.interval.requests",
		"inter.broker.listener.name", "inter.broker.protocol.version", "security.inter.broker.protocol", "log.dir.failure.timeout.ms",
		"eligible.leader.replicas.enable"},
	whyLeadersThrottle: {"follower.replication.throttled.rate"},
	whySecurity: {"principal.builder.class", "max.connection.creation.rate",
		"connections.max.reauth.ms", "security.providers", "delegation.token.master.key", "delegation.token.secret.key",
		"delegation.token.max.lifetime.ms", "delegation.token.expiry.time.ms", "delegation.token.expiry.check.interval.ms",
		"password.encoder.secret", "password.encoder.old.secret"},
	whyMetrics: {"metric.reporters", "metrics.num.samples", "metrics.sample.window.ms", "metrics.recording.level", "auto.include.jmx.reporter",
		"kafka.metrics.reporters", "kafka.metrics.polling.interval.secs", "telemetry.max.bytes", "log.dirs.metrics"},
	whyQuota: {"replication.quota.window.num", "replication.quota.window.size.seconds",
		"alter.log.dirs.replication.quota.window.num", "alter.log.dirs.replication.quota.window.size.seconds",
		"controller.quota.window.num", "controller.quota.window.size.seconds", "client.quota.callback.class",
		"quota.producer.default", "quota.consumer.default", "max.connections.per.ip.overrides"},
	whyCleaner: {"log.cleaner.enable", "log.cleaner.io.buffer.size", "log.cleaner.io.buffer.load.factor"},
	whyTiered:  {"remote.log.storage.system.enable", "remote.log.storage.manager.class.name", "remote.log.metadata.manager.class.name"},
	whyGroups: {"group.coordinator.append.linger.ms", "group.coordinator.rebalance.protocols", "group.coordinator.new.enable",
		"group.share.enable", "group.share.session.timeout.ms", "group.share.heartbeat.interval.ms", "group.share.max.size",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms", "transaction.remove.expired.transaction.cleanup.interval.ms",
		"transaction.partition.verification.enable", "transaction.two.phase.commit.enable", "producer.id.expiration.check.interval.ms",
		"create.topic.policy.class.name", "alter.config.policy.class.name", "compression.snappy.level", "auto.offset.reset",
		"confluent.support.metrics.enable", "confluent.support.customer.id"},
	whySockets: {"socket.send.buffer.bytes", "socket.receive.buffer.bytes", "socket.listen.backlog.size"},
	whyRemoved: {"log.message.format.version", "log.message.downconversion.enable", "log.message.timestamp.difference.max.ms",
		"advertised.host.name", "advertised.port", "host.name", "port"},
	whyLocalIsAll:                                        {"log.local.retention.ms", "log.local.retention.bytes"},
	whyDeletedAtOnce:                                     {"log.segment.delete.delay.ms"},
	"indexes grow with their segment":                    {"log.index.size.max.bytes"},
	"segments are always preallocated":                   {"log.preallocate"},
	"syncs run when they are due, not by a scheduler":    {"log.flush.scheduler.interval.ms"},
	"Weir keeps its recovery points beside each segment": {"log.flush.offset.checkpoint.interval.ms", "log.flush.start.offset.checkpoint.interval.ms"},
	"a partition's first segment is written as it grows": {"log.initial.task.delay.ms"},
})

// ignoredPrefixes are families of names that are open-ended in Kafka.
var ignoredPrefixes = []struct{ prefix, why string }{
	{"log4j", "Weir logs to stderr and has no log4j"},
	{"ssl.", whySecurity},
	{"sasl.", whySecurity},
	{"listener.name.", whySecurity},
	{"zookeeper.ssl.", whyZooKeeper},
	{"password.encoder.", whySecurity},
	{"remote.log.", whyTiered},
	{"rsm.config.", whyTiered},
	{"rlmm.config.", whyTiered},
	{"group.share.", whyGroups},
	{"group.streams.", whyGroups},
	{"share.coordinator.", whyGroups},
	{"confluent.", "it belongs to another product"},
}

func ignored(reasons map[string][]string) []Key {
	var keys []Key
	for why, names := range reasons {
		for _, name := range names {
			keys = append(keys, Key{Name: name, Type: TypeString, Scope: ScopeBroker, Status: Ignored, Null: true, Why: why,
				Doc: "Kafka's own.", Sensitive: isSecretName(name)})
		}
	}
	return keys
}
