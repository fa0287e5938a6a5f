package metadata

import "fmt"

// InvalidNameError: the topic name breaks Kafka's rule (INVALID_TOPIC_EXCEPTION).
type InvalidNameError struct{ Name, Reason string }

func (e *InvalidNameError) Error() string {
	return fmt.Sprintf("invalid topic name %q: %s", e.Name, e.Reason)
}

// NameCollisionError: a topic exists whose name differs only in dots and underscores
// (INVALID_TOPIC_EXCEPTION).
type NameCollisionError struct{ Name, Other string }

func (e *NameCollisionError) Error() string {
	return fmt.Sprintf("topic name %q collides with %q: they differ only in '.' and '_'", e.Name, e.Other)
}

// TopicExistsError: the name or the id is taken (TOPIC_ALREADY_EXISTS).
type TopicExistsError struct{ Name string }

func (e *TopicExistsError) Error() string { return fmt.Sprintf("topic %q already exists", e.Name) }

// InvalidTopicIDError: a new topic came without an id (INVALID_REQUEST; the proposer's fault).
type InvalidTopicIDError struct{ Name string }

func (e *InvalidTopicIDError) Error() string { return fmt.Sprintf("topic %q was given no id", e.Name) }

// UnknownTopicError: no topic has the id (UNKNOWN_TOPIC_ID, or UNKNOWN_TOPIC_OR_PARTITION where
// the client asked by name).
type UnknownTopicError struct{ ID UUID }

func (e *UnknownTopicError) Error() string { return fmt.Sprintf("no topic has the id %x", e.ID) }

// UnknownPartitionError: the topic has no such partition (UNKNOWN_TOPIC_OR_PARTITION).
type UnknownPartitionError struct {
	Topic     string
	Partition int32
}

func (e *UnknownPartitionError) Error() string {
	return fmt.Sprintf("topic %q has no partition %d", e.Topic, e.Partition)
}

// InvalidPartitionsError: the number of partitions cannot be (INVALID_PARTITIONS).
type InvalidPartitionsError struct{ Reason string }

func (e *InvalidPartitionsError) Error() string { return "invalid number of partitions: " + e.Reason }

// InvalidReplicationFactorError: there are not as many brokers that replicas can be placed on, or
// the factor is not positive (INVALID_REPLICATION_FACTOR).
type InvalidReplicationFactorError struct {
	Factor  int
	Brokers int // registered
	Usable  int // of them, neither fenced nor draining
}

func (e *InvalidReplicationFactorError) Error() string {
	if e.Usable < e.Brokers {
		return fmt.Sprintf("invalid replication factor %d: of the cluster's %d brokers %d are usable, the others are fenced or draining", e.Factor, e.Brokers, e.Usable)
	}
	return fmt.Sprintf("invalid replication factor %d: the cluster has %d brokers", e.Factor, e.Brokers)
}

// InvalidAssignmentError: the replicas named for a partition cannot be (INVALID_REPLICA_ASSIGNMENT).
type InvalidAssignmentError struct {
	Partition int
	Reason    string
}

func (e *InvalidAssignmentError) Error() string {
	return fmt.Sprintf("invalid replicas for partition %d: %s", e.Partition, e.Reason)
}

// InvalidConfigError: a configuration map is beyond what the machine stores (INVALID_CONFIG).
// Whether keys exist and values make sense is checked by cluster/config before the proposal.
type InvalidConfigError struct{ Key, Reason string }

func (e *InvalidConfigError) Error() string {
	return fmt.Sprintf("invalid configuration %q: %s", e.Key, e.Reason)
}

// LimitError: the cluster would hold more than it is configured to (POLICY_VIOLATION).
type LimitError struct {
	What      string
	Got, Want int // Want is the most there may be
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("too many %s: %d, at most %d", e.What, e.Got, e.Want)
}

// ConfigChangedError: a compare-and-set lost against another change. Read the image again,
// compute the values again, propose again.
type ConfigChangedError struct{ Expected, Current uint64 }

func (e *ConfigChangedError) Error() string {
	return fmt.Sprintf("configuration changed meanwhile: expected index %d, found %d", e.Expected, e.Current)
}

// InvalidFeatureError: a feature cannot be brought to the level (INVALID_UPDATE_VERSION).
type InvalidFeatureError struct {
	Name   string
	Level  int16
	Reason string
}

func (e *InvalidFeatureError) Error() string {
	return fmt.Sprintf("feature %q cannot have level %d: %s", e.Name, e.Level, e.Reason)
}

// InvalidQuotaError: a quota, or whom it is for, cannot be (INVALID_REQUEST).
type InvalidQuotaError struct{ Reason string }

func (e *InvalidQuotaError) Error() string { return "invalid quota: " + e.Reason }

// InvalidACLError: an ACL cannot be (INVALID_REQUEST).
type InvalidACLError struct{ Reason string }

func (e *InvalidACLError) Error() string { return "invalid ACL: " + e.Reason }

// UnknownBrokerError: no broker has the id (BROKER_ID_NOT_REGISTERED).
type UnknownBrokerError struct{ ID int32 }

func (e *UnknownBrokerError) Error() string { return fmt.Sprintf("broker %d is not registered", e.ID) }

// InvalidBrokerError: the registration cannot be (INVALID_REGISTRATION).
type InvalidBrokerError struct {
	ID     int32
	Reason string
}

func (e *InvalidBrokerError) Error() string { return fmt.Sprintf("broker %d: %s", e.ID, e.Reason) }

// BrokerIDTakenError: a broker with another data directory holds the id and is not fenced
// (DUPLICATE_BROKER_REGISTRATION).
type BrokerIDTakenError struct{ ID int32 }

func (e *BrokerIDTakenError) Error() string {
	return fmt.Sprintf("broker id %d belongs to another data directory", e.ID)
}

// StaleBrokerEpochError: the broker has registered again since (STALE_BROKER_EPOCH).
type StaleBrokerEpochError struct {
	ID           int32
	Got, Current uint64
}

func (e *StaleBrokerEpochError) Error() string {
	return fmt.Sprintf("broker %d has epoch %d, not %d", e.ID, e.Current, e.Got)
}

// BrokerInUseError: the broker still holds replicas (INVALID_REQUEST).
type BrokerInUseError struct {
	ID       int32
	Replicas int
}

func (e *BrokerInUseError) Error() string {
	return fmt.Sprintf("broker %d still holds %d replicas", e.ID, e.Replicas)
}

// ClusterIDError: the cluster has another id, or the id is malformed (INCONSISTENT_CLUSTER_ID).
type ClusterIDError struct{ Got, Want string }

func (e *ClusterIDError) Error() string {
	return fmt.Sprintf("cluster id %q does not fit: want %s", e.Got, e.Want)
}

// StaleEpochError: a change of a partition's leader carried an epoch that is behind
// (FENCED_LEADER_EPOCH).
type StaleEpochError struct{ Got, Current int32 }

func (e *StaleEpochError) Error() string {
	return fmt.Sprintf("leader epoch %d is not after %d", e.Got, e.Current)
}

// NoReassignmentError: there is no reassignment of the partition to cancel
// (NO_REASSIGNMENT_IN_PROGRESS).
type NoReassignmentError struct {
	Topic     string
	Partition int32
}

func (e *NoReassignmentError) Error() string {
	return fmt.Sprintf("no reassignment of partition %d of topic %q is under way", e.Partition, e.Topic)
}

// ReassignmentChangedError: what a partition's leader completed is not what is wanted by now. Read
// the image again.
type ReassignmentChangedError struct {
	Topic     string
	Partition int32
}

func (e *ReassignmentChangedError) Error() string {
	return fmt.Sprintf("the reassignment of partition %d of topic %q changed meanwhile", e.Partition, e.Topic)
}

// DirectoryChangedError: a replica or its broker has another directory than a command expected.
// Read the image again.
type DirectoryChangedError struct {
	Topic     string
	Partition int32
	Node      int32
}

func (e *DirectoryChangedError) Error() string {
	return fmt.Sprintf("the directory of partition %d of topic %q on broker %d changed meanwhile", e.Partition, e.Topic, e.Node)
}

// ProducerIDError: a block of producer ids of that size cannot be had (INVALID_REQUEST).
type ProducerIDError struct{ Reason string }

func (e *ProducerIDError) Error() string { return "producer ids: " + e.Reason }

// CorruptError: bytes are not what the encoder wrote. For a snapshot or a committed command it
// means that the machine must not go on.
type CorruptError struct{ What, Reason string }

func (e *CorruptError) Error() string { return fmt.Sprintf("corrupt %s: %s", e.What, e.Reason) }

// VersionError: bytes were written by a newer Weir. The machine must not go on.
type VersionError struct {
	What      string
	Got, Want int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s has version %d, this Weir reads up to %d", e.What, e.Got, e.Want)
}
