// Package protocol holds Kafka's messages as a broker sees them: which APIs and
// versions are served, request headers, a guard that checks every body before
// kmsg decodes it, error codes and response encoders. Message types are those of
// franz-go's kmsg.
package protocol

import "slices"

// API is one row of the version table.
type API struct {
	Key  int16
	Name string
	// Min and Max are what ApiVersions answers, both inclusive.
	Min, Max int16
	// Floor is the lowest version that is really served. It is above Min for
	// Produce only: librdkafka up to 2.8 switches compression off when Produce 0
	// is not in the range (KAFKA-18659), and nothing sends it.
	Floor int16
	// MaxRequestBytes bounds a request's frame without its size prefix.
	MaxRequestBytes int
}

// Serves reports whether version is decoded and handled.
func (a API) Serves(version int16) bool { return version >= a.Floor && version <= a.Max }

// Bounds of request frames. ApiVersions can be sent by anyone, so it gets
// little; only Produce carries records; of JoinGroup and ConsumerGroupHeartbeat groups keep what
// members say of themselves.
const (
	maxBeatBytes      = 320 << 10
	maxJoinBytes      = 320 << 10
	maxHandshakeBytes = 16 << 10
	maxRequestBytes   = 1 << 20
	maxProduceBytes   = 100 << 20
)

// Keys of the served APIs.
const (
	KeyProduce                 int16 = 0
	KeyFetch                   int16 = 1
	KeyListOffsets             int16 = 2
	KeyMetadata                int16 = 3
	KeyOffsetCommit            int16 = 8
	KeyOffsetFetch             int16 = 9
	KeyFindCoordinator         int16 = 10
	KeyJoinGroup               int16 = 11
	KeyHeartbeat               int16 = 12
	KeyLeaveGroup              int16 = 13
	KeySyncGroup               int16 = 14
	KeyDescribeGroups          int16 = 15
	KeyListGroups              int16 = 16
	KeyApiVersions             int16 = 18
	KeyCreateTopics            int16 = 19
	KeyDeleteTopics            int16 = 20
	KeyDeleteRecords           int16 = 21
	KeyInitProducerID          int16 = 22
	KeyOffsetForLeaderEpoch    int16 = 23
	KeyAddPartitionsToTxn      int16 = 24
	KeyAddOffsetsToTxn         int16 = 25
	KeyEndTxn                  int16 = 26
	KeyWriteTxnMarkers         int16 = 27
	KeyTxnOffsetCommit         int16 = 28
	KeyDescribeACLs            int16 = 29
	KeyCreateACLs              int16 = 30
	KeyDeleteACLs              int16 = 31
	KeyDescribeConfigs         int16 = 32
	KeyAlterConfigs            int16 = 33
	KeyAlterReplicaLogDirs     int16 = 34
	KeyDescribeLogDirs         int16 = 35
	KeyCreatePartitions        int16 = 37
	KeyDeleteGroups            int16 = 42
	KeyElectLeaders            int16 = 43
	KeyIncrementalAlterConfigs int16 = 44
	KeyAlterReassignments      int16 = 45
	KeyListReassignments       int16 = 46
	KeyOffsetDelete            int16 = 47
	KeyDescribeClientQuotas    int16 = 48
	KeyAlterClientQuotas       int16 = 49
	KeyDescribeScram           int16 = 50
	KeyDescribeQuorum          int16 = 55
	KeyUpdateFeatures          int16 = 57
	KeyDescribeCluster         int16 = 60
	KeyDescribeProducers       int16 = 61
	KeyUnregisterBroker        int16 = 64
	KeyDescribeTransactions    int16 = 65
	KeyListTransactions        int16 = 66
	KeyConsumerGroupHeartbeat  int16 = 68
	KeyConsumerGroupDescribe   int16 = 69
	KeyListConfigResources     int16 = 74
	KeyDescribeTopicPartitions int16 = 75
)

// apiTable is the one list of what is served, by key. A new API also needs its
// shape in shapes; a test fails without it.
var apiTable = []API{
	{KeyProduce, "Produce", 0, 13, 3, maxProduceBytes},
	{KeyFetch, "Fetch", 4, 18, 4, maxRequestBytes},
	{KeyListOffsets, "ListOffsets", 1, 11, 1, maxRequestBytes},
	{KeyMetadata, "Metadata", 0, 13, 0, maxRequestBytes},
	{KeyOffsetCommit, "OffsetCommit", 2, 10, 2, maxRequestBytes},
	{KeyOffsetFetch, "OffsetFetch", 1, 10, 1, maxRequestBytes},
	{KeyFindCoordinator, "FindCoordinator", 0, 6, 0, maxRequestBytes},
	{KeyJoinGroup, "JoinGroup", 0, 9, 0, maxJoinBytes},
	{KeyHeartbeat, "Heartbeat", 0, 4, 0, maxRequestBytes},
	{KeyLeaveGroup, "LeaveGroup", 0, 5, 0, maxRequestBytes},
	{KeySyncGroup, "SyncGroup", 0, 5, 0, maxRequestBytes},
	{KeyDescribeGroups, "DescribeGroups", 0, 6, 0, maxRequestBytes},
	{KeyListGroups, "ListGroups", 0, 5, 0, maxRequestBytes},
	{KeyApiVersions, "ApiVersions", 0, 5, 0, maxHandshakeBytes},
	{KeyCreateTopics, "CreateTopics", 2, 7, 2, maxRequestBytes},
	{KeyDeleteTopics, "DeleteTopics", 1, 6, 1, maxRequestBytes},
	{KeyDeleteRecords, "DeleteRecords", 0, 2, 0, maxRequestBytes},
	{KeyInitProducerID, "InitProducerId", 0, 5, 0, maxRequestBytes},
	{KeyOffsetForLeaderEpoch, "OffsetForLeaderEpoch", 2, 4, 2, maxRequestBytes},
	{KeyAddPartitionsToTxn, "AddPartitionsToTxn", 0, 5, 0, maxRequestBytes},
	{KeyAddOffsetsToTxn, "AddOffsetsToTxn", 0, 4, 0, maxRequestBytes},
	{KeyEndTxn, "EndTxn", 0, 5, 0, maxRequestBytes},
	{KeyWriteTxnMarkers, "WriteTxnMarkers", 1, 2, 1, maxRequestBytes},
	{KeyTxnOffsetCommit, "TxnOffsetCommit", 0, 6, 0, maxRequestBytes},
	{KeyDescribeACLs, "DescribeAcls", 1, 3, 1, maxRequestBytes},
	{KeyCreateACLs, "CreateAcls", 1, 3, 1, maxRequestBytes},
	{KeyDeleteACLs, "DeleteAcls", 1, 3, 1, maxRequestBytes},
	{KeyDescribeConfigs, "DescribeConfigs", 1, 4, 1, maxRequestBytes},
	{KeyAlterConfigs, "AlterConfigs", 0, 2, 0, maxRequestBytes},
	{KeyAlterReplicaLogDirs, "AlterReplicaLogDirs", 1, 2, 1, maxRequestBytes},
	{KeyDescribeLogDirs, "DescribeLogDirs", 1, 5, 1, maxRequestBytes},
	{KeyCreatePartitions, "CreatePartitions", 0, 3, 0, maxRequestBytes},
	{KeyDeleteGroups, "DeleteGroups", 0, 3, 0, maxRequestBytes},
	{KeyElectLeaders, "ElectLeaders", 0, 2, 0, maxRequestBytes},
	{KeyIncrementalAlterConfigs, "IncrementalAlterConfigs", 0, 1, 0, maxRequestBytes},
	{KeyAlterReassignments, "AlterPartitionReassignments", 0, 1, 0, maxRequestBytes},
	{KeyListReassignments, "ListPartitionReassignments", 0, 0, 0, maxRequestBytes},
	{KeyOffsetDelete, "OffsetDelete", 0, 0, 0, maxRequestBytes},
	{KeyDescribeClientQuotas, "DescribeClientQuotas", 0, 1, 0, maxRequestBytes},
	{KeyAlterClientQuotas, "AlterClientQuotas", 0, 1, 0, maxRequestBytes},
	{KeyDescribeScram, "DescribeUserScramCredentials", 0, 0, 0, maxRequestBytes},
	{KeyDescribeQuorum, "DescribeQuorum", 0, 2, 0, maxRequestBytes},
	{KeyUpdateFeatures, "UpdateFeatures", 0, 2, 0, maxRequestBytes},
	{KeyDescribeCluster, "DescribeCluster", 0, 2, 0, maxRequestBytes},
	{KeyDescribeProducers, "DescribeProducers", 0, 0, 0, maxRequestBytes},
	{KeyUnregisterBroker, "UnregisterBroker", 0, 0, 0, maxRequestBytes},
	{KeyDescribeTransactions, "DescribeTransactions", 0, 0, 0, maxRequestBytes},
	{KeyListTransactions, "ListTransactions", 0, 2, 0, maxRequestBytes},
	{KeyConsumerGroupHeartbeat, "ConsumerGroupHeartbeat", 0, 1, 0, maxBeatBytes},
	{KeyConsumerGroupDescribe, "ConsumerGroupDescribe", 0, 1, 0, maxRequestBytes},
	{KeyListConfigResources, "ListConfigResources", 0, 1, 0, maxRequestBytes},
	{KeyDescribeTopicPartitions, "DescribeTopicPartitions", 0, 0, 0, maxRequestBytes},
}

// APIs is the version table in order of keys; the caller owns the slice.
func APIs() []API { return slices.Clone(apiTable) }

// Lookup finds the row of a key; false means that the API is not served.
func Lookup(key int16) (API, bool) {
	i, ok := slices.BinarySearchFunc(apiTable, key, func(a API, key int16) int { return int(a.Key) - int(key) })
	if !ok {
		return API{}, false
	}
	return apiTable[i], true
}
