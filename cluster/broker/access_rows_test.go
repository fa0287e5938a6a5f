package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/txn"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// secrets are what TestRights asks for: the topic secret, the group hush, which has committed there, the group murmur of the consumer
// protocol, which reads it, and the transactional id whisper, with a transaction there.
type secrets struct {
	topicID [16]byte
	batch   []byte
	txn     []byte // of a transaction
}

func newSecrets(t *testing.T, b *broker.Broker) *secrets {
	t.Helper()
	c := dial(t, b.Addr())
	s := &secrets{topicID: c.createTopic("secret", 1, nil), batch: batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))}
	if code := commit(c, "hush", "secret", 0, 1, ""); code != 0 {
		t.Fatal(code)
	}
	x := txnClient{c}
	p, code := x.init(4, "whisper", time.Minute, txn.NoProducer)
	if code != 0 {
		t.Fatal(code)
	}
	if got := x.add(3, "whisper", p, "secret"); got[0] != 0 {
		t.Fatal(got)
	}
	h := plain
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = p.ID, p.Epoch, 0
	s.txn = batchOf(t, h.InTransaction(), recordbatch.CodecNone, record("k", "v"))
	if beat := ask[*kmsg.ConsumerGroupHeartbeatResponse](c, joinMurmur()); beat.ErrorCode != 0 {
		t.Fatal(protocol.ErrorCode(beat.ErrorCode))
	}
	return s
}

func joinMurmur() *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = 1, "murmur", "m", 0, 60_000
	req.SubscribedTopicNames, req.Topics = []string{"secret"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// fresh makes a request of version v each time, which fill completes.
func fresh[R kmsg.Request](empty func() R, v int16, fill func(R)) func() kmsg.Request {
	return func() kmsg.Request {
		req := empty()
		req.SetVersion(v)
		fill(req)
		return req
	}
}

// ofCluster is the row of a request that only the right to something of the cluster lets through.
func ofCluster(op string, request func() kmsg.Request) []right {
	return []right{{request, codes(noCluster), "", []string{op + " cluster"}}}
}

func (s *secrets) rows() map[int16][]right {
	rows := map[int16][]right{protocol.KeyApiVersions: {{request: fresh(kmsg.NewPtrApiVersionsRequest, 0, func(*kmsg.ApiVersionsRequest) {})}}}
	for _, part := range []map[int16][]right{s.dataRows(), s.groupRows(), s.txnRows(), s.topicRows(), s.configRows(), s.clusterRows()} {
		for key, some := range part {
			rows[key] = some
		}
	}
	return rows
}

func (s *secrets) dataRows() map[int16][]right {
	fetch := func(v int16, replica int32) func() kmsg.Request {
		return func() kmsg.Request {
			req := fetchRequest(v, "secret", s.topicID, 0, 0)
			if req.ReplicaID = replica; v >= 15 {
				req.ReplicaID, req.ReplicaState.ID = -1, replica
			}
			return req
		}
	}
	produce := func(v int16, batch []byte, id *string) func() kmsg.Request {
		return func() kmsg.Request {
			req := produceRequest(v, "secret", s.topicID, 0, -1, batch)
			req.TransactionID = id
			return req
		}
	}
	all := kmsg.NewMetadataRequestTopic()
	all.Topic = kmsg.StringPtr("secret")
	byID := kmsg.NewMetadataRequestTopic()
	byID.TopicID = s.topicID
	metadata := func(v int16, topics ...kmsg.MetadataRequestTopic) func() kmsg.Request {
		return fresh(kmsg.NewPtrMetadataRequest, v, func(r *kmsg.MetadataRequest) { r.Topics, r.AllowAutoTopicCreation = topics, false })
	}
	initProducer := func(id *string) func() kmsg.Request {
		return fresh(kmsg.NewPtrInitProducerIDRequest, 4, func(r *kmsg.InitProducerIDRequest) { r.TransactionalID, r.TransactionTimeoutMillis = id, 0 })
	}
	return map[int16][]right{
		protocol.KeyProduce: {
			{produce(12, s.batch, nil), codes(noTopic), "", []string{"write topic:secret"}},
			{produce(13, s.batch, nil), codes(noTopic), "", []string{"write topic:sec..."}},
			{produce(11, s.txn, kmsg.StringPtr("whisper")), codes(noTopic), "", []string{"write topic:secret", "write id:whisper"}},
		},
		protocol.KeyFetch: {
			{fetch(12, -1), codes(noTopic), "", []string{"read topic:secret"}},
			{fetch(13, -1), codes(noTopic), "", []string{"read topic:secret"}},
			{fetch(13, 1), codes(noTopic), "", []string{"action cluster"}},
			{fetch(17, 1), codes(noTopic), "", []string{"action cluster"}},
		},
		protocol.KeyListOffsets: {{fresh(kmsg.NewPtrListOffsetsRequest, 7, func(r *kmsg.ListOffsetsRequest) {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = -1
			topic := kmsg.NewListOffsetsRequestTopic()
			topic.Topic, topic.Partitions = "secret", append(topic.Partitions, p)
			r.Topics = append(r.Topics, topic)
		}), codes(noTopic), "", []string{"describe topic:secret"}}},
		protocol.KeyOffsetForLeaderEpoch: func() []right {
			request := fresh(kmsg.NewPtrOffsetForLeaderEpochRequest, 4, func(r *kmsg.OffsetForLeaderEpochRequest) {
				topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
				topic.Topic, topic.Partitions = "secret", append(topic.Partitions, kmsg.NewOffsetForLeaderEpochRequestTopicPartition())
				r.Topics = append(r.Topics, topic)
			})
			return []right{{request, codes(noTopic), "", []string{"describe topic:secret"}}, {request, codes(noTopic), "", []string{"action cluster"}}}
		}(),
		protocol.KeyMetadata: {
			{metadata(12, all), codes(noTopic), "", []string{"describe topic:secret"}},
			{metadata(12, byID), codes(noTopic), "secret", []string{"describe topic:secret"}},
			{metadata(0), nil, "secret", []string{"describe topic:secret"}},
			{metadata(9), nil, "secret", []string{"describe topic:secret"}},
		},
		protocol.KeyDescribeTopicPartitions: {
			{fresh(kmsg.NewPtrDescribeTopicPartitionsRequest, 0, func(r *kmsg.DescribeTopicPartitionsRequest) {
				r.Topics = append(r.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: "secret"})
			}), codes(noTopic), "", []string{"describe topic:secret"}},
			{fresh(kmsg.NewPtrDescribeTopicPartitionsRequest, 0, func(*kmsg.DescribeTopicPartitionsRequest) {}), nil, "secret", []string{"describe topic:secret"}},
		},
		protocol.KeyInitProducerID: {
			{initProducer(nil), codes(noCluster), "", []string{"idempotent cluster"}},
			{initProducer(nil), codes(noCluster), "", []string{"write topic:other"}},
			{initProducer(nil), codes(noCluster), "", []string{"write topic:other..."}},
			{initProducer(kmsg.StringPtr("whisper")), codes(noID), "", []string{"write id:whisper"}},
		},
		protocol.KeyDescribeProducers: {{fresh(kmsg.NewPtrDescribeProducersRequest, 0, func(r *kmsg.DescribeProducersRequest) {
			r.Topics = append(r.Topics, kmsg.DescribeProducersRequestTopic{Topic: "secret", Partitions: []int32{0}})
		}), codes(noTopic), "", []string{"read topic:secret"}}},
	}
}

func (s *secrets) groupRows() map[int16][]right {
	read := []string{"read group:hush"}
	find := func(kind int8, key string) func() kmsg.Request {
		return fresh(kmsg.NewPtrFindCoordinatorRequest, 4, func(r *kmsg.FindCoordinatorRequest) { r.CoordinatorType, r.CoordinatorKeys = kind, []string{key} })
	}
	fetch := func(topics []kmsg.OffsetFetchRequestGroupTopic) func() kmsg.Request {
		return fresh(kmsg.NewPtrOffsetFetchRequest, 8, func(r *kmsg.OffsetFetchRequest) {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.Topics = "hush", topics
			r.Groups = append(r.Groups, g)
		})
	}
	commit := func(v int16) func() kmsg.Request {
		return fresh(kmsg.NewPtrOffsetCommitRequest, v, func(r *kmsg.OffsetCommitRequest) {
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID, topic.Partitions = "secret", s.topicID, append(topic.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
			r.Group, r.Generation, r.Topics = "hush", -1, append(r.Topics, topic)
		})
	}
	list := fresh(kmsg.NewPtrListGroupsRequest, 5, func(*kmsg.ListGroupsRequest) {})
	return map[int16][]right{
		protocol.KeyOffsetCommit: {
			{commit(9), codes(noGroup), "", []string{"read group:hush", "read topic:secret"}},
			{commit(10), codes(noGroup), "", []string{"read group:hush", "read topic:secret"}},
		},
		protocol.KeyOffsetFetch: {
			{fetch([]kmsg.OffsetFetchRequestGroupTopic{{Topic: "secret", Partitions: []int32{0}}}), codes(noGroup), "", []string{"describe group:hush", "describe topic:secret"}},
			{fetch(nil), codes(noGroup), "secret", []string{"describe group:hush", "describe topic:secret"}},
			{fresh(kmsg.NewPtrOffsetFetchRequest, 1, func(r *kmsg.OffsetFetchRequest) {
				r.Group, r.Topics = "hush", append(r.Topics, kmsg.OffsetFetchRequestTopic{Topic: "secret", Partitions: []int32{0}})
			}), codes(noGroup), "", []string{"describe group:hush", "describe topic:secret"}},
		},
		protocol.KeyFindCoordinator: {
			{find(0, "hush"), codes(noGroup), "", []string{"describe group:hush"}},
			{find(1, "whisper"), codes(noID), "", []string{"describe id:whisper"}},
		},
		protocol.KeyJoinGroup: {{fresh(kmsg.NewPtrJoinGroupRequest, 9, func(r *kmsg.JoinGroupRequest) {
			r.Group, r.SessionTimeoutMillis, r.ProtocolType = "hush", 10_000, "consumer"
			r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range", Metadata: []byte{}})
		}), codes(noGroup), "", read}},
		protocol.KeyHeartbeat:  {{fresh(kmsg.NewPtrHeartbeatRequest, 4, func(r *kmsg.HeartbeatRequest) { r.Group, r.MemberID = "hush", "m" }), codes(noGroup), "", read}},
		protocol.KeyLeaveGroup: {{fresh(kmsg.NewPtrLeaveGroupRequest, 5, func(r *kmsg.LeaveGroupRequest) { r.Group = "hush" }), codes(noGroup), "", read}},
		protocol.KeySyncGroup: {{fresh(kmsg.NewPtrSyncGroupRequest, 5, func(r *kmsg.SyncGroupRequest) {
			r.Group, r.MemberID, r.ProtocolType, r.Protocol = "hush", "m", kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		}), codes(noGroup), "", read}},
		protocol.KeyDescribeGroups: {{fresh(kmsg.NewPtrDescribeGroupsRequest, 5, func(r *kmsg.DescribeGroupsRequest) { r.Groups = []string{"hush"} }), codes(noGroup), "Empty", []string{"describe group:hush"}}},
		protocol.KeyListGroups:     {{list, nil, "hush", []string{"describe group:hush"}}, {list, nil, "hush", []string{"describe cluster"}}},
		protocol.KeyDeleteGroups:   {{fresh(kmsg.NewPtrDeleteGroupsRequest, 2, func(r *kmsg.DeleteGroupsRequest) { r.Groups = []string{"gone"} }), codes(noGroup), "", []string{"delete group:gone"}}},
		protocol.KeyOffsetDelete: {{fresh(kmsg.NewPtrOffsetDeleteRequest, 0, func(r *kmsg.OffsetDeleteRequest) {
			topic := kmsg.NewOffsetDeleteRequestTopic()
			topic.Topic, topic.Partitions = "secret", []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 7}}
			r.Group, r.Topics = "hush", append(r.Topics, topic)
		}), codes(noGroup), "", []string{"delete group:hush", "read topic:secret"}}},
		protocol.KeyConsumerGroupHeartbeat: {{func() kmsg.Request { return joinMurmur() }, codes(noGroup), "", []string{"read group:murmur", "describe topic:secret"}}},
		protocol.KeyConsumerGroupDescribe: {{fresh(kmsg.NewPtrConsumerGroupDescribeRequest, 1, func(r *kmsg.ConsumerGroupDescribeRequest) { r.Groups = []string{"murmur"} }),
			codes(noGroup), "secret", []string{"describe group:murmur", "describe topic:secret"}}},
	}
}

func (s *secrets) txnRows() map[int16][]right {
	add := func(v int16) func() kmsg.Request {
		return fresh(kmsg.NewPtrAddPartitionsToTxnRequest, v, func(r *kmsg.AddPartitionsToTxnRequest) {
			r.TransactionalID, r.ProducerID = "whisper", 12345
			r.Topics = append(r.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: "secret", Partitions: []int32{0}})
		})
	}
	offsets := func(v int16) func() kmsg.Request {
		return fresh(kmsg.NewPtrTxnOffsetCommitRequest, v, func(r *kmsg.TxnOffsetCommitRequest) {
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID, topic.Partitions = "secret", s.topicID, append(topic.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
			r.TransactionalID, r.Group, r.ProducerID, r.Generation, r.Topics = "whisper", "hush", 12345, -1, append(r.Topics, topic)
		})
	}
	markers := fresh(kmsg.NewPtrWriteTxnMarkersRequest, 1, func(r *kmsg.WriteTxnMarkersRequest) {
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID = -1
		m.Topics = append(m.Topics, kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: "secret", Partitions: []int32{0}})
		r.Markers = append(r.Markers, m)
	})
	return map[int16][]right{
		protocol.KeyAddPartitionsToTxn: {
			{add(3), codes(noID), "", []string{"write id:whisper", "write topic:secret"}},
			{add(5), codes(noCluster), "", []string{"action cluster"}},
		},
		protocol.KeyAddOffsetsToTxn: {{fresh(kmsg.NewPtrAddOffsetsToTxnRequest, 3, func(r *kmsg.AddOffsetsToTxnRequest) {
			r.TransactionalID, r.Group, r.ProducerID = "whisper", "hush", 12345
		}), codes(noID), "", []string{"write id:whisper", "read group:hush"}}},
		protocol.KeyEndTxn: {{fresh(kmsg.NewPtrEndTxnRequest, 4, func(r *kmsg.EndTxnRequest) { r.TransactionalID, r.ProducerID = "whisper", 12345 }), codes(noID), "", []string{"write id:whisper"}}},
		protocol.KeyTxnOffsetCommit: {
			{offsets(4), codes(noID), "", []string{"write id:whisper", "read group:hush", "read topic:secret"}},
			{offsets(6), codes(noID), "", []string{"write id:whisper", "read group:hush", "read topic:secret"}},
		},
		protocol.KeyWriteTxnMarkers: {{markers, codes(noCluster), "", []string{"action cluster"}}, {markers, codes(noCluster), "", []string{"alter cluster"}}},
		protocol.KeyDescribeTransactions: {{fresh(kmsg.NewPtrDescribeTransactionsRequest, 0, func(r *kmsg.DescribeTransactionsRequest) { r.TransactionalIDs = []string{"whisper"} }),
			codes(noID), "secret", []string{"describe id:whisper", "describe topic:secret"}}},
		protocol.KeyListTransactions: {{fresh(kmsg.NewPtrListTransactionsRequest, 2, func(*kmsg.ListTransactionsRequest) {}), nil, "whisper", []string{"describe id:whisper"}}},
	}
}

func (s *secrets) topicRows() map[int16][]right {
	create := fresh(kmsg.NewPtrCreateTopicsRequest, 7, func(r *kmsg.CreateTopicsRequest) {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "new", 1, 1
		r.ValidateOnly, r.Topics = true, append(r.Topics, topic)
	})
	remove := func(name string, id [16]byte) func() kmsg.Request {
		return fresh(kmsg.NewPtrDeleteTopicsRequest, 6, func(r *kmsg.DeleteTopicsRequest) {
			topic := kmsg.NewDeleteTopicsRequestTopic()
			if topic.TopicID = id; name != "" {
				topic.Topic = &name
			}
			r.Topics = append(r.Topics, topic)
		})
	}
	return map[int16][]right{
		protocol.KeyCreateTopics: {
			{create, codes(noTopic), "", []string{"create topic:new", "describeConfigs topic:new"}},
			{create, codes(noTopic), "", []string{"create cluster", "describeConfigs topic:new"}},
		},
		protocol.KeyDeleteTopics: { // what there is not, since it would be gone
			{remove("gone", [16]byte{}), codes(noTopic), "", []string{"delete topic:gone"}},
			{remove("gone", [16]byte{}), codes(noTopic), "", []string{"delete cluster"}},
			{remove("", [16]byte{1}), nil, "", nil},
		},
		protocol.KeyDeleteRecords: {{fresh(kmsg.NewPtrDeleteRecordsRequest, 2, func(r *kmsg.DeleteRecordsRequest) {
			topic := kmsg.NewDeleteRecordsRequestTopic()
			topic.Topic, topic.Partitions = "secret", []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 0}}
			r.Topics = append(r.Topics, topic)
		}), codes(noTopic), "", []string{"delete topic:secret"}}},
		protocol.KeyCreatePartitions: {{fresh(kmsg.NewPtrCreatePartitionsRequest, 3, func(r *kmsg.CreatePartitionsRequest) {
			r.ValidateOnly, r.Topics = true, append(r.Topics, kmsg.CreatePartitionsRequestTopic{Topic: "secret", Count: 2})
		}), codes(noTopic), "", []string{"alter topic:secret"}}},
	}
}

func (s *secrets) configRows() map[int16][]right {
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
		code protocol.ErrorCode
		what string
	}
	resources := []resource{
		{kmsg.ConfigResourceTypeTopic, "secret", noTopic, "topic:secret"}, {kmsg.ConfigResourceTypeBroker, "", noCluster, "cluster"},
		{kmsg.ConfigResourceTypeBroker, "1", noCluster, "cluster"}, {kmsg.ConfigResourceTypeGroupConfig, "hush", noGroup, "group:hush"},
	}
	rows := make(map[int16][]right)
	for _, x := range resources {
		add := func(key int16, op string, request func() kmsg.Request) {
			rows[key] = append(rows[key], right{request, codes(x.code), "", []string{op + " " + x.what}})
		}
		add(protocol.KeyDescribeConfigs, "describeConfigs", fresh(kmsg.NewPtrDescribeConfigsRequest, 4, func(r *kmsg.DescribeConfigsRequest) {
			r.Resources = append(r.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: x.kind, ResourceName: x.name})
		}))
		add(protocol.KeyAlterConfigs, "alterConfigs", fresh(kmsg.NewPtrAlterConfigsRequest, 2, func(r *kmsg.AlterConfigsRequest) {
			r.ValidateOnly, r.Resources = true, append(r.Resources, kmsg.AlterConfigsRequestResource{ResourceType: x.kind, ResourceName: x.name})
		}))
		add(protocol.KeyIncrementalAlterConfigs, "alterConfigs", fresh(kmsg.NewPtrIncrementalAlterConfigsRequest, 1, func(r *kmsg.IncrementalAlterConfigsRequest) {
			r.ValidateOnly, r.Resources = true, append(r.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: x.kind, ResourceName: x.name})
		}))
	}
	return rows
}

func (s *secrets) clusterRows() map[int16][]right {
	dirs := func(v int16) func() kmsg.Request {
		return fresh(kmsg.NewPtrDescribeLogDirsRequest, v, func(*kmsg.DescribeLogDirsRequest) {})
	}
	return map[int16][]right{
		protocol.KeyDescribeCluster: {{request: fresh(kmsg.NewPtrDescribeClusterRequest, 2, func(*kmsg.DescribeClusterRequest) {})}},
		protocol.KeyDescribeLogDirs: {{dirs(5), codes(noCluster), "secret", []string{"describe cluster"}}, {dirs(1), nil, "secret", []string{"describe cluster"}}},
		protocol.KeyAlterReplicaLogDirs: ofCluster("alter", fresh(kmsg.NewPtrAlterReplicaLogDirsRequest, 2, func(r *kmsg.AlterReplicaLogDirsRequest) {
			r.Dirs = append(r.Dirs, kmsg.AlterReplicaLogDirsRequestDir{Dir: "/", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "secret", Partitions: []int32{0}}}})
		})),
		protocol.KeyElectLeaders: ofCluster("alter", fresh(kmsg.NewPtrElectLeadersRequest, 0, func(r *kmsg.ElectLeadersRequest) {
			r.Topics = append(r.Topics, kmsg.ElectLeadersRequestTopic{Topic: "secret", Partitions: []int32{0}})
		})),
		protocol.KeyAlterReassignments: ofCluster("alter", fresh(kmsg.NewPtrAlterPartitionAssignmentsRequest, 1, func(r *kmsg.AlterPartitionAssignmentsRequest) {
			r.Topics = append(r.Topics, kmsg.AlterPartitionAssignmentsRequestTopic{Topic: "secret", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{}}})
		})),
		protocol.KeyListReassignments: ofCluster("describe", fresh(kmsg.NewPtrListPartitionReassignmentsRequest, 0, func(*kmsg.ListPartitionReassignmentsRequest) {})),
		protocol.KeyDescribeQuorum: ofCluster("describe", fresh(kmsg.NewPtrDescribeQuorumRequest, 2, func(r *kmsg.DescribeQuorumRequest) {
			r.Topics = append(r.Topics, kmsg.DescribeQuorumRequestTopic{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}})
		})),
		protocol.KeyUpdateFeatures: ofCluster("alter", fresh(kmsg.NewPtrUpdateFeaturesRequest, 1, func(r *kmsg.UpdateFeaturesRequest) {
			r.ValidateOnly = true
			r.FeatureUpdates = append(r.FeatureUpdates, kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: "group.version", MaxVersionLevel: 1, UpgradeType: 1})
		})),
		protocol.KeyUnregisterBroker:     ofCluster("alter", fresh(kmsg.NewPtrUnregisterBrokerRequest, 0, func(r *kmsg.UnregisterBrokerRequest) { r.BrokerID = 99 })),
		protocol.KeyDescribeScram:        ofCluster("describe", fresh(kmsg.NewPtrDescribeUserSCRAMCredentialsRequest, 0, func(*kmsg.DescribeUserSCRAMCredentialsRequest) {})),
		protocol.KeyDescribeClientQuotas: ofCluster("describeConfigs", fresh(kmsg.NewPtrDescribeClientQuotasRequest, 1, func(*kmsg.DescribeClientQuotasRequest) {})),
		protocol.KeyAlterClientQuotas: ofCluster("alterConfigs", fresh(kmsg.NewPtrAlterClientQuotasRequest, 1, func(r *kmsg.AlterClientQuotasRequest) {
			r.ValidateOnly, r.Entries = true, append(r.Entries, alterEntry("client-id=c", map[string]float64{"producer_byte_rate": 1}))
		})),
		protocol.KeyListConfigResources: ofCluster("describeConfigs", fresh(kmsg.NewPtrListConfigResourcesRequest, 1, func(*kmsg.ListConfigResourcesRequest) {})),
		protocol.KeyDescribeACLs: ofCluster("describe", fresh(kmsg.NewPtrDescribeACLsRequest, 3, func(r *kmsg.DescribeACLsRequest) {
			r.ResourceType, r.ResourcePatternType, r.Operation, r.PermissionType = 1, 1, 1, 1
		})),
		protocol.KeyCreateACLs: ofCluster("alter", fresh(kmsg.NewPtrCreateACLsRequest, 3, func(r *kmsg.CreateACLsRequest) {
			r.Creations = append(r.Creations, kmsg.CreateACLsRequestCreation{
				ResourceType: 2, ResourcePatternType: 3, ResourceName: "t", Principal: "User:x", Host: "*", Operation: 3, PermissionType: 3})
		})),
		protocol.KeyDeleteACLs: ofCluster("alter", fresh(kmsg.NewPtrDeleteACLsRequest, 3, func(r *kmsg.DeleteACLsRequest) {
			r.Filters = append(r.Filters, kmsg.DeleteACLsRequestFilter{ResourceType: 1, ResourcePatternType: 1, Principal: kmsg.StringPtr("User:x"), Operation: 1, PermissionType: 1})
		})),
	}
}
