package protocol

// The wire form of every served request, after Kafka's message definitions;
// arrays of structs have kmsg's names. Fields that exist only below an API's floor
// are left out. Tagged fields stand from the first flexible version on even where
// Kafka added them later, since kmsg decodes them in all of those.

// dataShapes are the requests of producers and consumers.
var dataShapes = []shape{
	{KeyProduce, 9, []field{
		str("TransactionalId").orNull(0).since(3),
		int16s("Acks"), int32s("TimeoutMs"),
		array("Topics",
			str("Name").only(0, 12), uuid("TopicId").since(13),
			array("Partitions", int32s("Index"), records("Records"))),
	}},
	{KeyFetch, 12, []field{
		str("ClusterId").orNull(0).since(12).tagged(0),
		int32s("ReplicaId").only(0, 14),
		group("ReplicaState", int32s("Id"), int64s("Epoch")).since(12).tagged(1),
		int32s("MaxWaitMs"), int32s("MinBytes"), int32s("MaxBytes").since(3), int8s("IsolationLevel").since(4),
		int32s("SessionId").since(7), int32s("SessionEpoch").since(7),
		array("Topics",
			str("Name").only(0, 12), uuid("TopicId").since(13),
			array("Partitions",
				int32s("Index"), int32s("CurrentLeaderEpoch").since(9), int64s("FetchOffset"),
				int32s("LastFetchedEpoch").since(12), int64s("LogStartOffset").since(5), int32s("MaxBytes"),
				uuid("ReplicaDirectoryId").since(12).tagged(0), int64s("HighWatermark").since(12).tagged(1))),
		array("ForgottenTopics",
			str("Name").only(7, 12), uuid("TopicId").since(13), array("Partitions", int32s(""))).since(7),
		str("RackId").since(11),
	}},
	{KeyListOffsets, 6, []field{
		int32s("ReplicaId"), int8s("IsolationLevel").since(2),
		array("Topics", str("Name"),
			array("Partitions", int32s("Index"), int32s("CurrentLeaderEpoch").since(4), int64s("Timestamp"))),
		int32s("TimeoutMs").since(10),
	}},
	{KeyMetadata, 9, []field{
		array("Topics", uuid("TopicId").since(10), str("Name").orNull(10)).orNull(1),
		boolean("AllowAutoTopicCreation").since(4),
		boolean("IncludeClusterAuthorizedOperations").only(8, 10),
		boolean("IncludeTopicAuthorizedOperations").since(8),
	}},
	{KeyApiVersions, 3, []field{
		str("ClientSoftwareName").since(3), str("ClientSoftwareVersion").since(3),
		str("ClusterId").orNull(5).since(5), int32s("NodeId").since(5),
	}},
	{KeyInitProducerID, 2, []field{
		str("TransactionalId").orNull(0), int32s("TransactionTimeoutMs"),
		int64s("ProducerId").since(3), int16s("ProducerEpoch").since(3),
	}},
	{KeyOffsetForLeaderEpoch, 4, []field{
		int32s("ReplicaId").since(3),
		array("Topics", str("Name"),
			array("Partitions", int32s("Index"), int32s("CurrentLeaderEpoch").since(2), int32s("LeaderEpoch"))),
	}},
}

// transactionShapes are the requests to transaction coordinators, and of them.
var transactionShapes = []shape{
	{KeyAddPartitionsToTxn, 3, []field{
		array("Transactions", str("TransactionalId"), int64s("ProducerId"), int16s("ProducerEpoch"), boolean("VerifyOnly"),
			array("Topics", str("Name"), array("Partitions", int32s("")))).since(4),
		str("TransactionalId").only(0, 3), int64s("ProducerId").only(0, 3), int16s("ProducerEpoch").only(0, 3),
		array("Topics", str("Name"), array("Partitions", int32s(""))).only(0, 3),
	}},
	{KeyAddOffsetsToTxn, 3, []field{
		str("TransactionalId"), int64s("ProducerId"), int16s("ProducerEpoch"), str("GroupId"),
	}},
	{KeyEndTxn, 3, []field{
		str("TransactionalId"), int64s("ProducerId"), int16s("ProducerEpoch"), boolean("Committed"),
	}},
	{KeyWriteTxnMarkers, 1, []field{
		array("Markers", int64s("ProducerId"), int16s("ProducerEpoch"), boolean("TransactionResult"),
			array("Topics", str("Name"), array("PartitionIndexes", int32s(""))),
			int32s("CoordinatorEpoch"), int8s("TransactionVersion").since(2)),
	}},
	{KeyTxnOffsetCommit, 3, []field{
		str("TransactionalId"), str("GroupId"), int64s("ProducerId"), int16s("ProducerEpoch"),
		int32s("GenerationId").since(3), str("MemberId").since(3), str("GroupInstanceId").orNull(3).since(3),
		array("Topics", str("Name").only(0, 5), uuid("TopicId").since(6),
			array("Partitions", int32s("Index"), int64s("Offset"), int32s("LeaderEpoch").since(2), str("Metadata").orNull(0))),
	}},
	{KeyDescribeTransactions, 0, []field{array("TransactionalIds", str(""))}},
	{KeyListTransactions, 0, []field{
		array("StateFilters", str("")), array("ProducerIdFilters", int64s("")), int64s("DurationFilter").since(1),
		str("TransactionalIdPattern").orNull(2).since(2),
	}},
}

// groupShapes are the requests to group coordinators.
var groupShapes = []shape{
	{KeyOffsetCommit, 8, []field{
		str("GroupId"), int32s("GenerationId"), str("MemberId"), str("GroupInstanceId").orNull(7).since(7),
		int64s("RetentionTimeMs").only(2, 4),
		array("Topics", str("Name").only(0, 9), uuid("TopicId").since(10),
			array("Partitions",
				int32s("Index"), int64s("Offset"), int32s("LeaderEpoch").since(6), str("Metadata").orNull(0))),
	}},
	{KeyOffsetFetch, 6, []field{
		str("GroupId").only(0, 7),
		array("Topics", str("Name"), array("Partitions", int32s(""))).orNull(2).only(0, 7),
		array("Groups", str("GroupId"), str("MemberId").orNull(9).since(9), int32s("MemberEpoch").since(9),
			array("Topics", str("Name").only(0, 9), uuid("TopicId").since(10),
				array("Partitions", int32s(""))).orNull(8)).since(8),
		boolean("RequireStable").since(7),
	}},
	{KeyFindCoordinator, 3, []field{
		str("Key").only(0, 3), int8s("KeyType").since(1), array("CoordinatorKeys", str("")).since(4),
	}},
	{KeyJoinGroup, 6, []field{
		str("GroupId"), int32s("SessionTimeoutMs"), int32s("RebalanceTimeoutMs").since(1), str("MemberId"),
		str("GroupInstanceId").orNull(5).since(5), str("ProtocolType"),
		array("Protocols", str("Name"), opaque("Metadata")),
		str("Reason").orNull(8).since(8),
	}},
	{KeyHeartbeat, 4, []field{
		str("GroupId"), int32s("GenerationId"), str("MemberId"), str("GroupInstanceId").orNull(3).since(3),
	}},
	{KeyLeaveGroup, 4, []field{
		str("GroupId"), str("MemberId").only(0, 2),
		array("Members", str("MemberId"), str("GroupInstanceId").orNull(3), str("Reason").orNull(5).since(5)).since(3),
	}},
	{KeySyncGroup, 4, []field{
		str("GroupId"), int32s("GenerationId"), str("MemberId"), str("GroupInstanceId").orNull(3).since(3),
		str("ProtocolType").orNull(5).since(5), str("ProtocolName").orNull(5).since(5),
		array("GroupAssignment", str("MemberId"), opaque("Assignment")),
	}},
	{KeyDescribeGroups, 5, []field{
		array("Groups", str("")), boolean("IncludeAuthorizedOperations").since(3),
	}},
	{KeyListGroups, 3, []field{
		array("StatesFilter", str("")).since(4), array("TypesFilter", str("")).since(5),
	}},
	{KeyDeleteGroups, 2, []field{array("GroupsNames", str(""))}},
	{KeyConsumerGroupHeartbeat, 0, []field{
		str("GroupId"), str("MemberId"), int32s("MemberEpoch"), str("InstanceId").orNull(0), str("RackId").orNull(0), int32s("RebalanceTimeoutMs"),
		array("SubscribedTopicNames", str("")).orNull(0), str("SubscribedTopicRegex").orNull(1).since(1), str("ServerAssignor").orNull(0),
		array("Topics", uuid("TopicId"), array("Partitions", int32s(""))).orNull(0),
	}},
	{KeyConsumerGroupDescribe, 0, []field{array("Groups", str("")), boolean("IncludeAuthorizedOperations")}},
	{KeyOffsetDelete, maxVersion + 1, []field{
		str("GroupId"),
		array("Topics", str("Name"), array("Partitions", int32s("Index"))),
	}},
}

// adminShapes are the requests of administrators.
var adminShapes = []shape{
	{KeyCreateTopics, 5, []field{
		array("Topics", str("Name"), int32s("NumPartitions"), int16s("ReplicationFactor"),
			array("ReplicaAssignment", int32s("Index"), array("BrokerIds", int32s(""))),
			array("Configs", str("Name"), str("Value").orNull(0))),
		int32s("TimeoutMs"), boolean("ValidateOnly").since(1),
	}},
	{KeyDeleteTopics, 4, []field{
		array("TopicNames", str("")).only(0, 5),
		array("Topics", str("Name").orNull(6), uuid("TopicId")).since(6),
		int32s("TimeoutMs"),
	}},
	{KeyDeleteRecords, 2, []field{
		array("Topics", str("Name"), array("Partitions", int32s("Index"), int64s("Offset"))),
		int32s("TimeoutMs"),
	}},
	{KeyDescribeACLs, 2, []field{
		int8s("ResourceTypeFilter"), str("ResourceNameFilter").orNull(0), int8s("PatternTypeFilter").since(1),
		str("PrincipalFilter").orNull(0), str("HostFilter").orNull(0), int8s("Operation"), int8s("PermissionType"),
	}},
	{KeyCreateACLs, 2, []field{
		array("Creations", int8s("ResourceType"), str("ResourceName"), int8s("ResourcePatternType").since(1),
			str("Principal"), str("Host"), int8s("Operation"), int8s("PermissionType")),
	}},
	{KeyDeleteACLs, 2, []field{
		array("Filters", int8s("ResourceTypeFilter"), str("ResourceNameFilter").orNull(0), int8s("PatternTypeFilter").since(1),
			str("PrincipalFilter").orNull(0), str("HostFilter").orNull(0), int8s("Operation"), int8s("PermissionType")),
	}},
	{KeyDescribeConfigs, 4, []field{
		array("Resources", int8s("ResourceType"), str("ResourceName"), array("ConfigurationKeys", str("")).orNull(0)),
		boolean("IncludeSynonyms").since(1), boolean("IncludeDocumentation").since(3),
	}},
	{KeyAlterConfigs, 2, []field{
		array("Resources", int8s("ResourceType"), str("ResourceName"),
			array("Configs", str("Name"), str("Value").orNull(0))),
		boolean("ValidateOnly"),
	}},
	{KeyIncrementalAlterConfigs, 1, []field{
		array("Resources", int8s("ResourceType"), str("ResourceName"),
			array("Configs", str("Name"), int8s("ConfigOperation"), str("Value").orNull(0))),
		boolean("ValidateOnly"),
	}},
	{KeyAlterReplicaLogDirs, 2, []field{
		array("Dirs", str("Dir"),
			array("Topics", str("Topic"), array("Partitions", int32s("")))),
	}},
	{KeyDescribeLogDirs, 2, []field{
		array("Topics", str("Topic"), array("Partitions", int32s(""))).orNull(0),
	}},
	{KeyCreatePartitions, 2, []field{
		array("Topics", str("Name"), int32s("Count"),
			array("Assignment", array("BrokerIds", int32s(""))).orNull(0)),
		int32s("TimeoutMs"), boolean("ValidateOnly"),
	}},
	{KeyElectLeaders, 2, []field{
		int8s("ElectionType").since(1),
		array("Topics", str("Topic"), array("Partitions", int32s(""))).orNull(0),
		int32s("TimeoutMs"),
	}},
	{KeyAlterReassignments, 0, []field{
		int32s("TimeoutMs"), boolean("AllowReplicationFactorChange").since(1),
		array("Topics", str("Name"),
			array("Partitions", int32s("PartitionIndex"), array("Replicas", int32s("")).orNull(0))),
	}},
	{KeyListReassignments, 0, []field{
		int32s("TimeoutMs"), array("Topics", str("Name"), array("PartitionIndexes", int32s(""))).orNull(0),
	}},
	{KeyDescribeClientQuotas, 1, []field{
		array("Components", str("EntityType"), int8s("MatchType"), str("Match").orNull(0)), boolean("Strict"),
	}},
	{KeyAlterClientQuotas, 1, []field{
		array("Entries",
			array("Entity", str("EntityType"), str("EntityName").orNull(0)),
			array("Ops", str("Key"), float64s("Value"), boolean("Remove"))),
		boolean("ValidateOnly"),
	}},
	{KeyDescribeScram, 0, []field{array("Users", str("Name")).orNull(0)}},
	{KeyDescribeQuorum, 0, []field{
		array("Topics", str("TopicName"), array("Partitions", int32s("PartitionIndex"))),
	}},
	{KeyUnregisterBroker, 0, []field{int32s("BrokerId")}},
	{KeyUpdateFeatures, 0, []field{
		int32s("TimeoutMs"),
		array("FeatureUpdates", str("Feature"), int16s("MaxVersionLevel"), boolean("AllowDowngrade").only(0, 0), int8s("UpgradeType").since(1)),
		boolean("ValidateOnly").since(1),
	}},
	{KeyDescribeCluster, 0, []field{
		boolean("IncludeClusterAuthorizedOperations"), int8s("EndpointType").since(1),
		boolean("IncludeFencedBrokers").since(2),
	}},
	{KeyDescribeProducers, 0, []field{
		array("Topics", str("Name"), array("PartitionIndexes", int32s(""))),
	}},
	{KeyListConfigResources, 0, []field{array("ResourceTypes", int8s("")).since(1)}},
	{KeyDescribeTopicPartitions, 0, []field{
		array("Topics", str("Name")), int32s("ResponsePartitionLimit"),
		group("Cursor", str("TopicName"), int32s("PartitionIndex")).orNull(0),
	}},
}
