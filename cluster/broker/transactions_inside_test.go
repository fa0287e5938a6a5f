package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/group"
	"weir/cluster/metadata"
	"weir/cluster/txn"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

func initRequest(timeout time.Duration) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionTimeoutMillis = int32(timeout.Milliseconds())
	return req
}

// eventually polls until something has come about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time:", what)
		}
	}
}

// beginInside opens a transaction with a record in t-0.
func beginInside(t *testing.T, b *Broker, id string, timeout time.Duration) (txn.Producer, *partition.Partition) {
	t.Helper()
	ctx := context.Background()
	p, err := b.transactions.begin(ctx, id, func(x *txn.Transaction, now time.Time, fresh int64) txn.Step {
		return x.Init(now, txn.InitRequest{Timeout: timeout, Expected: txn.NoProducer, FreshID: fresh})
	})
	if err != nil {
		t.Fatal(err)
	}
	in := txn.Partition{Topic: "t"}
	if code := b.add(ctx, id, p, clientVersion2, []txn.Partition{in})[in]; code != 0 {
		t.Fatal(code)
	}
	h := recordbatch.Header{ProducerID: p.ID, ProducerEpoch: p.Epoch}.InTransaction()
	batch, err := newLedgerBatch(h, []recordbatch.Record{{Key: []byte("k"), Value: []byte("v")}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	part, err := b.node.Topic("t").Partition(0)
	if err == nil {
		err = part.Propose(batch, partition.AcksAll).Wait(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, part
}

// die has the coordinator forget all that it knows, after what is on its way: as the next one, it reads the topic.
func (c *transactions) die(t *testing.T, id string) {
	t.Helper()
	s := c.shard(coordinatedBy(id, c.node.Topic(metadata.TransactionsTopic).NumPartitions()))
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ahead) > 0 {
		_ = s.ahead[0].append.Wait(context.Background())
		s.catchUp()
	}
	s.unload()
}

func (c *transactions) snapshot(t *testing.T, id string) (is txn.Snapshot) {
	t.Helper()
	if err := c.within(id, func(s *txnShard) {
		if x := s.ids[id]; x != nil {
			is = x.Snapshot()
		}
	}); err != nil {
		t.Fatal(err)
	}
	return is
}

// TestCoordinatorDies in every state of a transaction: the next one ends it as was decided, or takes the decision.
func TestCoordinatorDies(t *testing.T) {
	b := startInside(t)
	c := b.transactions
	commit := func(p txn.Producer) func(*txn.Transaction) txn.Step {
		return func(x *txn.Transaction) txn.Step {
			return x.End(time.Now(), txn.EndRequest{Producer: p, Commit: true, Version: clientVersion2, FreshID: txn.NoID})
		}
	}
	for name, x := range map[string]struct {
		timeout time.Duration
		decide  func(p txn.Producer) func(*txn.Transaction) txn.Step // and dies before any marker
		end     bool                                                 // the client commits afterwards
		want    txn.State
	}{
		"Ongoing, and committed":      {timeout: time.Minute, end: true, want: txn.CompleteCommit},
		"Ongoing, and nobody ends it": {timeout: time.Second, want: txn.CompleteAbort},
		"PrepareCommit":               {timeout: time.Minute, decide: commit, want: txn.CompleteCommit},
		"PrepareCommit, asked again":  {timeout: time.Minute, decide: commit, end: true, want: txn.CompleteCommit},
		"PrepareAbort, of another init": {timeout: time.Minute, want: txn.CompleteAbort, decide: func(txn.Producer) func(*txn.Transaction) txn.Step {
			return func(x *txn.Transaction) txn.Step {
				return x.Init(time.Now(), txn.InitRequest{Timeout: time.Minute, Expected: txn.NoProducer, FreshID: txn.NoID})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, part := beginInside(t, b, name, x.timeout)
			if x.decide != nil {
				if err := c.within(name, func(s *txnShard) {
					live := s.ids[name]
					live.sending = true // it dies before
					if step := x.decide(p)(live.Transaction); step.Write == nil {
						t.Error(step.Err)
					} else if _, err := c.store(s, live, step.Write); err != nil {
						t.Error(err)
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			c.die(t, name)
			c.followLeadership()
			if x.end {
				_, err := c.change(context.Background(), name, func(y *txn.Transaction, _ time.Time, _ int64) txn.Step { return commit(p)(y) })
				if err != nil {
					t.Error(err)
				}
			}
			eventually(t, "the transaction ends", func() bool { return strings.HasPrefix(c.snapshot(t, name).State.String(), "Complete") })
			if is := c.snapshot(t, name); is.State != x.want {
				t.Errorf("it ended in %v, want %v", is.State, x.want)
			}
			if part.LastStableOffset() != part.HighWatermark() {
				t.Errorf("last stable offset %d below %d", part.LastStableOffset(), part.HighWatermark())
			}
			c.die(t, name) // and once more
			if is := c.snapshot(t, name); is.State != x.want {
				t.Errorf("the next one has %v, want %v", is.State, x.want)
			}
		})
	}
}

// TestNextProducerID: a client whose producer id has run out of epochs goes on under the next one at once: while markers of the
// transaction before are on their way it is told to come again.
func TestNextProducerID(t *testing.T) {
	b := startInside(t)
	c, ctx, in := b.transactions, context.Background(), txn.Partition{Topic: "t"}
	p, _ := beginInside(t, b, "id", time.Minute)
	p.Epoch = 32766
	if err := c.within("id", func(s *txnShard) { // as if so many transactions had been before
		live := s.ids["id"]
		is := live.Snapshot()
		is.Producer = p
		live.Transaction, live.sending = txn.Restore(is), true // markers are slow
	}); err != nil {
		t.Fatal(err)
	}
	next, err := c.change(ctx, "id", func(x *txn.Transaction, now time.Time, fresh int64) txn.Step {
		return x.End(now, txn.EndRequest{Producer: p, Commit: true, Version: clientVersion2, FreshID: fresh})
	})
	if err != nil || next.ID == p.ID || next.Epoch != 0 {
		t.Fatalf("the client is %v from now on: %v", next, err)
	}
	if code := entryCode(b.add(ctx, "id", next, clientVersion2, []txn.Partition{in})[in]); code != protocol.CodeNotEnoughReplicas {
		t.Errorf("before the markers: %v", code)
	}
	if err := c.within("id", func(s *txnShard) {
		live := s.ids["id"]
		live.sending = false
		c.sendMarkers(s, live)
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the transaction ends", func() bool { return c.snapshot(t, "id").State == txn.CompleteCommit })
	if code := b.add(ctx, "id", next, clientVersion2, []txn.Partition{in})[in]; code != 0 {
		t.Errorf("behind the markers: %v", code)
	}
}

// TestPartitionOfADeletedTopic: a transaction ends though one of its partitions is gone.
func TestPartitionOfADeletedTopic(t *testing.T) {
	b := startInside(t)
	p, _ := beginInside(t, b, "id", time.Minute)
	topic := b.node.Topic("t")
	if _, err := b.node.DeleteTopics(context.Background(), [][16]byte{topic.ID}); err != nil {
		t.Fatal(err)
	}
	_, err := b.transactions.change(context.Background(), "id", func(x *txn.Transaction, now time.Time, _ int64) txn.Step {
		return x.End(now, txn.EndRequest{Producer: p, Commit: true, FreshID: txn.NoID})
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the transaction ends", func() bool { return b.transactions.snapshot(t, "id").State == txn.CompleteCommit })
}

// TestForgetTransactions: ids that nobody uses go, also for the next coordinator; what is open stays.
func TestForgetTransactions(t *testing.T) {
	b := startInside(t)
	c := b.transactions
	beginInside(t, b, "open", time.Minute)
	if _, err := b.initTransactional(context.Background(), "idle", initRequest(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.forget(time.Hour)
	if c.snapshot(t, "idle").Producer.ID < 0 || c.count.Load() != 2 {
		t.Error("an id is forgotten before its time")
	}
	c.forget(-time.Hour)
	for _, id := range []string{"open", "idle"} {
		c.die(t, id)
		if exists := c.snapshot(t, id).Timeout > 0; exists != (id == "open") {
			t.Errorf("%s exists: %t", id, exists)
		}
	}
}

// TestRoomForTransactionalIDs: there is room for so many, and so many partitions, and no more.
func TestRoomForTransactionalIDs(t *testing.T) {
	b := startInside(t)
	c := b.transactions
	c.count.Store(maxTransactionalIDs) // as if others had so many
	_, err := b.initTransactional(context.Background(), "id", initRequest(time.Minute))
	if code := errorCode(err); code != 44 {
		t.Errorf("one more: %v", err)
	}
	c.count.Store(0)
	p, _ := beginInside(t, b, "id", time.Minute)
	if got := c.partitions.Load(); got != 1 {
		t.Errorf("%d partitions are counted, want 1", got)
	}
	in := txn.Partition{Topic: "t"}
	c.partitions.Store(maxOpenPartitions)
	if code := b.add(context.Background(), "id", p, clientVersion2, []txn.Partition{in})[in]; code != 44 {
		t.Errorf("one more partition: %v", code)
	}
	c.die(t, "id")
	if c.snapshot(t, "id"); c.count.Load() != 1 || c.partitions.Load() != maxOpenPartitions {
		t.Errorf("another coordinator counts %d ids, %d partitions", c.count.Load(), c.partitions.Load())
	}
}

// TestGuard: what a coordinator has answered is void when a marker has come since.
func TestGuard(t *testing.T) {
	g := newTxnGuards()
	e, other := &txnEntry{producer: txn.Producer{ID: 1}}, &txnEntry{producer: txn.Producer{ID: 2}}
	g.add(e)
	g.add(other)
	g.void(nil, 1)
	nothing := func() error { return nil }
	if err := e.propose(nothing); errorCode(err) != 19 {
		t.Errorf("behind a marker: %v", err)
	}
	if err := other.propose(nothing); err != nil {
		t.Errorf("of another producer: %v", err)
	}
	if !e.rearm() || e.propose(nothing) != nil {
		t.Error("it is not asked again")
	}
	e.leave()
	other.leave()
	if len(g.open) != 0 {
		t.Errorf("%d are left", len(g.open))
	}
}

// TestPendingBeforeItsMarkerIsKnown: a commit of the next transaction, which is in the topic before this broker has taken note
// of the marker before it, does not count with that.
func TestPendingBeforeItsMarkerIsKnown(t *testing.T) {
	b := startInside(t)
	ctx, tp := context.Background(), group.TopicPartition{Topic: "t"}
	in := func(offset int64) {
		t.Helper()
		e := &txnEntry{producer: txn.Producer{ID: 7}}
		if offset == 1 {
			newTxnGuards().add(e) // the first of its transaction
		}
		if err := b.groups.commitPending(ctx, "g", noMember, e, map[group.TopicPartition]group.Commit{tp: {Offset: offset}}); err != nil {
			t.Fatal(err)
		}
	}
	in(1)
	in(2)
	if err := b.groups.within("g", func(s *shard) { s.endPending(7, s.partition.HighWatermark()-1, true) }); err != nil {
		t.Fatal(err)
	}
	err := b.groups.within("g", func(s *shard) {
		if got := s.committed("g"); !slices.Equal(got, []group.TopicPartition{tp}) || !s.pending.Has("g", tp) || s.offsets.Has("g") {
			t.Errorf("committed %v, pending %t", got, s.pending.Has("g", tp))
		}
		if s.forgettable("g") || s.mustDrain(time.Now(), 8) {
			t.Error("a group with something pending is forgotten, or its topic is full")
		}
	})
	if err = errors.Join(err, b.groups.delete(ctx, "g")); err != nil {
		t.Fatal(err)
	}
	if err := b.groups.within("g", func(s *shard) {
		s.endPending(7, s.partition.HighWatermark(), true)
		if s.has("g") {
			t.Error("a deleted group is back")
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// TestCommitsOfATopicMadeAgain: what is forgotten with a deleted topic is what was committed for that, in transactions
// in progress as well, and not what has been for its namesake meanwhile.
func TestCommitsOfATopicMadeAgain(t *testing.T) {
	b := startInside(t)
	c, ctx, tp := b.groups, context.Background(), group.TopicPartition{Topic: "t"}
	// The id of the topic that is gone was not noted, as any is the new one's that can be committed now.
	was, is := group.Commit{Offset: 1}, group.Commit{Offset: 2, TopicID: b.node.Topic("t").ID}
	producers := int64(0)
	put := func(name string, x group.Commit) {
		t.Helper()
		if err := c.commit(ctx, name, noMember, map[group.TopicPartition]group.Commit{tp: x}); err != nil {
			t.Fatal(err)
		}
	}
	pend := func(name string, x group.Commit) {
		t.Helper()
		producers++
		e := &txnEntry{producer: txn.Producer{ID: producers}}
		newTxnGuards().add(e)
		if err := c.commitPending(ctx, name, noMember, e, map[group.TopicPartition]group.Commit{tp: x}); err != nil {
			t.Fatal(err)
		}
	}
	put("old", was)
	put("new", is)
	pend("old pending", was)
	pend("new pending", is)
	put("both", was)
	pend("both", is)
	pend("both pending", was)
	pend("both pending", is)
	other := group.TopicPartition{Topic: "t", Partition: 1} // goes without the first
	put("coming", was)
	if err := c.commit(ctx, "coming", noMember, map[group.TopicPartition]group.Commit{other: was}); err != nil {
		t.Fatal(err)
	}
	if err := c.within("coming", func(s *shard) {
		record := commitRecord("coming", tp, is, 1)
		if _, err := c.propose(s, plainHeader, []recordbatch.Record{record}, func(error) { s.setCommit("coming", tp, is) }); err != nil {
			t.Error(err)
		}
		if coming := s.coming(); len(coming) != 1 || !coming[string(record.Key)] {
			t.Errorf("%d are coming", len(coming))
		}
	}); err != nil {
		t.Fatal(err)
	}
	unnoted := func(_ *shard, _ string, _ group.TopicPartition, x group.Commit) bool { return x.TopicID == [16]byte{} }
	if err := c.removeIf(ctx, "coming", []group.TopicPartition{tp, other}, unnoted); err != nil {
		t.Fatal(err)
	}
	if err := c.removeTopic(ctx, cluster.Dropped{Name: "t", ID: [16]byte{1}}); err != nil {
		t.Fatal(err)
	}
	check := func(when string, want map[string]int64) {
		t.Helper()
		for _, name := range []string{"old", "new", "old pending", "new pending", "both", "both pending", "coming"} {
			eventually(t, "the groups are loaded", func() bool {
				return c.within(name, func(s *shard) {
					if x, ok := s.offsets.Get(name, tp); x.Offset != want[name] || ok != (want[name] > 0) {
						t.Errorf("%s, %s: committed %d", when, name, x.Offset)
					}
				}) == nil
			})
		}
	}
	check("before the markers", map[string]int64{"new": 2, "both": 1, "coming": 2})
	end := func() {
		t.Helper()
		if err := c.each(func(s *shard) {
			for producer := range producers {
				s.endPending(producer+1, s.partition.HighWatermark(), true)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int64{"new": 2, "new pending": 2, "both": 2, "both pending": 2, "coming": 2}
	end()
	check("after the markers", want)
	for i := range int32(2) {
		s := c.shard(i)
		s.mu.Lock()
		s.unload()
		s.mu.Unlock()
	}
	check("as the topic has it", map[string]int64{"new": 2, "both": 1, "coming": 2})
	end()
	check("as the topic has it, after the markers", want)
}

// TestRewriteWaitsForTransactions: what a transaction has committed stays where it is in the topic until it ends; when the topic
// has grown too large, commits of other transactions have to wait; this one does not wait for itself.
func TestRewriteWaitsForTransactions(t *testing.T) {
	b := startInside(t)
	ctx, tp := context.Background(), group.TopicPartition{Topic: "t"}
	e := &txnEntry{producer: txn.Producer{ID: 7}}
	newTxnGuards().add(e)
	if err := b.groups.commitPending(ctx, "g", noMember, e, map[group.TopicPartition]group.Commit{tp: {Offset: 1}}); err != nil {
		t.Fatal(err)
	}
	padding := group.Commit{Offset: 1, Metadata: strings.Repeat("x", maxMetadataBytes)}
	grow := func(full func(*shard) bool) {
		t.Helper()
		for is := false; !is; {
			if err := b.groups.commit(ctx, "g", noMember, map[group.TopicPartition]group.Commit{{Topic: "t", Partition: 1}: padding}); err != nil {
				t.Fatal(err)
			}
			if err := b.groups.within("g", func(of *shard) { is = full(of) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	began := time.Now().Add(time.Hour) // the broker's clock does not end the drain
	grow(func(of *shard) bool { return of.mustDrain(began, 8) })
	if coordinatedBy("g", 2) != coordinatedBy("i", 2) {
		t.Fatal("the groups are in different partitions")
	}
	other := &txnEntry{producer: txn.Producer{ID: 8}}
	newTxnGuards().add(other)
	if err := b.groups.commitPending(ctx, "i", noMember, other, map[group.TopicPartition]group.Commit{tp: {Offset: 1}}); errorCode(err) != 14 {
		t.Errorf("a commit to a full topic: %v", err)
	}
	if err := b.groups.commitPending(ctx, "i", noMember, e, map[group.TopicPartition]group.Commit{tp: {Offset: 1}}); err != nil {
		t.Errorf("a commit of the transaction that is waited for: %v", err)
	}
	if err := b.groups.within("g", func(of *shard) {
		for after, want := range map[time.Duration]bool{drainTime - 1: true, drainTime: false, drainInterval - 1: false} {
			if got := of.mustDrain(began.Add(after), 8); got != want {
				t.Errorf("%v after a drain has begun: %t", after, got)
			}
		}
		if !of.mustDrain(began.Add(drainInterval), 8) {
			t.Error("there is no other drain")
		}
	}); err != nil {
		t.Fatal(err)
	}
	grow(func(of *shard) bool { return of.mustDrain(began.Add(drainInterval+drainTime), 8) }) // this is a longer one
	end := int64(0)
	if err := b.groups.within("g", func(of *shard) { end = of.partition.HighWatermark() }); err != nil {
		t.Fatal(err)
	}
	b.groups.endPending(coordinatedBy("g", 2), 7, end, true) // nobody commits any more: this has it rewritten
	for deadline, shrunk := time.Now().Add(time.Minute), false; !shrunk; time.Sleep(time.Millisecond) {
		if err := b.groups.within("g", func(of *shard) {
			shrunk = of.partition.SizeBytes() <= shrinkBytes && of.partition.LogStartOffset() > 0
		}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the topic stays as large as it is")
		}
	}
	if err := b.groups.within("g", func(of *shard) {
		if x, ok := of.offsets.Get("g", tp); !ok || x.Offset != 1 {
			t.Errorf("the offset is %+v", x)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
