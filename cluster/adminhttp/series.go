package adminhttp

import "github.com/prometheus/client_golang/prometheus"

// What is served, in one table. Names end in the unit, or count things. The kafka_* series are those of
// kafka_exporter; each of their values is served by one broker of the cluster only, so that a sum over all
// brokers is right. The weir_* series are of the broker that is asked.
var (
	// By the controller's leader.
	kafkaBrokers         = desc("kafka_brokers", "Brokers of the cluster that the controller hears.")
	kafkaBrokerInfo      = desc("kafka_broker_info", "Brokers of the cluster; always 1.", "id", "address")
	kafkaTopicPartitions = desc("kafka_topic_partitions", "Partitions of the topic.", "topic")
	weirLeaderless       = desc("weir_cluster_partitions_leaderless", "Partitions of the cluster that have no leader.")

	// By the partition's leader.
	kafkaCurrent   = ofPartitions("kafka_topic_partition_current_offset", "High watermark of the partition.", "topic", "partition")
	kafkaOldest    = ofPartitions("kafka_topic_partition_oldest_offset", "Log start offset of the partition.", "topic", "partition")
	kafkaLeader    = ofPartitions("kafka_topic_partition_leader", "Broker that leads the partition.", "topic", "partition")
	kafkaReplicas  = ofPartitions("kafka_topic_partition_replicas", "Replicas of the partition.", "topic", "partition")
	kafkaInSync    = ofPartitions("kafka_topic_partition_in_sync_replica", "Replicas of the partition that are in sync.", "topic", "partition")
	kafkaPreferred = ofPartitions("kafka_topic_partition_leader_is_preferred", "1 where the preferred replica leads.", "topic", "partition")
	kafkaUnder     = ofPartitions("kafka_topic_partition_under_replicated_partition", "1 where a replica is not in sync.", "topic", "partition")

	// By the group's coordinator.
	kafkaMembers    = desc("kafka_consumergroup_members", "Members of the group.", "consumergroup")
	kafkaCommitted  = ofPartitions("kafka_consumergroup_current_offset", "Offset that the group has committed.", "consumergroup", "topic", "partition")
	kafkaCommitSum  = desc("kafka_consumergroup_current_offset_sum", "Sum of the offsets that the group has committed in the topic.", "consumergroup", "topic")
	kafkaLag        = ofPartitions("kafka_consumergroup_lag", "Records from the group's committed offset to the high watermark.", "consumergroup", "topic", "partition")
	kafkaLagSum     = desc("kafka_consumergroup_lag_sum", "Sum of the group's lag in the topic.", "consumergroup", "topic")
	kafkaLagSeconds = ofPartitions("kafka_consumergroup_lag_seconds", "Age of the oldest record that the group has not committed, by the record's own timestamp; 0 where there is none.", "consumergroup", "topic", "partition")

	// The process.
	weirBuild  = desc("weir_build_info", "The program; always 1.", "version", "goversion")
	weirUptime = desc("weir_uptime_seconds", "Time since the admin port was opened.")

	// Clients.
	weirConnections   = desc("weir_connections", "Connections of clients that are open.")
	weirAccepted      = desc("weir_connections_accepted_total", "Connections of clients that were served.")
	weirRejected      = desc("weir_connections_rejected_total", "Connections of clients that were closed because of a limit.")
	weirReceived      = desc("weir_received_bytes_total", "Bytes received from clients.")
	weirSent          = desc("weir_sent_bytes_total", "Bytes sent to clients.")
	weirRequestMemory = desc("weir_request_memory_bytes", "Memory of request frames that are being read or are not answered.")
	weirRequestsHeld  = desc("weir_requests_in_flight", "Requests that are being read or are not answered.")
	weirPanics        = desc("weir_request_panics_total", "Panics that ended a connection.")
	weirRequest       = desc("weir_request_seconds", "Time from a request's last byte to the end of its answer.", "api")
	weirRequestStage  = desc("weir_request_stage_seconds", "The same by stage: handle (checks, and for Produce the write to the file), queue (answers before it), await (work that takes its time, disk, replicas, records to come), send.", "api", "stage")

	weirThrottled     = desc("weir_throttled_total", "Answers that told a client to wait, because of that quota.", "quota")
	weirThrottledTime = desc("weir_throttled_seconds_total", "For how long clients were told to wait, together.", "quota")
	weirWaiting       = desc("weir_throttled_clients", "Holders of that quota that have to wait now.", "quota")

	// Disk.
	weirSync      = desc("weir_log_sync_seconds", "Time that a sync of a log took.")
	weirDiskFree  = desc("weir_disk_free_bytes", "Room on a data folder's file system.", "folder")
	weirDiskTotal = desc("weir_disk_total_bytes", "Size of a data folder's file system.", "folder")
	weirDiskMark  = desc("weir_disk_mark_bytes", "Room that is to stay free (log.dir.free.bytes.min), where there is least.")
	weirDiskLow   = desc("weir_disk_low", "1 where there is less and what is produced is refused, 2 where replicas store no records at all.")

	weirFolderFailed = desc("weir_folder_failed", "1 when a data folder is out of use.", "folder")

	// Compaction.
	weirPasses        = desc("weir_compaction_passes_total", "Passes of compaction over a partition that had something to do and have ended.")
	weirPassesFailed  = desc("weir_compaction_failures_total", "Passes of compaction that ended with an error.")
	weirPassesRunning = desc("weir_compaction_running", "Passes of compaction that run.")
	weirPassesTime    = desc("weir_compaction_seconds_total", "Time that passes of compaction took, together.")
	weirPassesWaited  = desc("weir_compaction_throttled_seconds_total", "Time of it that they waited because of log.cleaner.io.max.bytes.per.second.")
	weirPassesRead    = desc("weir_compaction_read_bytes_total", "Bytes that compaction has read.")
	weirPassesWrote   = desc("weir_compaction_written_bytes_total", "Bytes that compaction has written.")
	weirPassesRemoved = desc("weir_compaction_removed_records_total", "Records that compaction has removed.")
	weirDirty         = desc("weir_compaction_dirty_bytes", "Bytes of sealed segments that are not compacted and may be, of all replicas at their last look.")
	weirDirtyRatio    = desc("weir_compaction_dirty_ratio_max", "The largest share of them in what may be compacted of a replica; min.cleanable.dirty.ratio is what a pass begins above.")
	weirUncleanable   = desc("weir_partitions_uncleanable", "Replicas on this broker whose last pass of compaction failed.")

	// Replicas on this broker, all together.
	weirPartitions = desc("weir_partitions", "Replicas on this broker.")
	weirLed        = desc("weir_partitions_led", "Partitions that this broker leads.")
	weirUnder      = desc("weir_partitions_under_replicated", "Partitions that this broker leads of which a replica is not in sync.")
	weirUnderMin   = desc("weir_partitions_under_min_isr", "Partitions that this broker leads of which fewer replicas than min.insync.replicas are in sync.")
	weirOffline    = desc("weir_partitions_offline", "Replicas on this broker that could not be opened or have left their group.")
	weirLogTotal   = desc("weir_logs_bytes", "Bytes of all logs on this broker.")

	// Each replica on this broker.
	weirLogBytes = ofPartitions("weir_partition_log_bytes", "Bytes of the replica's log.", "topic", "partition")
	weirSegments = ofPartitions("weir_partition_segments", "Segments of the replica's log.", "topic", "partition")
	weirStart    = ofPartitions("weir_partition_log_start_offset", "First offset of the replica's log.", "topic", "partition")
	weirHigh     = ofPartitions("weir_partition_high_watermark", "High watermark that the replica knows of.", "topic", "partition")
	weirEnd      = ofPartitions("weir_partition_log_end_offset", "Offset that the replica's next record gets.", "topic", "partition")
	weirTerm     = ofPartitions("weir_partition_raft_term", "Raft term of the replica, which is the partition's leader epoch.", "topic", "partition")
	weirLeading  = ofPartitions("weir_partition_leader", "1 where the replica leads.", "topic", "partition")

	// Each replica of a compacted topic, and while a pass over it runs.
	weirDirtyOf   = ofPartitions("weir_partition_dirty_bytes", "Bytes of the replica's sealed segments that are not compacted and may be, at the last look.", "topic", "partition")
	weirPlannedOf = ofPartitions("weir_partition_compaction_planned_bytes", "Bytes that the pass of compaction which runs will have read.", "topic", "partition")
	weirReadOf    = ofPartitions("weir_partition_compaction_read_bytes", "Bytes of them that it has read.", "topic", "partition")

	// The controller's group, as this broker knows it.
	weirController     = desc("weir_controller_leader", "1 where this broker leads the controller.")
	weirControllerTerm = desc("weir_controller_raft_term", "Raft term of the controller's group.")
	weirControllerHigh = desc("weir_controller_high_watermark", "One past the newest command of the controller that this broker knows to be committed.")

	weirGroups = desc("weir_groups", "Consumer groups that this broker coordinates.", "state")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}
