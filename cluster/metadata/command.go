package metadata

// Command is one change of the cluster's state. What Apply returns as its result is said by each.
type Command interface {
	kind() byte
	encode(e *encoder)
	apply(d *draft) (any, error)
}

// The kinds are stored; numbers are never used again.
const (
	kindSetClusterID        = 1
	kindRegisterBroker      = 2
	kindUnregisterBroker    = 3
	kindCreateTopics        = 4
	kindDeleteTopics        = 5
	kindCreatePartitions    = 6
	kindSetTopicConfigs     = 7
	kindSetBrokerConfigs    = 8
	kindAllocateProducerIDs = 9
	kindAlterPartitions     = 10
	kindRegisterInternal    = 11 // RegisterBroker with an internal address
	kindFenceBrokers        = 12
	kindUnfenceBroker       = 13
	kindDrainBroker         = 14
	kindAlterReassignments  = 15
	kindCompleteReassign    = 16
	kindReplaceDirectories  = 17
	kindSetFeatures         = 18
	kindSetGroupConfigs     = 19
	kindAlterQuotas         = 20
	kindAddACLs             = 21
	kindRemoveACLs          = 22

	kindLast = kindRemoveACLs
)

// SetClusterID names the cluster, once. Setting the same id again does nothing; another one is a
// ClusterIDError. No result.
type SetClusterID struct{ ID string }

// RegisterBroker adds a broker or renews what is known of it. The result is the *Broker, with a
// new epoch and not fenced: who registers is alive. Draining stays as it was.
//
// Another directory under a known id is a BrokerIDTakenError while the holder of the id is not
// fenced, so that of two brokers configured alike the running one wins. When it is fenced, the
// newcomer is its next incarnation: a broker whose disk was wiped. It takes the id over with what
// is placed on it, but the partitions keep the old directory until ReplaceDirectories.
type RegisterBroker struct {
	ID        int32
	Directory UUID
	Rack      string
	Endpoints []Endpoint
	Internal  string // host:port for other brokers; empty: none
}

// UnregisterBroker forgets a broker that holds no replicas (else BrokerInUseError) together with
// its dynamic configuration. No result.
type UnregisterBroker struct{ ID int32 }

// BrokerEpoch is one registration of a broker.
type BrokerEpoch struct {
	ID    int32
	Epoch uint64
}

// FenceBrokers marks brokers as not heard from; each succeeds or fails alone. The result is
// []error in the order of Brokers: UnknownBrokerError, StaleBrokerEpochError for a broker that has
// registered since, nil also for one that is fenced already.
type FenceBrokers struct{ Brokers []BrokerEpoch }

// UnfenceBroker takes the mark away, under the same conditions. No result.
type UnfenceBroker BrokerEpoch

// DrainBroker keeps leaderships and new replicas away from a broker, or allows them again. It moves none: see
// PlaceMoves. No result.
type DrainBroker struct {
	ID    int32
	Drain bool
}

// CreateTopics creates topics; each succeeds or fails alone. The result is []TopicResult in the
// order of Topics.
type CreateTopics struct {
	Topics        []NewTopic
	NowMillis     int64
	MaxPartitions int32 // the cluster's cap over all topics, as the proposer is configured
}

// NewTopic is one topic to create. Assignment names the replicas of each partition, the preferred
// leader first: the client's, or what Place chose. It travels with the command so that a later
// version of Place cannot change history.
type NewTopic struct {
	Name       string
	ID         UUID
	Assignment [][]int32
	Configs    map[string]string
}

// TopicResult is what became of one topic of a command. Exactly one of the two is set; after a
// deletion Topic is what the topic was.
type TopicResult struct {
	Topic *Topic
	Err   error
}

// DeleteTopics deletes topics by id; each succeeds or fails alone. The result is []TopicResult in
// the order of IDs.
type DeleteTopics struct{ IDs []UUID }

// CreatePartitions adds partitions to topics; each succeeds or fails alone. The result is
// []TopicResult in the order of Topics.
type CreatePartitions struct {
	Topics        []NewPartitions
	MaxPartitions int32 // as in CreateTopics
}

// NewPartitions adds partitions to one topic. Current is the number that the proposer saw; the
// change fails with InvalidPartitionsError when it is another one by now.
type NewPartitions struct {
	ID         UUID
	Current    int32
	Assignment [][]int32 // of the new partitions only
}

// AnyIndex switches off the comparison of SetTopicConfigs and SetBrokerConfigs.
const AnyIndex = ^uint64(0)

// SetTopicConfigs replaces the overrides of topics; each succeeds or fails alone. The result is
// []TopicResult in the order of Changes. An incremental change is made by computing the new values
// from an image (config.AlterTopic) and setting them with Expected = the ConfigSet's Index; on
// ConfigChangedError do it again.
type SetTopicConfigs struct{ Changes []TopicConfigs }

// TopicConfigs are the new overrides of one topic.
type TopicConfigs struct {
	ID       UUID
	Expected uint64 // index of the values they were computed from, or AnyIndex
	Values   map[string]string
}

// AllBrokers is the Broker of SetBrokerConfigs that means the cluster's defaults.
const AllBrokers int32 = -1

// SetBrokerConfigs replaces the dynamic values of one broker or of all, under the same comparison
// as SetTopicConfigs. The result is the new ConfigSet.
type SetBrokerConfigs struct {
	Broker   int32
	Expected uint64
	Values   map[string]string
}

// SetGroupConfigs replaces the values of a consumer group, which need not exist, under the same comparison. A group
// without values is forgotten: its index is 0 again. The result is the new ConfigSet.
type SetGroupConfigs struct {
	Group    string
	Expected uint64
	Values   map[string]string
}

// SetFeatures replaces the levels of features, under the same comparison. Whether the levels make sense is checked by
// the proposer (Image.CheckFeature), since brokers of another version know other levels. No result.
type SetFeatures struct {
	Expected uint64
	Levels   map[string]int16
}

// AllocateProducerIDs hands a broker a block of producer ids that nobody else gets. The result is
// a ProducerIDBlock.
type AllocateProducerIDs struct {
	Broker int32
	Count  int32
}

// ProducerIDBlock is the ids First ≤ id < First+Count.
type ProducerIDBlock struct {
	First int64
	Count int32
}

// AlterReassignments starts, changes or cancels reassignments of partitions; each succeeds or
// fails alone. The result is []error in the order of Changes.
type AlterReassignments struct{ Changes []Reassignment }

// Reassignment is the wish for other replicas of one partition, the preferred leader first. A nil
// Target cancels: the partition turns round and goes back to the replicas that it had, which takes
// a CompleteReassignment as well, because replicas may have joined its Raft group meanwhile. The
// same replicas in another order are in force at once.
type Reassignment struct {
	ID        UUID
	Partition int32
	Target    []int32
}

// CompleteReassignment says that a partition's Raft group has exactly the target's members. It is
// proposed by the partition's leader and refused with ReassignmentChangedError unless Replicas are
// the current target, in its order and with the directories on record. A second one does nothing.
// No result.
type CompleteReassignment struct {
	ID        UUID
	Partition int32
	Replicas  []ReplicaID
}

// ReplaceDirectories records that replicas now belong to a new incarnation of their broker; each
// succeeds or fails alone. The result is []error in the order of Changes.
type ReplaceDirectories struct{ Changes []DirectoryChange }

// DirectoryChange takes a replica from an old directory to the one that its broker is registered
// with, New. It does nothing when that is on record already; a third directory on either side is a
// DirectoryChangedError.
type DirectoryChange struct {
	ID        UUID
	Partition int32
	Node      int32
	Old, New  UUID
}

// AlterPartitions records leaders, epochs and in-sync replicas. It is applied whole or not at
// all. No result.
type AlterPartitions struct{ Changes []PartitionChange }

// PartitionChange is the new state of one partition. An epoch below the current one, or another
// leader under the same epoch, is a StaleEpochError.
type PartitionChange struct {
	ID          UUID
	Partition   int32
	Leader      int32
	LeaderEpoch int32
	ISR         []int32
}
