package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/cluster/txn"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// txnClient speaks for transactional ids.
type txnClient struct{ *rawClient }

func (c txnClient) init(version int16, id string, timeout time.Duration, expected txn.Producer) (txn.Producer, protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = version, &id, int32(timeout.Milliseconds())
	req.ProducerID, req.ProducerEpoch = expected.ID, expected.Epoch
	resp := ask[*kmsg.InitProducerIDResponse](c.rawClient, req)
	return txn.Producer{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}, protocol.ErrorCode(resp.ErrorCode)
}

func (c txnClient) begun(id string) txn.Producer {
	c.t.Helper()
	p, code := c.init(4, id, time.Minute, txn.NoProducer)
	if code != 0 {
		c.t.Fatalf("init: %v", code)
	}
	return p
}

func (c txnClient) add(version int16, id string, p txn.Producer, topics ...string) (codes []protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, id, p.ID, p.Epoch
	for _, name := range topics {
		topic := kmsg.NewAddPartitionsToTxnRequestTopic()
		topic.Topic, topic.Partitions = name, []int32{0}
		req.Topics = append(req.Topics, topic)
	}
	for _, topic := range ask[*kmsg.AddPartitionsToTxnResponse](c.rawClient, req).Topics {
		codes = append(codes, protocol.ErrorCode(topic.Partitions[0].ErrorCode))
	}
	return codes
}

func (c txnClient) finish(version int16, id string, p txn.Producer, commit bool) (txn.Producer, protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = version, id, p.ID, p.Epoch, commit
	resp := ask[*kmsg.EndTxnResponse](c.rawClient, req)
	return txn.Producer{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}, protocol.ErrorCode(resp.ErrorCode)
}

// finished ends a transaction and waits until all markers are there.
func (c txnClient) finished(version int16, id string, p txn.Producer, commit bool) txn.Producer {
	c.t.Helper()
	next, code := c.finish(version, id, p, commit)
	if code != 0 {
		c.t.Fatalf("end: %v", code)
	}
	c.awaitState(id, "Complete")
	return next
}

func (c txnClient) state(id string) kmsg.DescribeTransactionsResponseTransactionState {
	c.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	return ask[*kmsg.DescribeTransactionsResponse](c.rawClient, req).TransactionStates[0]
}

func (c txnClient) awaitState(id, prefix string) {
	c.t.Helper()
	brokertest.Eventually(c.t, id+" is in state "+prefix, func() bool { return strings.HasPrefix(c.state(id).State, prefix) })
}

// send produces one record of a transaction.
func (c txnClient) sendOne(version int16, id string, p txn.Producer, sequence int32) protocol.ErrorCode {
	c.t.Helper()
	h := plain
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = p.ID, p.Epoch, sequence
	req := produceRequest(version, "t", [16]byte{}, 0, -1, batchOf(c.t, h.InTransaction(), recordbatch.CodecNone, record("k", "v")))
	if id != "" {
		req.TransactionID = &id
	}
	return protocol.ErrorCode(ask[*kmsg.ProduceResponse](c.rawClient, req).Topics[0].Partitions[0].ErrorCode)
}

func want(t *testing.T, what string, got, want protocol.ErrorCode) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func newTxnRaw(t *testing.T, settings map[string]string) txnClient {
	t.Helper()
	c := txnClient{dial(t, brokertest.Start(t, settings).Addr())}
	c.createTopic("t", 1, nil)
	return c
}

// TestTransactionErrors: bad input gets Kafka's codes, by version.
func TestTransactionErrors(t *testing.T) {
	c := newTxnRaw(t, nil)
	_, code := c.init(4, "", time.Minute, txn.NoProducer)
	want(t, "no id", code, protocol.CodeInvalidRequest)
	_, code = c.init(4, strings.Repeat("x", 256), time.Minute, txn.NoProducer)
	want(t, "a long id", code, protocol.CodeInvalidRequest)
	_, code = c.init(4, "id", 0, txn.NoProducer)
	want(t, "no time", code, protocol.CodeInvalidTransactionTimeout)
	_, code = c.init(4, "id", 901*time.Second, txn.NoProducer)
	want(t, "much time", code, protocol.CodeInvalidTransactionTimeout)
	_, code = c.init(4, "id", time.Minute, txn.Producer{ID: 1, Epoch: -1})
	want(t, "half a producer", code, protocol.CodeInvalidRequest)
	_, code = c.finish(3, "nobody", txn.Producer{ID: 1}, true)
	want(t, "the end of nobody", code, protocol.CodeInvalidProducerIDMapping)
	if got := c.state("nobody").ErrorCode; protocol.ErrorCode(got) != protocol.CodeTransactionalIDNotFound {
		t.Errorf("nobody is described with %d", got)
	}

	p := c.begun("id")
	_, code = c.finish(3, "id", p, true)
	want(t, "the end of nothing", code, protocol.CodeInvalidTxnState)
	if got := c.add(3, "id", p, "unknown", "t"); len(got) != 2 || got[0] != protocol.CodeUnknownTopicOrPartition || got[1] != protocol.CodeOperationNotAttempted {
		t.Errorf("with an unknown topic: %v", got)
	}
	stale, strange := txn.Producer{ID: p.ID, Epoch: p.Epoch + 1}, txn.Producer{ID: p.ID + 1000}
	want(t, "another epoch", c.add(3, "id", stale, "t")[0], protocol.CodeProducerFenced)
	want(t, "another epoch, version 1", c.add(1, "id", stale, "t")[0], protocol.CodeInvalidProducerEpoch)
	want(t, "another producer", c.add(3, "id", strange, "t")[0], protocol.CodeInvalidProducerIDMapping)
	_, code = c.init(4, "id", time.Minute, stale)
	want(t, "init of another epoch", code, protocol.CodeProducerFenced)
	_, code = c.init(3, "id", time.Minute, stale)
	want(t, "init of another epoch, version 3", code, protocol.CodeInvalidProducerEpoch)

	want(t, "a batch of no transaction", c.sendOne(9, "id", p, 0), protocol.CodeInvalidTxnState)
	want(t, "the same, version 11", c.sendOne(11, "id", p, 0), protocol.CodeTransactionAbortable)
	want(t, "without an id", c.sendOne(11, "", p, 0), protocol.CodeTransactionalIDAuthorizationFailed)
	want(t, "of an unknown id", c.sendOne(11, "nobody", p, 0), protocol.CodeInvalidProducerIDMapping)
	want(t, "add", c.add(3, "id", p, "t")[0], 0)
	want(t, "a batch of it", c.sendOne(11, "id", p, 0), 0)
	want(t, "the next", c.sendOne(11, "id", p, 1), 0)
	c.finished(3, "id", p, true)
	_, code = c.finish(3, "id", p, true)
	want(t, "the end again", code, 0)
	_, code = c.finish(3, "id", p, false)
	want(t, "the other end", code, protocol.CodeInvalidTxnState)
	want(t, "a late batch", c.sendOne(11, "id", p, 2), protocol.CodeTransactionAbortable)
	if f := c.fetch("t", 0, 0); f.LastStableOffset != f.HighWatermark {
		t.Errorf("last stable offset %d below %d", f.LastStableOffset, f.HighWatermark)
	}
}

// TestImplicitPartitions: clients of version 2 leave it to brokers to tell the coordinator, and have an epoch for each
// transaction.
func TestImplicitPartitions(t *testing.T) {
	c := newTxnRaw(t, nil)
	p := c.begun("id")
	for i := range 3 {
		want(t, "the first batch", c.sendOne(12, "id", p, 0), 0)
		want(t, "the second batch", c.sendOne(12, "id", p, 1), 0)
		if is := c.state("id"); is.State != "Ongoing" || len(is.Topics) != 1 || is.Topics[0].Topic != "t" {
			t.Errorf("described as %+v", is)
		}
		next := c.finished(5, "id", p, i != 1)
		if next.ID != p.ID || next.Epoch != p.Epoch+1 {
			t.Errorf("after %v comes %v", p, next)
		}
		if again, code := c.finish(5, "id", p, i != 1); code != 0 || again != next {
			t.Errorf("asked again: %v %v", again, code)
		}
		want(t, "a batch of the epoch before", c.sendOne(12, "id", p, 2), protocol.CodeInvalidProducerEpoch)
		p = next
	}
}

// TestTransactionTimeout: what is open for too long is aborted, and its producer fenced.
func TestTransactionTimeout(t *testing.T) {
	c := newTxnRaw(t, nil)
	p, code := c.init(4, "id", time.Second, txn.NoProducer)
	want(t, "init", code, 0)
	want(t, "a batch", c.sendOne(12, "id", p, 0), 0)
	c.awaitState("id", "CompleteAbort")
	_, code = c.finish(5, "id", p, true)
	want(t, "commit", code, protocol.CodeProducerFenced)
	want(t, "another batch", c.sendOne(12, "id", p, 1), protocol.CodeInvalidProducerEpoch)
	if f := c.fetch("t", 0, 0); f.LastStableOffset != f.HighWatermark || f.HighWatermark != 2 {
		t.Errorf("last stable offset %d, high watermark %d, want 2", f.LastStableOffset, f.HighWatermark)
	}
}

func (c txnClient) topicID(name string) [16]byte {
	c.t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	req.Topics = append(req.Topics, topic)
	return ask[*kmsg.MetadataResponse](c.rawClient, req).Topics[0].TopicID
}

// commitIn commits an offset of t-0 in a transaction.
func (c txnClient) commitIn(version int16, id string, p txn.Producer, name string, offset int64, member string, generation int32) protocol.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, id, p.ID, p.Epoch
	req.Group, req.MemberID, req.Generation = name, member, generation
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = "t", c.topicID("t")
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset = offset
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	return protocol.ErrorCode(ask[*kmsg.TxnOffsetCommitResponse](c.rawClient, req).Topics[0].Partitions[0].ErrorCode)
}

// committedOffset is that of t-0, for who wants it stable or not.
func (c txnClient) committedOffset(name string, stable bool) (int64, protocol.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group, req.RequireStable = 7, name, stable
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic, topic.Partitions = "t", []int32{0}
	req.Topics = append(req.Topics, topic)
	p := ask[*kmsg.OffsetFetchResponse](c.rawClient, req).Topics[0].Partitions[0]
	return p.Offset, protocol.ErrorCode(p.ErrorCode)
}

// commitPlain commits an offset of t-0 outside of transactions.
func (c txnClient) commitPlain(name string, offset int64) protocol.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 7, name, -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = "t"
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Offset = offset
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	return protocol.ErrorCode(ask[*kmsg.OffsetCommitResponse](c.rawClient, req).Topics[0].Partitions[0].ErrorCode)
}

func (c txnClient) wantOffset(name string, stable bool, offset int64, code protocol.ErrorCode) {
	c.t.Helper()
	if got, gotCode := c.committedOffset(name, stable); got != offset || gotCode != code {
		c.t.Errorf("%s has offset %d with %v, want %d with %v", name, got, gotCode, offset, code)
	}
}

// TestTxnOffsetCommit: offsets of a transaction count when it is committed, and not before, and not if it is aborted, or
// somebody has committed since; this also by who coordinates the group next.
func TestTxnOffsetCommit(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, nil)
	c := txnClient{dial(t, b.Addr())}
	c.createTopic("t", 1, nil)
	p := c.begun("id")
	want(t, "a commit of no transaction", c.commitIn(3, "id", p, "g", 5, "", -1), protocol.CodeInvalidTxnState)
	want(t, "a commit without a group", c.commitIn(5, "id", p, "", 5, "", -1), protocol.CodeInvalidGroupID)
	want(t, "a commit", c.commitIn(5, "id", p, "g", 5, "", -1), 0)
	c.wantOffset("g", false, -1, 0)
	c.wantOffset("g", true, -1, protocol.CodeUnstableOffsetCommit)
	p = c.finished(5, "id", p, true)
	c.wantOffset("g", true, 5, 0)

	want(t, "a commit by topic id", c.commitIn(6, "id", p, "g", 6, "", -1), 0)
	c.wantOffset("g", true, -1, protocol.CodeUnstableOffsetCommit)
	p = c.finished(5, "id", p, false)
	c.wantOffset("g", true, 5, 0)

	want(t, "a commit", c.commitIn(5, "id", p, "g", 7, "", -1), 0)
	want(t, "a commit outside of it", c.commitPlain("g", 9), 0)
	c.wantOffset("g", true, 9, 0)
	p = c.finished(5, "id", p, true)
	c.wantOffset("g", true, 9, 0)

	want(t, "a commit of a stranger", c.commitIn(5, "id", p, "g", 7, "m", 3), protocol.CodeUnknownMemberID)
	want(t, "a commit of a stranger to an unknown group", c.commitIn(5, "id", p, "h", 7, "m", 3), protocol.CodeIllegalGeneration)
	want(t, "a commit of the epoch before", c.commitIn(5, "id", txn.Producer{ID: p.ID, Epoch: p.Epoch - 1}, "g", 7, "", -1), protocol.CodeInvalidProducerEpoch)

	want(t, "a commit", c.commitIn(5, "id", p, "g", 10, "", -1), 0)
	want(t, "another", c.commitIn(5, "id", p, "other", 11, "", -1), 0)
	stop(t, b)
	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	c = txnClient{dial(t, b.Addr())}
	c.wantOffset("g", false, 9, 0)
	c.wantOffset("g", true, -1, protocol.CodeUnstableOffsetCommit)
	c.finished(5, "id", p, true)
	c.wantOffset("g", true, 10, 0)
	c.wantOffset("other", true, 11, 0)
}

// TestListTransactions: by state, producer, age and name.
func TestListTransactions(t *testing.T) {
	c := newTxnRaw(t, nil)
	a, z := c.begun("a"), c.begun("z")
	want(t, "a batch", c.sendOne(12, "z", z, 0), 0)
	list := func(change func(*kmsg.ListTransactionsRequest)) (ids string) {
		req := kmsg.NewPtrListTransactionsRequest()
		req.Version = 2
		change(req)
		resp := ask[*kmsg.ListTransactionsResponse](c.rawClient, req)
		for _, s := range resp.TransactionStates {
			ids += s.TransactionalID
		}
		for _, s := range resp.UnknownStateFilters {
			ids += "?" + s
		}
		if resp.ErrorCode != 0 {
			ids = protocol.ErrorCode(resp.ErrorCode).Error()
		}
		return ids
	}
	pattern := func(s string) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = &s }
	}
	for _, x := range []struct {
		change func(*kmsg.ListTransactionsRequest)
		want   string
	}{
		{func(*kmsg.ListTransactionsRequest) {}, "az"},
		{func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"ongoing"} }, "z"},
		{func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Empty", "Odd"} }, "a?Odd"},
		{func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{a.ID} }, "a"},
		{func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 3_600_000 }, ""},
		{pattern("[b-z]"), "z"},
		{pattern("("), protocol.CodeInvalidRegularExpression.Error()},
	} {
		if got := list(x.change); got != x.want {
			t.Errorf("listed are %q, want %q", got, x.want)
		}
	}
}

// TestTxnOffsetCommitByTopicID: an id that no topic has is refused by itself, and named again.
func TestTxnOffsetCommitByTopicID(t *testing.T) {
	c := newTxnRaw(t, nil)
	p := c.begun("id")
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = 6, "id", p.ID, p.Epoch, "g"
	for _, id := range [][16]byte{{1}, c.topicID("t")} {
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.TopicID = id
		part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		part.Offset = 7
		topic.Partitions = append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
	}
	got := ask[*kmsg.TxnOffsetCommitResponse](c.rawClient, req).Topics
	for i, code := range []protocol.ErrorCode{protocol.CodeUnknownTopicID, 0} {
		if got[i].TopicID != req.Topics[i].TopicID {
			t.Errorf("answer %d is of topic %x", i, got[i].TopicID)
		}
		want(t, "by id", protocol.ErrorCode(got[i].Partitions[0].ErrorCode), code)
	}
	c.finished(5, "id", p, true)
	c.wantOffset("g", true, 7, 0)
}

// TestManyProducerIDs: ids come in blocks, of which only the next one is remembered, so asking for them costs nothing
// that stays; each is given once.
func TestManyProducerIDs(t *testing.T) {
	c := newTxnRaw(t, nil)
	last := int64(-1)
	for range 5000 {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version = 4
		resp := ask[*kmsg.InitProducerIDResponse](c.rawClient, req)
		if resp.ErrorCode != 0 || resp.ProducerID <= last {
			t.Fatalf("error %d, producer %d after %d", resp.ErrorCode, resp.ProducerID, last)
		}
		last = resp.ProducerID
	}
}
