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
)

// SetClusterID names the cluster, once. Setting the same id again does nothing; another one is a
// ClusterIDError. No result.
type SetClusterID struct{ ID string }

// RegisterBroker adds a broker or renews what is known of it. The result is the *Broker. Another
// directory under a known id is a BrokerIDTakenError.
type RegisterBroker struct {
	ID        int32
	Directory UUID
	Rack      string
	Endpoints []Endpoint
}

// UnregisterBroker forgets a broker that holds no replicas (else BrokerInUseError) together with
// its dynamic configuration. No result.
type UnregisterBroker struct{ ID int32 }

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
