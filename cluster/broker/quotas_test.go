package broker_test

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/cluster/quota"
	"weir/protocol"
)

// of reads an entity as "user=u client-id"; without a name it is the default.
func alterEntry(of string, values map[string]float64) kmsg.AlterClientQuotasRequestEntry {
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	for _, word := range strings.Fields(of) {
		e := kmsg.NewAlterClientQuotasRequestEntryEntity()
		if kind, name, named := strings.Cut(word, "="); named {
			e.Type, e.Name = kind, &name
		} else {
			e.Type = word
		}
		entry.Entity = append(entry.Entity, e)
	}
	for key, value := range values {
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Value, op.Remove = key, value, value == 0
		entry.Ops = append(entry.Ops, op)
	}
	return entry
}

func alterQuotas(c *rawClient, version int16, validate bool, entries ...kmsg.AlterClientQuotasRequestEntry) (codes []protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Version, req.ValidateOnly, req.Entries = version, validate, entries
	for i, e := range ask[*kmsg.AlterClientQuotasResponse](c, req).Entries {
		if len(e.Entity) != len(entries[i].Entity) || (e.ErrorCode == 0) != (e.ErrorMessage == nil) {
			c.t.Errorf("answered: %+v", e)
		}
		codes = append(codes, protocol.ErrorCode(e.ErrorCode))
	}
	return codes
}

// setQuota sets one quota of every client id that has none of its own, or with 0 removes it.
func setQuota(c *rawClient, k quota.Kind, value float64) {
	c.t.Helper()
	if codes := alterQuotas(c, 1, false, alterEntry("client-id", map[string]float64{k.String(): value})); codes[0] != 0 {
		c.t.Fatal(codes)
	}
}

// component of a filter: "user=u" is one name, "user" the default, "user*" any.
func component(of string) kmsg.DescribeClientQuotasRequestComponent {
	c := kmsg.NewDescribeClientQuotasRequestComponent()
	if kind, name, named := strings.Cut(of, "="); named {
		c.EntityType, c.Match = kind, &name
	} else if kind, any := strings.CutSuffix(of, "*"); any {
		c.EntityType, c.MatchType = kind, 2
	} else {
		c.EntityType, c.MatchType = of, 1
	}
	return c
}

func describeQuotas(c *rawClient, version int16, strict bool, filter ...kmsg.DescribeClientQuotasRequestComponent) (of []string, code protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Version, req.Strict, req.Components = version, strict, filter
	resp := ask[*kmsg.DescribeClientQuotasResponse](c, req)
	if (resp.Entries == nil) != (resp.ErrorCode != 0) {
		c.t.Errorf("entries %v, error %d", resp.Entries, resp.ErrorCode)
	}
	for _, e := range resp.Entries {
		var words []string
		for _, n := range e.Entity {
			word := n.Type
			if n.Name != nil {
				word += "=" + *n.Name
			}
			words = append(words, word)
		}
		for _, v := range e.Values {
			words = append(words, fmt.Sprintf("%s:%g", v.Key, v.Value))
		}
		of = append(of, strings.Join(words, " "))
	}
	return of, protocol.ErrorCode(resp.ErrorCode)
}

// TestQuotasAreKept has a row for each way to ask for them (KIP-546), also after a restart.
func TestQuotasAreKept(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, nil)
	c := dial(t, b.Addr())
	produce := map[string]float64{"producer_byte_rate": 1e9}
	for _, of := range []string{"client-id=c", "client-id", "user=u", "user", "user=u client-id=c", "client-id user=u", "client-id=c user"} {
		if codes := alterQuotas(c, 0, false, alterEntry(of, produce), alterEntry(of, map[string]float64{"request_percentage": 99.5})); !reflect.DeepEqual(codes, make([]protocol.ErrorCode, 2)) {
			t.Fatalf("%s: %v", of, codes)
		}
	}
	alterQuotas(c, 1, false, alterEntry("client-id=d", produce), alterEntry("client-id=d", map[string]float64{"producer_byte_rate": 0}))
	alterQuotas(c, 1, true, alterEntry("client-id=only-checked", produce))
	stop(t, b)
	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	c = dial(t, b.Addr())
	all := []string{"client-id", "client-id=c", "user", "user client-id=c", "user=u", "user=u client-id", "user=u client-id=c"}
	for _, x := range []struct {
		filter string
		strict bool
		want   []int // in all
	}{
		{"", false, []int{0, 1, 2, 3, 4, 5, 6}},
		{"", true, nil},
		{"client-id=c", false, []int{1, 3, 6}},
		{"client-id=c", true, []int{1}},
		{"client-id", false, []int{0, 5}},
		{"client-id*", false, []int{0, 1, 3, 5, 6}},
		{"client-id*", true, []int{0, 1}},
		{"user*", true, []int{2, 4}},
		{"user client-id*", true, []int{3}},
		{"user=u client-id*", false, []int{5, 6}},
		{"user=u client-id=c", true, []int{6}},
		{"user=nobody", false, nil},
		{"ip*", false, nil},
	} {
		var filter []kmsg.DescribeClientQuotasRequestComponent
		for _, word := range strings.Fields(x.filter) {
			filter = append(filter, component(word))
		}
		var want []string
		for _, i := range x.want {
			want = append(want, all[i]+" producer_byte_rate:1e+09 request_percentage:99.5")
		}
		for version := range int16(2) {
			if got, code := describeQuotas(c, version, x.strict, filter...); code != 0 || !slices.Equal(got, want) {
				t.Errorf("%q, strict %t, v%d: %v, %q, want %q", x.filter, x.strict, version, code, got, want)
			}
		}
	}
}

func TestQuotasThatAreRefused(t *testing.T) {
	c := dial(t, brokertest.Start(t, nil).Addr())
	produce := map[string]float64{"producer_byte_rate": 1}
	for what, entry := range map[string]kmsg.AlterClientQuotasRequestEntry{
		"nobody":       alterEntry("", produce),
		"a type twice": alterEntry("user=u user=v", produce),
		"an address":   alterEntry("ip=127.0.0.1", map[string]float64{"connection_creation_rate": 1}),
		"no type":      alterEntry("=x", produce),
		"no name":      alterEntry("client-id=", produce),
		"a long name":  alterEntry("client-id="+strings.Repeat("x", 256), produce),
		"mutations":    alterEntry("user", map[string]float64{"controller_mutation_rate": 1}),
		"no key":       alterEntry("user", map[string]float64{"": 1}),
		"below 0":      alterEntry("user", map[string]float64{"producer_byte_rate": -1}),
		"half a byte":  alterEntry("user", map[string]float64{"consumer_byte_rate": 1.5}),
		"too many":     alterEntry("user", map[string]float64{"consumer_byte_rate": 1e19}),
		"no number":    alterEntry("user", map[string]float64{"request_percentage": math.NaN()}),
		"no end":       alterEntry("user", map[string]float64{"request_percentage": math.Inf(1)}),
		"half good":    alterEntry("user", map[string]float64{"producer_byte_rate": 1, "x": 1}),
	} {
		for _, validate := range []bool{true, false} {
			if codes := alterQuotas(c, 1, validate, entry, alterEntry("user=good", produce)); codes[0] != protocol.CodeInvalidRequest || codes[1] != 0 {
				t.Errorf("%s: %v", what, codes)
			}
		}
	}
	zero := alterEntry("user", produce)
	zero.Ops[0].Value = 0
	if codes := alterQuotas(c, 1, false, zero); codes[0] != protocol.CodeInvalidRequest {
		t.Errorf("0: %v", codes)
	}
	if got, _ := describeQuotas(c, 1, false); !slices.Equal(got, []string{"user=good producer_byte_rate:1"}) {
		t.Errorf("there are %q", got)
	}
	nameless, named, strange := component("user=u"), component("user"), component("user")
	nameless.Match, strange.MatchType = nil, 3
	named.Match = kmsg.StringPtr("u")
	for what, x := range map[string]struct {
		filter []kmsg.DescribeClientQuotasRequestComponent
		want   protocol.ErrorCode
	}{
		"no type":           {[]kmsg.DescribeClientQuotasRequestComponent{component("=u")}, protocol.CodeInvalidRequest},
		"a strange type":    {[]kmsg.DescribeClientQuotasRequestComponent{component("group=g")}, protocol.CodeUnsupportedVersion},
		"twice":             {[]kmsg.DescribeClientQuotasRequestComponent{component("user"), component("user*")}, protocol.CodeInvalidRequest},
		"no name":           {[]kmsg.DescribeClientQuotasRequestComponent{nameless}, protocol.CodeInvalidRequest},
		"the default named": {[]kmsg.DescribeClientQuotasRequestComponent{named}, protocol.CodeInvalidRequest},
		"a strange match":   {[]kmsg.DescribeClientQuotasRequestComponent{strange}, protocol.CodeInvalidRequest},
		"ip and user":       {[]kmsg.DescribeClientQuotasRequestComponent{component("ip"), component("user")}, protocol.CodeInvalidRequest},
	} {
		if _, code := describeQuotas(c, 1, false, x.filter...); code != x.want {
			t.Errorf("filter with %s: %v", what, code)
		}
	}
}

// held fails if a request that a client sends, against what it was told, is done before quotas change.
func held(t *testing.T, b *broker.Broker, c, other *rawClient, k quota.Kind) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "held", 1, 1
	req.Topics = append(req.Topics, topic)
	id := c.send(req)
	for range 20 {
		describeQuotas(other, 1, false)
		if b.Node().Topic("held") != nil {
			t.Fatal("the request of a client that has to wait was handled")
		}
	}
	if b.Quotas().Throttled(k).Answers.Load() == 0 || b.Quotas().Throttled(k).Nanos.Load() == 0 {
		t.Error("nobody was told to wait")
	}
	setQuota(other, k, 0)
	if got := c.receive(req, id).(*kmsg.CreateTopicsResponse); got.Topics[0].ErrorCode != 0 || got.ThrottleMillis != 0 {
		t.Errorf("without the quota: %+v", got)
	}
}

// TestProduceOverQuota: the answer comes at once, says how long to wait, and who does not wait is held; a change of the quota
// counts at once for connections that are there.
func TestProduceOverQuota(t *testing.T) {
	for _, acks := range []int16{-1, 1, 0} {
		t.Run(fmt.Sprint(acks), func(t *testing.T) {
			b := brokertest.Start(t, nil)
			c, other := dial(t, b.Addr()), dial(t, b.Addr())
			id := c.createTopic("t", 1, nil)
			batch := batchOf(t, plain, 0, record("k", "v"))
			req := produceRequest(13, "", id, 0, -1, batch)
			if got := ask[*kmsg.ProduceResponse](c, req); got.ThrottleMillis != 0 {
				t.Errorf("without a quota: %+v", got)
			}
			setQuota(other, quota.Produce, 1)
			req.Acks = acks
			if acks == 0 {
				c.send(req)
				brokertest.Eventually(t, "the record is there", func() bool { return other.fetch("t", 0, 1).HighWatermark == 2 })
				brokertest.Eventually(t, "the client has to wait", func() bool { return b.Quotas().Throttled(quota.Produce).Answers.Load() > 0 })
			} else if got := ask[*kmsg.ProduceResponse](c, req); got.Topics[0].Partitions[0].ErrorCode != 0 || got.ThrottleMillis < 50_000 {
				t.Errorf("over the quota: %+v", got)
			}
			held(t, b, c, other, quota.Produce)
		})
	}
}

// TestFetchOverQuota: one answer goes beyond the quota; from then on there is nothing for the client, on any connection.
func TestFetchOverQuota(t *testing.T) {
	b := brokertest.Start(t, nil)
	c, second, other := dial(t, b.Addr()), dial(t, b.Addr()), dial(t, b.Addr())
	id := c.createTopic("t", 1, nil)
	batch := batchOf(t, plain, 0, record("k", "v"))
	for range 3 {
		c.produce("t", 0, 1, batch)
	}
	setQuota(other, quota.Fetch, 1)
	req := fetchRequest(13, "", id, 0, 0)
	req.SessionEpoch = 0
	got := ask[*kmsg.FetchResponse](c, req)
	if got.ThrottleMillis < 50_000 || got.ErrorCode != 0 || got.SessionID == 0 || len(got.Topics[0].Partitions[0].RecordBatches) != len(batch) {
		t.Errorf("first: %+v", got)
	}
	if got := ask[*kmsg.FetchResponse](second, req); got.ThrottleMillis < 50_000 || got.ErrorCode != 0 || got.SessionID != 0 || len(got.Topics) != 0 {
		t.Errorf("when it is used up: %+v", got)
	}
	held(t, b, c, other, quota.Fetch)
	got = ask[*kmsg.FetchResponse](second, req)
	if got.ThrottleMillis != 0 || got.SessionID == 0 || len(got.Topics[0].Partitions[0].RecordBatches) != 3*len(batch) {
		t.Errorf("without the quota: %+v", got)
	}
}

// TestThrottledFetchKeepsItsSession: an answer without partitions in a session is one where nothing has changed.
func TestThrottledFetchKeepsItsSession(t *testing.T) {
	b := brokertest.Start(t, nil)
	c, other := dial(t, b.Addr()), dial(t, b.Addr())
	id := c.createTopic("t", 1, nil)
	req := fetchRequest(13, "", id, 0, 0)
	req.SessionEpoch = 0
	session := ask[*kmsg.FetchResponse](c, req).SessionID
	batch := batchOf(t, plain, 0, record("k", "v"))
	c.produce("t", 0, 1, batch)
	setQuota(other, quota.Fetch, 1)
	other.fetch("t", 0, 0) // uses it up
	next := fetchRequest(13, "", id, 0, 0)
	next.Topics, next.SessionID, next.SessionEpoch = nil, session, 1
	if got := ask[*kmsg.FetchResponse](c, next); got.ThrottleMillis == 0 || got.SessionID != session || len(got.Topics) != 0 || got.ErrorCode != 0 {
		t.Errorf("throttled: %+v", got)
	}
	setQuota(dial(t, b.Addr()), quota.Fetch, 0)
	next.SessionEpoch = 2
	if got := ask[*kmsg.FetchResponse](c, next); got.SessionID != session || len(got.Topics) != 1 || len(got.Topics[0].Partitions[0].RecordBatches) != len(batch) {
		t.Errorf("then: %+v", got)
	}
}

// TestRequestTimeOverQuota: requests of any kind count, and the wait is one window.
func TestRequestTimeOverQuota(t *testing.T) {
	b := brokertest.Start(t, map[string]string{"quota.window.num": "2", "quota.window.size.seconds": "3600"})
	c, other := dial(t, b.Addr()), dial(t, b.Addr())
	if codes := alterQuotas(other, 1, false, alterEntry("user=ANONYMOUS client-id=raw", map[string]float64{"request_percentage": 1e-12})); codes[0] != 0 {
		t.Fatal(codes)
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	brokertest.Eventually(t, "the client has to wait", func() bool {
		wait := ask[*kmsg.MetadataResponse](c, req).ThrottleMillis
		if wait != 0 && wait != 3_600_000 {
			t.Errorf("told to wait %d ms", wait)
		}
		return wait != 0
	})
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("another")).AppendRequest(nil, req, 7)
	stranger := dial(t, b.Addr())
	if _, err := stranger.conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	if got := stranger.receive(req, 7).(*kmsg.MetadataResponse); got.ThrottleMillis != 0 {
		t.Errorf("another client has to wait: %+v", got)
	}
}

// TestParkedFetchesHoldNoThreads: the time of a request is taken by its thread, and those that wait have none.
func TestParkedFetchesHoldNoThreads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("request_percentage is refused here")
		return
	}
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	setQuota(c, quota.Request, 1000)
	const parked = 100
	before := threads(t)
	for range parked {
		req := fetchRequest(11, "t", [16]byte{}, 0, 0)
		req.MaxWaitMillis = 30_000
		dial(t, b.Addr()).send(req)
	}
	brokertest.Eventually(t, "they are parked", func() bool { return b.Stats().RequestsHeld.Load() == parked })
	if after := threads(t); after > before+parked/2 {
		t.Errorf("%d threads, %d before %d fetches were parked", after, before, parked)
	}
}

// threads counts those of this process.
func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
