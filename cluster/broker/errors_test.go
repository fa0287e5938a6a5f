package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"

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

// TestErrorCodes pins every row of the table, also when the error is wrapped.
func TestErrorCodes(t *testing.T) {
	cases := []struct {
		err  error
		want protocol.ErrorCode
	}{
		{nil, protocol.CodeNone},
		{errors.New("a fault of ours"), protocol.CodeUnknownServerError},
		{protocol.CodePolicyViolation, protocol.CodePolicyViolation},
		{&recordbatch.TooLargeError{}, protocol.CodeMessageTooLarge},
		{&recordbatch.CorruptError{}, protocol.CodeCorruptMessage},
		{&recordbatch.InvalidRecordError{}, protocol.CodeInvalidRecord},
		{&recordbatch.TimestampError{}, protocol.CodeInvalidTimestamp},
		{&recordbatch.UnsupportedCodecError{}, protocol.CodeUnsupportedCompressionType},
		{&partition.SequenceError{}, protocol.CodeOutOfOrderSequenceNumber},
		{&partition.ProducerEpochError{}, protocol.CodeInvalidProducerEpoch},
		{&partition.TransactionStateError{}, protocol.CodeInvalidTxnState},
		{&partition.TransactionLimitError{}, protocol.CodePolicyViolation},
		{&partition.CoordinatorEpochError{}, protocol.CodeTransactionCoordinatorFenced},
		{partition.ErrTransactionEnded, protocol.CodeInvalidTxnState},
		{&cluster.FolderError{}, protocol.CodeKafkaStorageError},
		{&cluster.NoRoomError{}, protocol.CodeKafkaStorageError},
		{&cluster.NoFolderError{}, protocol.CodeLogDirNotFound},
		{cluster.ErrNoReplica, protocol.CodeReplicaNotAvailable},
		{txn.ErrConcurrent, protocol.CodeConcurrentTransactions},
		{txn.ErrFenced, protocol.CodeProducerFenced},
		{txn.ErrUnknownProducer, protocol.CodeInvalidProducerIDMapping},
		{txn.ErrInvalidState, protocol.CodeInvalidTxnState},
		{txn.ErrNotInTransaction, protocol.CodeTransactionAbortable},
		{txn.ErrTooManyPartitions, protocol.CodePolicyViolation},
		{partition.ErrClosed, protocol.CodeNotLeaderOrFollower},
		{&partition.NotLeaderError{}, protocol.CodeNotLeaderOrFollower},
		{&partition.RetiredError{Err: partition.ErrTransferred}, protocol.CodeNotLeaderOrFollower},
		{&cluster.OfflineError{Err: &partition.RetiredError{Err: errors.New("it grows")}}, protocol.CodeNotLeaderOrFollower},
		{&partition.LostError{}, protocol.CodeKafkaStorageError},
		{&partition.StorageError{Err: errors.New("disk")}, protocol.CodeKafkaStorageError},
		{&partition.LeaderEpochError{Got: 1, Want: 2}, protocol.CodeFencedLeaderEpoch},
		{&partition.LeaderEpochError{Got: 3, Want: 2}, protocol.CodeUnknownLeaderEpoch},
		{&log.OffsetOutOfRangeError{}, protocol.CodeOffsetOutOfRange},
		{&log.CorruptError{}, protocol.CodeKafkaStorageError},
		{context.DeadlineExceeded, protocol.CodeRequestTimedOut},
		{group.ErrUnknownMember, protocol.CodeUnknownMemberID},
		{group.ErrFencedInstance, protocol.CodeFencedInstanceID},
		{group.ErrIllegalGeneration, protocol.CodeIllegalGeneration},
		{group.ErrRebalanceInProgress, protocol.CodeRebalanceInProgress},
		{group.ErrInconsistentProtocol, protocol.CodeInconsistentGroupProtocol},
		{group.ErrMemberIDRequired, protocol.CodeMemberIDRequired},
		{group.ErrGroupFull, protocol.CodeGroupMaxSizeReached},
		{group.ErrSessionTimeout, protocol.CodeInvalidSessionTimeout},
		{group.ErrMetadataTooLarge, protocol.CodeInvalidRequest},
		{group.ErrFencedEpoch, protocol.CodeFencedMemberEpoch},
		{group.ErrStaleEpoch, protocol.CodeStaleMemberEpoch},
		{group.ErrUnreleasedInstance, protocol.CodeUnreleasedInstanceID},
		{group.ErrUnsupportedAssignor, protocol.CodeUnsupportedAssignor},
		{errClassicGroup, protocol.CodeGroupIDNotFound},
		{cluster.ErrUnknownPartition, protocol.CodeUnknownTopicOrPartition},
		{&cluster.OfflineError{Err: errors.New("why")}, protocol.CodeKafkaStorageError},
		{&cluster.UnavailableError{Err: errors.New("closed")}, protocol.CodeNotController},
		{&cluster.UnavailableError{Err: context.DeadlineExceeded}, protocol.CodeRequestTimedOut},
		{invalidRequest("twice"), protocol.CodeInvalidRequest},
		{&config.UnknownKeyError{}, protocol.CodeInvalidConfig},
		{&config.InvalidValueError{}, protocol.CodeInvalidConfig},
		{&config.NotAllowedError{}, protocol.CodeInvalidConfig},
		{&config.ReadOnlyError{}, protocol.CodeInvalidRequest},
		{&cluster.PerBrokerError{}, protocol.CodeInvalidRequest},
		{&metadata.InvalidConfigError{}, protocol.CodeInvalidConfig},
		{&metadata.InvalidNameError{}, protocol.CodeInvalidTopicException},
		{&metadata.NameCollisionError{}, protocol.CodeInvalidTopicException},
		{&metadata.TopicExistsError{}, protocol.CodeTopicAlreadyExists},
		{&metadata.UnknownTopicError{}, protocol.CodeUnknownTopicOrPartition},
		{&metadata.UnknownPartitionError{}, protocol.CodeUnknownTopicOrPartition},
		{&metadata.InvalidPartitionsError{}, protocol.CodeInvalidPartitions},
		{&metadata.InvalidReplicationFactorError{}, protocol.CodeInvalidReplicationFactor},
		{&metadata.InvalidAssignmentError{}, protocol.CodeInvalidReplicaAssignment},
		{&metadata.LimitError{}, protocol.CodePolicyViolation},
		{&metadata.InvalidTopicIDError{}, protocol.CodeInvalidRequest},
		{&metadata.ProducerIDError{}, protocol.CodeInvalidRequest},
		{&metadata.InvalidQuotaError{}, protocol.CodeInvalidRequest},
		{&metadata.InvalidACLError{}, protocol.CodeInvalidRequest},
		{&metadata.InvalidFeatureError{}, protocol.CodeInvalidUpdateVersion},
		{&metadata.UnknownBrokerError{}, protocol.CodeBrokerIDNotRegistered},
		{&metadata.BrokerInUseError{}, protocol.CodeInvalidRequest},
		{&cluster.LastBrokerError{}, protocol.CodeInvalidRequest},
		{&metadata.InvalidBrokerError{}, protocol.CodeInvalidRegistration},
		{&metadata.BrokerIDTakenError{}, protocol.CodeDuplicateBrokerRegistration},
		{&cluster.JoinRefusedError{Taken: true}, protocol.CodeDuplicateBrokerRegistration},
		{&cluster.JoinRefusedError{}, protocol.CodeInvalidRegistration},
		{&metadata.StaleBrokerEpochError{}, protocol.CodeStaleBrokerEpoch},
		{&metadata.ClusterIDError{}, protocol.CodeInconsistentClusterID},
		{&metadata.NoReassignmentError{}, protocol.CodeNoReassignmentInProgress},
		{&metadata.ReassignmentChangedError{}, protocol.CodeInvalidUpdateVersion},
		{&metadata.DirectoryChangedError{}, protocol.CodeInvalidUpdateVersion},
		{&metadata.ConfigChangedError{}, protocol.CodeInvalidUpdateVersion},
		{&metadata.StaleEpochError{}, protocol.CodeFencedLeaderEpoch},
		{&cluster.FactorChangeError{}, protocol.CodeInvalidReplicationFactor},
		{cluster.ErrElectionNotNeeded, protocol.CodeElectionNotNeeded},
		{&cluster.PreferredLeaderError{}, protocol.CodePreferredLeaderNotAvailable},
		{partition.ErrTransferred, protocol.CodePreferredLeaderNotAvailable},
	}
	hit := make(map[int]bool)
	for _, c := range cases {
		if got := errorCode(c.err); got != c.want {
			t.Errorf("%T: got %v, want %v", c.err, got, c.want)
		}
		if c.err == nil {
			continue
		}
		wrapped := fmt.Errorf("while appending: %w", c.err)
		if got := errorCode(wrapped); got != c.want {
			t.Errorf("%T wrapped: got %v, want %v", c.err, got, c.want)
		}
		for i, e := range errorTable {
			if e.is(wrapped) {
				hit[i] = true
				break
			}
		}
	}
	for i, e := range errorTable {
		if !hit[i] {
			t.Errorf("row %d (%v) has no case here", i, e.code)
		}
	}
}

// TestHandlers: what ApiVersions promises has a handler, and nothing else has.
func TestHandlers(t *testing.T) {
	promised := make(map[int16]bool)
	for _, api := range protocol.APIs() {
		promised[api.Key] = true
		if handlers[api.Key] == nil {
			t.Errorf("%s (key %d) is advertised and has no handler", api.Name, api.Key)
		}
	}
	for key := range handlers {
		if !promised[key] {
			t.Errorf("key %d has a handler and is not advertised", key)
		}
	}
}
