package broker

import (
	"context"
	"errors"

	"weir/cluster"
	"weir/cluster/config"
	"weir/cluster/group"
	"weir/cluster/metadata"
	"weir/cluster/txn"
	"weir/log"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// errorCode is the one place where errors of the layers below become Kafka's
// codes. What has no entry is a fault of ours: UNKNOWN_SERVER_ERROR.
func errorCode(err error) protocol.ErrorCode {
	if err == nil {
		return protocol.CodeNone
	}
	var code protocol.ErrorCode
	if errors.As(err, &code) {
		return code
	}
	for _, e := range errorTable {
		if e.is(err) {
			return e.code
		}
	}
	return protocol.CodeUnknownServerError
}

type errorEntry struct {
	is   func(error) bool
	code protocol.ErrorCode
}

func typed[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

func sentinel(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

var errorTable = []errorEntry{
	{typed[*recordbatch.TooLargeError], protocol.CodeMessageTooLarge},
	{typed[*recordbatch.CorruptError], protocol.CodeCorruptMessage},
	{typed[*recordbatch.InvalidRecordError], protocol.CodeInvalidRecord},
	{typed[*recordbatch.TimestampError], protocol.CodeInvalidTimestamp},
	{typed[*recordbatch.UnsupportedCodecError], protocol.CodeUnsupportedCompressionType},
	{typed[*partition.SequenceError], protocol.CodeOutOfOrderSequenceNumber},
	{typed[*partition.ProducerEpochError], protocol.CodeInvalidProducerEpoch},
	{typed[*partition.TransactionStateError], protocol.CodeInvalidTxnState},
	{sentinel(partition.ErrTransactionEnded), protocol.CodeInvalidTxnState},
	{typed[*partition.TransactionLimitError], protocol.CodePolicyViolation},
	{typed[*partition.CoordinatorEpochError], protocol.CodeTransactionCoordinatorFenced},
	{sentinel(partition.ErrClosed), protocol.CodeNotLeaderOrFollower}, // retriable: outcome unknown
	{typed[*partition.NotLeaderError], protocol.CodeNotLeaderOrFollower},
	{typed[*partition.RetiredError], protocol.CodeNotLeaderOrFollower}, // likewise; also of one that is offline for that
	{typed[*partition.StorageError], protocol.CodeKafkaStorageError},
	{typed[*partition.LostError], protocol.CodeKafkaStorageError},
	{typed[*log.OffsetOutOfRangeError], protocol.CodeOffsetOutOfRange},
	{typed[*log.CorruptError], protocol.CodeKafkaStorageError},
	{sentinel(context.DeadlineExceeded), protocol.CodeRequestTimedOut},
	{func(err error) bool {
		var e *partition.LeaderEpochError
		return errors.As(err, &e) && e.Got < e.Want
	}, protocol.CodeFencedLeaderEpoch},
	{typed[*partition.LeaderEpochError], protocol.CodeUnknownLeaderEpoch},

	{sentinel(group.ErrUnknownMember), protocol.CodeUnknownMemberID},
	{sentinel(group.ErrFencedInstance), protocol.CodeFencedInstanceID},
	{sentinel(group.ErrIllegalGeneration), protocol.CodeIllegalGeneration},
	{sentinel(group.ErrRebalanceInProgress), protocol.CodeRebalanceInProgress},
	{sentinel(group.ErrInconsistentProtocol), protocol.CodeInconsistentGroupProtocol},
	{sentinel(group.ErrMemberIDRequired), protocol.CodeMemberIDRequired},
	{sentinel(group.ErrGroupFull), protocol.CodeGroupMaxSizeReached},
	{sentinel(group.ErrSessionTimeout), protocol.CodeInvalidSessionTimeout},
	{sentinel(group.ErrMetadataTooLarge), protocol.CodeInvalidRequest},
	{sentinel(group.ErrFencedEpoch), protocol.CodeFencedMemberEpoch},
	{sentinel(group.ErrStaleEpoch), protocol.CodeStaleMemberEpoch},
	{sentinel(group.ErrUnreleasedInstance), protocol.CodeUnreleasedInstanceID},
	{sentinel(group.ErrUnsupportedAssignor), protocol.CodeUnsupportedAssignor},

	{sentinel(txn.ErrConcurrent), protocol.CodeConcurrentTransactions},
	{sentinel(txn.ErrFenced), protocol.CodeProducerFenced},
	{sentinel(txn.ErrUnknownProducer), protocol.CodeInvalidProducerIDMapping},
	{sentinel(txn.ErrInvalidState), protocol.CodeInvalidTxnState},
	{sentinel(txn.ErrNotInTransaction), protocol.CodeTransactionAbortable},
	{sentinel(txn.ErrTooManyPartitions), protocol.CodePolicyViolation},

	{sentinel(cluster.ErrUnknownPartition), protocol.CodeUnknownTopicOrPartition},
	{typed[*cluster.OfflineError], protocol.CodeKafkaStorageError},
	{typed[*cluster.FolderError], protocol.CodeKafkaStorageError},
	{typed[*cluster.NoRoomError], protocol.CodeKafkaStorageError},
	{typed[*cluster.NoFolderError], protocol.CodeLogDirNotFound},
	{sentinel(cluster.ErrNoReplica), protocol.CodeReplicaNotAvailable},
	{typed[*cluster.UnavailableError], protocol.CodeNotController}, // retriable: not taken, or outcome unknown
	{typed[*requestError], protocol.CodeInvalidRequest},

	{typed[*config.UnknownKeyError], protocol.CodeInvalidConfig},
	{typed[*config.InvalidValueError], protocol.CodeInvalidConfig},
	{typed[*config.NotAllowedError], protocol.CodeInvalidConfig},
	{typed[*config.ReadOnlyError], protocol.CodeInvalidRequest},
	{typed[*metadata.InvalidConfigError], protocol.CodeInvalidConfig},
	{typed[*metadata.InvalidNameError], protocol.CodeInvalidTopicException},
	{typed[*metadata.NameCollisionError], protocol.CodeInvalidTopicException},
	{typed[*metadata.TopicExistsError], protocol.CodeTopicAlreadyExists},
	{typed[*metadata.UnknownTopicError], protocol.CodeUnknownTopicOrPartition},
	{typed[*metadata.UnknownPartitionError], protocol.CodeUnknownTopicOrPartition},
	{typed[*metadata.InvalidPartitionsError], protocol.CodeInvalidPartitions},
	{typed[*metadata.InvalidReplicationFactorError], protocol.CodeInvalidReplicationFactor},
	{typed[*metadata.InvalidAssignmentError], protocol.CodeInvalidReplicaAssignment},
	{typed[*metadata.LimitError], protocol.CodePolicyViolation},
	{typed[*metadata.InvalidTopicIDError], protocol.CodeInvalidRequest},
	{typed[*metadata.ProducerIDError], protocol.CodeInvalidRequest},

	{typed[*metadata.InvalidQuotaError], protocol.CodeInvalidRequest},
	{typed[*metadata.InvalidACLError], protocol.CodeInvalidRequest},
	{typed[*metadata.InvalidFeatureError], protocol.CodeInvalidUpdateVersion},
	{typed[*metadata.UnknownBrokerError], protocol.CodeBrokerIDNotRegistered},
	{typed[*metadata.BrokerInUseError], protocol.CodeInvalidRequest},
	{typed[*cluster.LastBrokerError], protocol.CodeInvalidRequest},
	{typed[*cluster.PerBrokerError], protocol.CodeInvalidRequest},
	{typed[*metadata.InvalidBrokerError], protocol.CodeInvalidRegistration},
	{typed[*metadata.BrokerIDTakenError], protocol.CodeDuplicateBrokerRegistration},
	{func(err error) bool {
		var e *cluster.JoinRefusedError
		return errors.As(err, &e) && e.Taken
	}, protocol.CodeDuplicateBrokerRegistration},
	{typed[*cluster.JoinRefusedError], protocol.CodeInvalidRegistration},
	{typed[*metadata.StaleBrokerEpochError], protocol.CodeStaleBrokerEpoch},
	{typed[*metadata.ClusterIDError], protocol.CodeInconsistentClusterID},
	{typed[*metadata.NoReassignmentError], protocol.CodeNoReassignmentInProgress},
	{typed[*metadata.ReassignmentChangedError], protocol.CodeInvalidUpdateVersion}, // lost against another change
	{typed[*metadata.DirectoryChangedError], protocol.CodeInvalidUpdateVersion},
	{typed[*metadata.ConfigChangedError], protocol.CodeInvalidUpdateVersion},
	{typed[*metadata.StaleEpochError], protocol.CodeFencedLeaderEpoch},
	{typed[*cluster.FactorChangeError], protocol.CodeInvalidReplicationFactor},
	{sentinel(cluster.ErrElectionNotNeeded), protocol.CodeElectionNotNeeded},
	{typed[*cluster.PreferredLeaderError], protocol.CodePreferredLeaderNotAvailable},
	{sentinel(partition.ErrTransferred), protocol.CodePreferredLeaderNotAvailable},
}
