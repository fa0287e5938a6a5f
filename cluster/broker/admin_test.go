package broker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

func metadataOf(c *rawClient, version int16, names ...string) *kmsg.MetadataResponse {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = version, false
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return ask[*kmsg.MetadataResponse](c, req)
}

func TestMetadata(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	id := c.createTopic("orders", 3, nil)
	api, _ := protocol.Lookup(protocol.KeyMetadata)
	for v := api.Min; v <= api.Max; v++ {
		got := metadataOf(c, v, "orders")
		if len(got.Brokers) != 1 || len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 3 {
			t.Fatalf("version %d: %+v", v, got)
		}
		for i, p := range got.Topics[0].Partitions {
			if p.ErrorCode != 0 || p.Partition != int32(i) || p.Leader != got.Brokers[0].NodeID || len(p.Replicas) != 1 || len(p.ISR) != 1 {
				t.Errorf("version %d: %+v", v, p)
			}
		}
		if v >= 10 && got.Topics[0].TopicID != id {
			t.Errorf("version %d: topic id %x, want %x", v, got.Topics[0].TopicID, id)
		}
		if v >= 1 && got.ControllerID != got.Brokers[0].NodeID {
			t.Errorf("version %d: controller %d", v, got.ControllerID)
		}
	}
	if got := metadataOf(c, 9); len(got.Topics) != 0 {
		t.Errorf("an empty list asks for none, got %d topics", len(got.Topics))
	}
	all := kmsg.NewPtrMetadataRequest()
	all.Version = 9
	if got := ask[*kmsg.MetadataResponse](c, all); len(got.Topics) != 1 {
		t.Errorf("null asks for all, got %d topics", len(got.Topics))
	}
	byID := kmsg.NewPtrMetadataRequest()
	byID.Version = 12
	for _, want := range [][16]byte{id, {9}} {
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = want
		byID.Topics = append(byID.Topics, topic)
	}
	got := ask[*kmsg.MetadataResponse](c, byID).Topics
	if got[0].ErrorCode != 0 || *got[0].Topic != "orders" || protocol.ErrorCode(got[1].ErrorCode) != protocol.CodeUnknownTopicID || got[1].Topic != nil {
		t.Errorf("by id: %+v", got)
	}
}

// TestMetadataCreates: with both sides willing a topic comes into being and is
// answered with its leaders; an illegal name does not.
func TestMetadataCreates(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4"})
	c := dial(t, b.Addr())
	req := func(name string, allow bool) kmsg.MetadataResponseTopic {
		r := kmsg.NewPtrMetadataRequest()
		r.Version, r.AllowAutoTopicCreation = 9, allow
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		r.Topics = append(r.Topics, topic)
		return ask[*kmsg.MetadataResponse](c, r).Topics[0]
	}
	if got := protocol.ErrorCode(req("new", false).ErrorCode); got != protocol.CodeUnknownTopicOrPartition {
		t.Errorf("the client does not allow it: %v", got)
	}
	if got := req("new", true); got.ErrorCode != 0 || len(got.Partitions) != 4 {
		t.Errorf("got %+v", got)
	}
	for _, name := range []string{"", ".", "..", "a/b", "../../etc", strings.Repeat("a", 250), "sp ace", "new\x00"} {
		if got := protocol.ErrorCode(req(name, true).ErrorCode); got != protocol.CodeInvalidTopicException {
			t.Errorf("name %q: %v", name, got)
		}
	}
}

func createTopics(c *rawClient, validateOnly bool, topics ...kmsg.CreateTopicsRequestTopic) []kmsg.CreateTopicsResponseTopic {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.ValidateOnly, req.Topics = 7, 10_000, validateOnly, topics
	return ask[*kmsg.CreateTopicsResponse](c, req).Topics
}

func newTopic(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	for i := 0; i < len(configs); i += 2 {
		cfg := kmsg.NewCreateTopicsRequestTopicConfig()
		cfg.Name, cfg.Value = configs[i], kmsg.StringPtr(configs[i+1])
		t.Configs = append(t.Configs, cfg)
	}
	return t
}

// TestCreateTopics: some of a request may fail while others succeed, and
// validate_only finds the same without creating.
func TestCreateTopics(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("taken", 1, nil)
	nullValue := newTopic("null-value", 1, 1, "retention.ms", "")
	nullValue.Configs[0].Value = nil
	assigned := newTopic("assigned", -1, -1)
	a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	a.Replicas = []int32{b.Node().ID()}
	assigned.ReplicaAssignment = append(assigned.ReplicaAssignment, a)
	badAssigned := newTopic("bad-assigned", -1, -1)
	a.Replicas = []int32{77}
	badAssigned.ReplicaAssignment = append(badAssigned.ReplicaAssignment, a)
	both := assigned
	both.Topic, both.NumPartitions = "both", 1
	for _, validateOnly := range []bool{true, false} {
		for _, x := range []struct {
			topic kmsg.CreateTopicsRequestTopic
			want  protocol.ErrorCode
		}{
			{newTopic("good", 2, 1, "retention.ms", "1000"), protocol.CodeNone},
			{newTopic("defaults", -1, -1), protocol.CodeNone},
			{assigned, protocol.CodeNone},
			{newTopic("taken", 1, 1), protocol.CodeTopicAlreadyExists},
			{newTopic("a/b", 1, 1), protocol.CodeInvalidTopicException},
			{newTopic("..", 1, 1), protocol.CodeInvalidTopicException},
			{newTopic("zero", 0, 1), protocol.CodeInvalidPartitions},
			{newTopic("minus", -2, 1), protocol.CodeInvalidPartitions},
			{newTopic("no-replicas", 1, 0), protocol.CodeInvalidReplicationFactor},
			{newTopic("many-replicas", 1, 3), protocol.CodeInvalidReplicationFactor},
			{newTopic("unknown-key", 1, 1, "retention.mss", "1"), protocol.CodeInvalidConfig},
			{newTopic("bad-value", 1, 1, "retention.ms", "soon"), protocol.CodeInvalidConfig},
			{newTopic("huge", 1<<30, 1), protocol.CodePolicyViolation},
			{nullValue, protocol.CodeInvalidConfig},
			{badAssigned, protocol.CodeInvalidReplicaAssignment},
			{both, protocol.CodeInvalidRequest},
		} {
			got := createTopics(c, validateOnly, x.topic)[0]
			if protocol.ErrorCode(got.ErrorCode) != x.want {
				t.Errorf("%s (validate only %v): got %v, want %v", x.topic.Topic, validateOnly, protocol.ErrorCode(got.ErrorCode), x.want)
			}
			if x.want != 0 && (got.ErrorMessage == nil || *got.ErrorMessage == "") {
				t.Errorf("%s: no words beside the code", x.topic.Topic)
			}
		}
		if n := len(metadataOf(c, 9, "good").Topics[0].Partitions); validateOnly && n != 0 {
			t.Error("validate_only created a topic")
		}
	}
	twice := createTopics(c, false, newTopic("twin", 1, 1), newTopic("fine", 1, 1), newTopic("twin", 1, 1))
	for i, want := range []protocol.ErrorCode{protocol.CodeInvalidRequest, protocol.CodeNone, protocol.CodeInvalidRequest} {
		if protocol.ErrorCode(twice[i].ErrorCode) != want {
			t.Errorf("topic %d of a request with twins: %v, want %v", i, protocol.ErrorCode(twice[i].ErrorCode), want)
		}
	}
}

// TestTopicsSurviveRestart: topics, configs, partitions and deletions are
// there again.
func TestTopicsSurviveRestart(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, nil)
	c := dial(t, b.Addr())
	keep := c.createTopic("keep", 1, map[string]string{"retention.ms": "1234567"})
	c.createTopic("gone", 1, nil)
	fill(t, c, 2, "keep", "gone")
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Version, grow.TimeoutMillis = 3, 10_000
	for _, x := range []struct {
		name  string
		count int32
	}{{"keep", 3}, {"gone", 1}, {"nope", 2}} {
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = x.name, x.count
		grow.Topics = append(grow.Topics, topic)
	}
	grown := ask[*kmsg.CreatePartitionsResponse](c, grow).Topics
	for i, want := range []protocol.ErrorCode{protocol.CodeNone, protocol.CodeInvalidPartitions, protocol.CodeUnknownTopicOrPartition} {
		if protocol.ErrorCode(grown[i].ErrorCode) != want {
			t.Errorf("create partitions of %s: %v, want %v", grown[i].Topic, protocol.ErrorCode(grown[i].ErrorCode), want)
		}
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TopicNames, del.TimeoutMillis = 5, []string{"gone", "nope"}, 10_000
	deleted := ask[*kmsg.DeleteTopicsResponse](c, del).Topics
	if deleted[0].ErrorCode != 0 || protocol.ErrorCode(deleted[1].ErrorCode) != protocol.CodeUnknownTopicOrPartition {
		t.Errorf("delete: %+v", deleted)
	}
	stop(t, b)

	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	c = dial(t, b.Addr())
	all := kmsg.NewPtrMetadataRequest()
	all.Version = 12
	topics := ask[*kmsg.MetadataResponse](c, all).Topics
	if len(topics) != 1 || topics[0].TopicID != keep || len(topics[0].Partitions) != 3 {
		t.Fatalf("after a restart: %+v", topics)
	}
	if n := len(offsets(t, c.fetch("keep", 0, 0).RecordBatches)); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
	if got := configValue(c, kmsg.ConfigResourceTypeTopic, "keep", "retention.ms"); got != "1234567" {
		t.Errorf("retention.ms is %q", got)
	}
	if again := c.createTopic("gone", 1, nil); len(c.fetch("gone", 0, 0).RecordBatches) != 0 || again == keep {
		t.Error("a topic made again begins empty")
	}
}

func configValue(c *rawClient, kind kmsg.ConfigResourceType, name, key string) string {
	c.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, []string{key}
	req.Resources = append(req.Resources, r)
	got := ask[*kmsg.DescribeConfigsResponse](c, req).Resources[0]
	if got.ErrorCode != 0 || len(got.Configs) != 1 || got.Configs[0].Value == nil {
		c.t.Fatalf("describe %s of %s: %+v", key, name, got)
	}
	return *got.Configs[0].Value
}

func incremental(c *rawClient, kind kmsg.ConfigResourceType, name, key string, op kmsg.IncrementalAlterConfigOp, value string) protocol.ErrorCode {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = 1
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	cfg.Name, cfg.Op, cfg.Value = key, op, &value
	r.Configs = append(r.Configs, cfg)
	req.Resources = append(req.Resources, r)
	return protocol.ErrorCode(ask[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0].ErrorCode)
}

// TestAlterConfigs: changes are in force at once, for what is produced too.
func TestAlterConfigs(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	topic := kmsg.ConfigResourceTypeTopic
	if got := incremental(c, topic, "t", "max.message.bytes", kmsg.IncrementalAlterConfigOpSet, "100"); got != 0 {
		t.Fatal(got)
	}
	large := batchOf(t, plain, recordbatch.CodecNone, record("k", strings.Repeat("v", 100)))
	if got := protocol.ErrorCode(c.produce("t", 0, -1, large).ErrorCode); got != protocol.CodeMessageTooLarge {
		t.Errorf("over the new limit: %v", got)
	}
	if got := incremental(c, topic, "t", "max.message.bytes", kmsg.IncrementalAlterConfigOpDelete, ""); got != 0 {
		t.Fatal(got)
	}
	if got := configValue(c, topic, "t", "max.message.bytes"); got != "1048588" {
		t.Errorf("back at the default: %s", got)
	}
	if got := incremental(c, topic, "t", "cleanup.policy", kmsg.IncrementalAlterConfigOpAppend, "compact"); got != 0 {
		t.Fatal(got)
	}
	if got := configValue(c, topic, "t", "cleanup.policy"); got != "delete,compact" {
		t.Errorf("cleanup.policy is %s", got)
	}
	for _, x := range []struct {
		kind      kmsg.ConfigResourceType
		name, key string
		op        kmsg.IncrementalAlterConfigOp
		value     string
		want      protocol.ErrorCode
	}{
		{topic, "t", "retention.ms", kmsg.IncrementalAlterConfigOpAppend, "1", protocol.CodeInvalidConfig},
		{topic, "t", "nope", kmsg.IncrementalAlterConfigOpSet, "1", protocol.CodeInvalidConfig},
		{topic, "nope", "retention.ms", kmsg.IncrementalAlterConfigOpSet, "1", protocol.CodeUnknownTopicOrPartition},
		{kmsg.ConfigResourceTypeBroker, "42", "log.retention.ms", kmsg.IncrementalAlterConfigOpSet, "1", protocol.CodeInvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "0", "x", kmsg.IncrementalAlterConfigOpSet, "1", protocol.CodeInvalidRequest},
	} {
		if got := incremental(c, x.kind, x.name, x.key, x.op, x.value); got != x.want {
			t.Errorf("%s of %q: got %v, want %v", x.key, x.name, got, x.want)
		}
	}
	if got := incremental(c, kmsg.ConfigResourceTypeBroker, "", "log.retention.ms", kmsg.IncrementalAlterConfigOpSet, "5000"); got != 0 {
		t.Fatal(got)
	}
	if got := configValue(c, topic, "t", "retention.ms"); got != "5000" {
		t.Errorf("a topic follows the cluster's default: retention.ms is %s", got)
	}
	full := kmsg.NewPtrAlterConfigsRequest()
	full.Version = 2
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = topic, "t"
	cfg := kmsg.NewAlterConfigsRequestResourceConfig()
	cfg.Name, cfg.Value = "segment.bytes", kmsg.StringPtr("2000000")
	r.Configs = append(r.Configs, cfg)
	full.Resources = append(full.Resources, r)
	if code := ask[*kmsg.AlterConfigsResponse](c, full).Resources[0].ErrorCode; code != 0 {
		t.Fatal(protocol.ErrorCode(code))
	}
	if got := configValue(c, topic, "t", "cleanup.policy"); got != "delete" {
		t.Errorf("what a full change leaves out goes back to its default: %s", got)
	}
}

func TestDeleteRecords(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	c.createTopic("compacted", 1, map[string]string{"cleanup.policy": "compact"})
	fill(t, c, 5, "t")
	remove := func(topic string, offset int64) kmsg.DeleteRecordsResponseTopicPartition {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version, req.TimeoutMillis = 2, 10_000
		topicReq := kmsg.NewDeleteRecordsRequestTopic()
		topicReq.Topic = topic
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Offset = offset
		topicReq.Partitions = append(topicReq.Partitions, p)
		req.Topics = append(req.Topics, topicReq)
		return ask[*kmsg.DeleteRecordsResponse](c, req).Topics[0].Partitions[0]
	}
	if got := remove("t", 3); got.ErrorCode != 0 || got.LowWatermark != 3 {
		t.Errorf("got %+v", got)
	}
	if got := protocol.ErrorCode(remove("t", 6).ErrorCode); got != protocol.CodeOffsetOutOfRange {
		t.Errorf("beyond the end: %v", got)
	}
	if got := protocol.ErrorCode(remove("compacted", 0).ErrorCode); got != protocol.CodePolicyViolation {
		t.Errorf("compacted: %v", got)
	}
	if got := protocol.ErrorCode(c.fetch("t", 0, 2).ErrorCode); got != protocol.CodeOffsetOutOfRange {
		t.Errorf("below the start: %v", got)
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	c = dial(t, b.Addr())
	if got := c.fetch("t", 0, 3); got.LogStartOffset != 3 || got.HighWatermark != 5 {
		t.Errorf("after a restart: start %d, high watermark %d", got.LogStartOffset, got.HighWatermark)
	}
	if got := remove("t", -1); got.LowWatermark != 5 {
		t.Errorf("-1 is the high watermark: %+v", got)
	}
}

func TestListOffsets(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	at := func(ms int64) recordbatch.Record { r := record("k", "v"); r.Timestamp = testTime + ms; return r }
	c.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, at(10), at(5), at(40)))
	c.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecZstd, at(20), at(30)))
	list := func(version int16, ts int64) (int64, int64, protocol.ErrorCode) {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.ReplicaID = version, -1
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = "t"
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp, p.CurrentLeaderEpoch = ts, -1
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		got := ask[*kmsg.ListOffsetsResponse](c, req).Topics[0].Partitions[0]
		return got.Offset, got.Timestamp, protocol.ErrorCode(got.ErrorCode)
	}
	for _, x := range []struct {
		name    string
		version int16
		ts      int64
		offset  int64
		at      int64 // 0: -1
		want    protocol.ErrorCode
	}{
		{"earliest", 1, -2, 0, 0, 0},
		{"latest", 1, -1, 5, 0, 0},
		{"largest timestamp", 7, -3, 2, 40, 0},
		{"earliest local", 8, -4, 0, 0, 0},
		{"latest tiered", 9, -5, -1, 0, 0},
		{"earliest pending upload", 11, -6, -1, 0, 0},
		{"before all", 4, testTime, 0, 10, 0},
		{"exactly the first", 4, testTime + 10, 0, 10, 0},
		{"the first that reaches it, not the nearest", 4, testTime + 11, 2, 40, 0},
		{"within the second batch's range", 4, testTime + 25, 2, 40, 0},
		{"after all", 4, testTime + 41, -1, 0, 0},
		{"largest timestamp, too early", 6, -3, -1, 0, protocol.CodeUnsupportedVersion},
		{"tiered, too early", 8, -5, -1, 0, protocol.CodeUnsupportedVersion},
		{"no such special", 11, -9, -1, 0, protocol.CodeUnsupportedVersion},
	} {
		offset, ts, code := list(x.version, x.ts)
		wantTime := int64(-1)
		if x.at != 0 {
			wantTime = testTime + x.at
		}
		if offset != x.offset || ts != wantTime || code != x.want {
			t.Errorf("%s: got offset %d at %d, %v; want %d at %d, %v", x.name, offset, ts, code, x.offset, wantTime, x.want)
		}
	}
}

func TestDescribeCluster(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version, req.EndpointType = 2, 1
	got := ask[*kmsg.DescribeClusterResponse](c, req)
	if got.ErrorCode != 0 || got.ClusterID != b.Node().ClusterID() || len(got.Brokers) != 1 || got.ControllerID != got.Brokers[0].NodeID {
		t.Errorf("got %+v", got)
	}
	req.EndpointType = 2
	if code := protocol.ErrorCode(ask[*kmsg.DescribeClusterResponse](c, req).ErrorCode); code != protocol.CodeUnsupportedEndpointType {
		t.Errorf("controllers: %v", code)
	}
}

// TestDescribeTopicPartitionsPages: pages join to the whole.
func TestDescribeTopicPartitionsPages(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("a", 5, nil)
	c.createTopic("b", 1, nil)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2
	var seen []string
	for range 10 {
		got := ask[*kmsg.DescribeTopicPartitionsResponse](c, req)
		n := 0
		for _, topic := range got.Topics {
			for _, p := range topic.Partitions {
				seen = append(seen, *topic.Topic+string(rune('0'+p.Partition)))
				n++
			}
		}
		if n > 2 {
			t.Fatalf("a page of %d partitions", n)
		}
		if got.NextCursor == nil {
			break
		}
		next := kmsg.NewDescribeTopicPartitionsRequestCursor()
		next.Topic, next.Partition = got.NextCursor.Topic, got.NextCursor.Partition
		req.Cursor = &next
	}
	if want := []string{"a0", "a1", "a2", "a3", "a4", "b0"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func TestDescribeLogDirs(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	fill(t, c, 3, "t")
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 4
	dirs := ask[*kmsg.DescribeLogDirsResponse](c, req).Dirs
	if len(dirs) != 1 || dirs[0].TotalBytes <= 0 || dirs[0].UsableBytes <= 0 || len(dirs[0].Topics) != 1 {
		t.Fatalf("got %+v", dirs)
	}
	if p := dirs[0].Topics[0].Partitions; len(p) != 2 || p[0].Size <= p[1].Size {
		t.Errorf("got %+v", p)
	}
}

// TestApiVersions: a version from the future is answered in the oldest form
// and the connection lives on (KIP-511).
func TestApiVersions(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "raw", "1"
	if got := ask[*kmsg.ApiVersionsResponse](c, req); got.ErrorCode != 0 || len(got.ApiKeys) != len(protocol.APIs()) {
		t.Errorf("got %+v", got)
	}
	req.ClientSoftwareName = "no spaces"
	if got := protocol.ErrorCode(ask[*kmsg.ApiVersionsResponse](c, req).ErrorCode); got != protocol.CodeInvalidRequest {
		t.Errorf("a bad name: %v", got)
	}
	frame := []byte{0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0xde, 0xad}
	if _, err := c.conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	body := c.frame()
	got := kmsg.NewPtrApiVersionsResponse()
	if err := got.ReadFrom(body[4:]); err != nil || body[3] != 7 {
		t.Fatalf("%v: %x", err, body)
	}
	if protocol.ErrorCode(got.ErrorCode) != protocol.CodeUnsupportedVersion || len(got.ApiKeys) != 1 || got.ApiKeys[0].ApiKey != 18 {
		t.Errorf("got %+v", got)
	}
	req.ClientSoftwareName = "raw"
	ask[*kmsg.ApiVersionsResponse](c, req)
}
