package broker_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/cluster/broker/brokertest"
	"weir/cluster/metadata"
	"weir/protocol"
)

// creation reads an ACL as "allow|deny PRINCIPAL HOST", for reading the topic t.
func creation(text string) kmsg.CreateACLsRequestCreation {
	f := strings.Fields(text)
	in := kmsg.NewCreateACLsRequestCreation()
	in.ResourceType, in.ResourcePatternType, in.ResourceName = kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral, "t"
	in.PermissionType, in.Principal, in.Host, in.Operation = kmsg.ACLPermissionTypeAllow, f[1], f[2], kmsg.ACLOperationRead
	if f[0] == "deny" {
		in.PermissionType = kmsg.ACLPermissionTypeDeny
	}
	return in
}

func createACLs(c *rawClient, version int16, creations ...kmsg.CreateACLsRequestCreation) (codes []protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	req.Version, req.Creations = version, creations
	for _, r := range ask[*kmsg.CreateACLsResponse](c, req).Results {
		if (r.ErrorCode == 0) != (r.ErrorMessage == nil) {
			c.t.Errorf("answered: %+v", r)
		}
		codes = append(codes, protocol.ErrorCode(r.ErrorCode))
	}
	return codes
}

// describeACLs lists what there is for a principal as "pattern name: host, host"; empty: for all.
func describeACLs(c *rawClient, version int16, principal string) (found []string, code protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeACLsRequest()
	req.Version, req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = version, 1, 1, 1, 1
	if principal != "" {
		req.Principal = &principal
	}
	resp := ask[*kmsg.DescribeACLsResponse](c, req)
	for _, r := range resp.Resources {
		var hosts []string
		for _, a := range r.ACLs {
			hosts = append(hosts, a.Host)
		}
		found = append(found, fmt.Sprintf("%v %s: %s", r.ResourcePatternType, r.ResourceName, strings.Join(hosts, ", ")))
	}
	return found, protocol.ErrorCode(resp.ErrorCode)
}

func deleteACLs(c *rawClient, version int16, filters ...kmsg.DeleteACLsRequestFilter) []kmsg.DeleteACLsResponseResult {
	c.t.Helper()
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Version, req.Filters = version, filters
	return ask[*kmsg.DeleteACLsResponse](c, req).Results
}

// filterFor takes all ACLs of a principal.
func filterFor(principal string) kmsg.DeleteACLsRequestFilter {
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType, f.Principal = 1, 1, 1, 1, &principal
	return f
}

// TestACLsAreKept goes through their life in every version, and a restart.
func TestACLsAreKept(t *testing.T) {
	settings := map[string]string{"authorizer.class.name": standardAuthorizer, "super.users": "User:ANONYMOUS"}
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, settings)
	c := dial(t, b.Addr())
	api, _ := protocol.Lookup(protocol.KeyCreateACLs)
	for v := api.Min; v <= api.Max; v++ {
		other := creation("deny User:x 10.0.0.0/8")
		other.ResourcePatternType, other.ResourceName = kmsg.ACLResourcePatternTypePrefixed, "t-"
		if got := createACLs(c, v, creation("allow User:x *"), creation("deny User:x ::1"), other, creation("allow User:x *")); !slices.Equal(got, codes(0, 0, 0, 0)) {
			t.Fatalf("version %d: %v", v, got)
		}
		if got, code := describeACLs(c, v, "User:x"); code != 0 || !slices.Equal(got, []string{"LITERAL t: *, ::1", "PREFIXED t-: 10.0.0.0/8"}) {
			t.Errorf("version %d: %v, %q", v, code, got)
		}
		prefixed := filterFor("User:x")
		prefixed.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
		got := deleteACLs(c, v, prefixed, filterFor("User:nobody"), filterFor("User:x"))
		if len(got) != 3 || len(got[0].MatchingACLs) != 1 || len(got[1].MatchingACLs) != 0 || len(got[2].MatchingACLs) != 3 || got[0].MatchingACLs[0].Host != "10.0.0.0/8" {
			t.Errorf("version %d: deleted %+v", v, got)
		}
		if got, code := describeACLs(c, v, ""); code != 0 || len(got) != 0 {
			t.Errorf("version %d: left are %v, %q", v, code, got)
		}
	}
	createACLs(c, 3, creation("allow User:y *"))
	stop(t, b)
	b = brokertest.StartIn(t, dir, settings)
	t.Cleanup(func() { brokertest.Stop(t, b) })
	if got, code := describeACLs(dial(t, b.Addr()), 3, "User:y"); code != 0 || len(got) != 1 {
		t.Errorf("after a restart: %v, %q", code, got)
	}
}

// TestACLsThatAreRefused has a row for each reason; the ACLs beside it are taken.
func TestACLsThatAreRefused(t *testing.T) {
	c := dial(t, guarded(t, nil).Addr())
	for what, change := range map[string]func(*kmsg.CreateACLsRequestCreation){
		"any type":        func(in *kmsg.CreateACLsRequestCreation) { in.ResourceType = kmsg.ACLResourceTypeAny },
		"unknown type":    func(in *kmsg.CreateACLsRequestCreation) { in.ResourceType = 100 },
		"match":           func(in *kmsg.CreateACLsRequestCreation) { in.ResourcePatternType = kmsg.ACLResourcePatternTypeMatch },
		"another cluster": func(in *kmsg.CreateACLsRequestCreation) { in.ResourceType = kmsg.ACLResourceTypeCluster },
		"any operation":   func(in *kmsg.CreateACLsRequestCreation) { in.Operation = kmsg.ACLOperationAny },
		"any permission":  func(in *kmsg.CreateACLsRequestCreation) { in.PermissionType = kmsg.ACLPermissionTypeAny },
		"no name":         func(in *kmsg.CreateACLsRequestCreation) { in.ResourceName = "" },
		"long name": func(in *kmsg.CreateACLsRequestCreation) {
			in.ResourceName = strings.Repeat("t", metadata.MaxACLStringBytes+1)
		},
		"principal of none": func(in *kmsg.CreateACLsRequestCreation) { in.Principal = "alice" },
		"name of a host":    func(in *kmsg.CreateACLsRequestCreation) { in.Host = "localhost" },
	} {
		in := creation("allow User:x *")
		change(&in)
		if got := createACLs(c, 3, in, creation("allow User:x *")); !slices.Equal(got, codes(protocol.CodeInvalidRequest, 0)) {
			t.Errorf("%s: %v", what, got)
		}
	}
	bad := filterFor("User:x")
	bad.Operation = 0
	if got := deleteACLs(c, 3, bad, filterFor("User:x")); protocol.ErrorCode(got[0].ErrorCode) != protocol.CodeInvalidRequest || len(got[1].MatchingACLs) != 1 {
		t.Errorf("a filter of no operation: %+v", got)
	}
	if got := deleteACLs(c, 3, slices.Repeat([]kmsg.DeleteACLsRequestFilter{filterFor("User:x")}, 1001)...); protocol.ErrorCode(got[1000].ErrorCode) != protocol.CodeInvalidRequest {
		t.Errorf("1001 filters: %+v", got[1000])
	}
	req := kmsg.NewPtrDescribeACLsRequest()
	req.Version = 3
	if got := protocol.ErrorCode(ask[*kmsg.DescribeACLsResponse](c, req).ErrorCode); got != protocol.CodeInvalidRequest {
		t.Errorf("a filter of nothing: %v", got)
	}
}

// TestManyACLs: there is a limit on them, and on what an answer names over and over. All can be deleted at once, though they
// are more than a command of the metadata takes.
func TestManyACLs(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"authorizer.class.name": standardAuthorizer, "super.users": "User:ANONYMOUS"})
	var acls []metadata.ACL
	for i := range metadata.MaxACLs {
		a := aclOf(t, "*", "read topic:t")
		a.Name = fmt.Sprintf("%0*d", metadata.MaxACLStringBytes, i)
		acls = append(acls, a)
	}
	for some := range slices.Chunk(acls, 5_000) {
		if _, err := b.Node().AddACLs(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, b.Addr())
	if got := createACLs(c, 3, creation("allow User:x *")); got[0] != protocol.CodePolicyViolation {
		t.Errorf("one more: %v", got)
	}
	everything := filterFor("User:ANONYMOUS")
	got := deleteACLs(c, 3, everything, everything, everything)
	if len(got[0].MatchingACLs) != metadata.MaxACLs || len(got[1].MatchingACLs) != metadata.MaxACLs ||
		protocol.ErrorCode(got[2].ErrorCode) != protocol.CodePolicyViolation || len(got[2].MatchingACLs) != 0 {
		t.Errorf("three filters for all name %d, %d and %d: %v", len(got[0].MatchingACLs), len(got[1].MatchingACLs), len(got[2].MatchingACLs), protocol.ErrorCode(got[2].ErrorCode))
	}
	if left := b.Node().Image().ACLs().ACLs; len(left) != 0 {
		t.Errorf("%d are left", len(left))
	}
}

// TestWithoutAnAuthorizer: there are no ACLs, everybody may do everything, and is told so.
func TestWithoutAnAuthorizer(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	_, described := describeACLs(c, 3, "")
	created := createACLs(c, 3, creation("allow User:x *"))
	deleted := protocol.ErrorCode(deleteACLs(c, 3, filterFor("User:x"))[0].ErrorCode)
	for _, got := range []protocol.ErrorCode{described, created[0], deleted} {
		if got != protocol.CodeSecurityDisabled {
			t.Errorf("got %v", got)
		}
	}
	c.createTopic("t", 1, nil)
	if got, want := operationsOf(c), [3]int32{int32(acl.Supported(acl.TypeTopic)), int32(acl.Supported(acl.TypeCluster)), int32(acl.Supported(acl.TypeGroup))}; got != want {
		t.Errorf("operations are %b, want %b", got, want)
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	if got := ask[*kmsg.DescribeClusterResponse](c, req).ClusterAuthorizedOperations; got != math.MinInt32 {
		t.Errorf("not asked, and told %b", got)
	}
}

// operationsOf are those for the topic t, the cluster and the group g, as they are told.
func operationsOf(c *rawClient) [3]int32 {
	c.t.Helper()
	m := kmsg.NewPtrMetadataRequest()
	m.Version, m.IncludeTopicAuthorizedOperations, m.IncludeClusterAuthorizedOperations = 10, true, true
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("t")
	m.Topics, m.AllowAutoTopicCreation = append(m.Topics, topic), false
	described := ask[*kmsg.MetadataResponse](c, m)
	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.IncludeClusterAuthorizedOperations = true
	if got := ask[*kmsg.DescribeClusterResponse](c, cluster).ClusterAuthorizedOperations; got != described.AuthorizedOperations {
		c.t.Errorf("DescribeCluster tells %b, Metadata %b", got, described.AuthorizedOperations)
	}
	groups := kmsg.NewPtrDescribeGroupsRequest()
	groups.Version, groups.IncludeAuthorizedOperations, groups.Groups = 5, true, []string{"g"}
	return [3]int32{described.Topics[0].AuthorizedOperations, described.AuthorizedOperations, ask[*kmsg.DescribeGroupsResponse](c, groups).Groups[0].AuthorizedOperations}
}

// TestAuthorizedOperations: a client is told what it may do, and nothing of what it may not describe.
func TestAuthorizedOperations(t *testing.T) {
	b := guarded(t, nil)
	dial(t, b.Addr()).createTopic("t", 1, nil)
	grant(t, b, "127.0.0.2", "read topic:t", "alterConfigs topic:t", "delete group:g", "create cluster")
	c := dialFrom(t, "127.0.0.2", b.Addr())
	bits := func(ops ...acl.Operation) (n int32) {
		for _, op := range ops {
			n |= 1 << op
		}
		return n
	}
	want := [3]int32{bits(acl.Read, acl.Describe, acl.DescribeConfigs, acl.AlterConfigs), 0, bits(acl.Delete, acl.Describe)}
	if got := operationsOf(c); got != want {
		t.Errorf("got %b, want %b", got, want)
	}
	grant(t, b, "127.0.0.2", "describe cluster")
	want[1] = bits(acl.Create, acl.Describe)
	if got := operationsOf(c); got != want {
		t.Errorf("who may describe the cluster: %b, want %b", got, want)
	}
}

// TestHiddenTopics: who may not describe a topic learns neither that it is there nor its id.
func TestHiddenTopics(t *testing.T) {
	b := guarded(t, map[string]string{"auto.create.topics.enable": "true"})
	id := dial(t, b.Addr()).createTopic("there", 1, nil)
	c := dialFrom(t, "127.0.0.2", b.Addr())
	got := metadataOf(c, 12, "there", "gone").Topics
	for _, topic := range got {
		if protocol.ErrorCode(topic.ErrorCode) != noTopic || topic.TopicID != [16]byte{} || len(topic.Partitions) != 0 || topic.AuthorizedOperations != math.MinInt32 {
			t.Errorf("told: %+v", topic)
		}
	}
	byID := kmsg.NewPtrMetadataRequest()
	byID.Version = 12
	for _, want := range [][16]byte{id, {9}} {
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = want
		byID.Topics = append(byID.Topics, topic)
	}
	got = ask[*kmsg.MetadataResponse](c, byID).Topics
	if protocol.ErrorCode(got[0].ErrorCode) != noTopic || got[0].Topic != nil || protocol.ErrorCode(got[1].ErrorCode) != protocol.CodeUnknownTopicID {
		t.Errorf("by id: %+v", got)
	}

	// Asking creates a topic only for who may create it.
	create := func(name string) protocol.ErrorCode {
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.AllowAutoTopicCreation = 9, true
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
		return protocol.ErrorCode(ask[*kmsg.MetadataResponse](c, req).Topics[0].ErrorCode)
	}
	grant(t, b, "127.0.0.2", "describe topic:*")
	if got := create("new"); got != noTopic || b.Node().Topic("new") != nil {
		t.Errorf("without the right to create: %v", got)
	}
	grant(t, b, "127.0.0.2", "create topic:new")
	if got := create("new"); got != 0 {
		t.Errorf("with the right to create it: %v", got)
	}
	grant(t, b, "127.0.0.2", "create cluster")
	if got := create("another"); got != 0 {
		t.Errorf("with the right to create any: %v", got)
	}

	// A topic that may be described, and not deleted, keeps its name in the answer; one that may not, does not get one by its id.
	remove := func(host string) kmsg.DeleteTopicsResponseTopic {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version = 6
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.TopicID = id
		req.Topics = append(req.Topics, topic)
		return ask[*kmsg.DeleteTopicsResponse](dialFrom(t, host, b.Addr()), req).Topics[0]
	}
	if got := remove("127.0.0.2"); protocol.ErrorCode(got.ErrorCode) != noTopic || got.Topic == nil || *got.Topic != "there" {
		t.Errorf("deletion by who may describe it: %+v", got)
	}
	if got := remove("127.0.0.3"); protocol.ErrorCode(got.ErrorCode) != noTopic || got.Topic != nil {
		t.Errorf("deletion by who may not: %+v", got)
	}
}

// TestRightsChangeAtOnce: also for who is connected, and reads in a session.
func TestRightsChangeAtOnce(t *testing.T) {
	b := guarded(t, nil)
	admin := dial(t, b.Addr())
	id := admin.createTopic("t", 1, nil)
	c := dialFrom(t, "127.0.0.2", b.Addr())
	req := fetchRequest(13, "", id, 0, 0)
	req.SessionEpoch = 0
	fetched := func() protocol.ErrorCode {
		resp := ask[*kmsg.FetchResponse](c, req)
		req.SessionID, req.SessionEpoch, req.Topics = resp.SessionID, req.SessionEpoch+1, nil
		if resp.ErrorCode != 0 {
			t.Fatal(protocol.ErrorCode(resp.ErrorCode))
		}
		if len(resp.Topics) == 0 {
			return 0
		}
		return protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	grant(t, b, "127.0.0.2", "read topic:t")
	want(t, "allowed", fetched(), 0)
	revoke(t, b, "127.0.0.2", "read topic:t")
	want(t, "not any more", fetched(), noTopic)
	grant(t, b, "127.0.0.2", "read topic:t...")
	want(t, "again", fetched(), 0)
}

// TestACLsOfACluster: any broker takes them, and all go by them; what brokers ask of each other needs none.
func TestACLsOfACluster(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string {
		return map[string]string{"authorizer.class.name": standardAuthorizer}
	})
	grant(t, brokers[0], home, "all cluster", "all topic:*", "all id:*", "all group:*")
	for i, b := range brokers {
		brokertest.Eventually(t, "every broker has the rights", func() bool {
			_, code := describeACLs(dial(t, b.Addr()), 3, "")
			return code == 0
		})
		if got := createACLs(dial(t, b.Addr()), 3, creation(fmt.Sprintf("allow User:x 10.0.0.%d", i))); got[0] != 0 {
			t.Errorf("broker %d: %v", i, got)
		}
	}
	if got := deleteACLs(dial(t, brokers[0].Addr()), 3, filterFor("User:x")); len(got[0].MatchingACLs) != len(brokers) {
		t.Errorf("deleted %+v", got)
	}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "numbers", Partitions: 6, Replicas: 3})
	cl := newClient(t, brokers, kgo.TransactionalID("id"))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produceNumbers(t, cl, "numbers", 1, 20)
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	consumeNumbers(t, brokers, "numbers", 20, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}

// TestRegexOfWhatMayBeDescribed: a member that subscribes by a regular expression gets what it may describe, as that changes.
func TestRegexOfWhatMayBeDescribed(t *testing.T) {
	b := guarded(t, nil)
	admin := dial(t, b.Addr())
	admin.createTopic("a1", 1, nil)
	admin.createTopic("a2", 2, nil)
	grant(t, b, "127.0.0.2", "read group:g", "describe topic:a1")
	m := newBeater(dialFrom(t, "127.0.0.2", b.Addr()), "g", "m")
	req := m.request()
	req.RebalanceTimeoutMillis, req.SubscribedTopicRegex, req.Topics = 60_000, kmsg.StringPtr("a.*"), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	want(t, "join", protocol.ErrorCode(m.send(req).ErrorCode), 0)
	settle(t, map[*beater]int{m: 1})
	grant(t, b, "127.0.0.2", "describe topic:a2")
	settle(t, map[*beater]int{m: 3})
	revoke(t, b, "127.0.0.2", "describe topic:a1")
	settle(t, map[*beater]int{m: 2})
	revoke(t, b, "127.0.0.2", "read group:g")
	want(t, "without the group", protocol.ErrorCode(m.beat().ErrorCode), noGroup)
}
