package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"weir/cluster"
	"weir/cluster/broker/brokertest"
)

// txnWait bounds what tests of transactions wait for.
const txnWait = 60 * time.Second

func newTxnClient(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RetryTimeout(txnWait)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(t *testing.T, addr, topic string, partitions int32) {
	t.Helper()
	admin := kadm.NewClient(newTxnClient(t, addr))
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Fatal(err)
	}
}

// readCommitted reads n records of a topic that are committed, and fails if there are more by the time that the last
// is there.
func readCommitted(t *testing.T, addr, topic string, n int) (values []string) {
	t.Helper()
	client := newTxnClient(t, addr, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), txnWait)
	defer cancel()
	for len(values) < n {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d records of %d: %v", len(values), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	if len(values) > n {
		t.Fatalf("%d records, want %d", len(values), n)
	}
	return values
}

// transaction produces values to two partitions in one transaction, and ends it.
func transaction(t *testing.T, client *kgo.Client, topic string, commit bool, values ...string) {
	t.Helper()
	transactionOver(t, client, topic, 2, commit, values...)
}

func transactionOver(t *testing.T, client *kgo.Client, topic string, partitions int, commit bool, values ...string) {
	t.Helper()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		client.Produce(t.Context(), &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: []byte(v)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce %s: %v", v, err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		t.Fatalf("end: %v", err)
	}
}

// transactionVersions are the options of clients that have an epoch for each transaction (KIP-890), and of those
// before.
var transactionVersions = map[string]kgo.Opt{
	"version 2": kgo.MaxVersions(kversion.Stable()),
	"version 1": kgo.MaxVersions(kversion.V3_7_0()),
}

func TestTransactions(t *testing.T) {
	for name, version := range transactionVersions {
		t.Run(name, func(t *testing.T) { testTransactions(t, version) })
	}
}

// testTransactions: what a stock client commits is read by readers of what is committed, in its order, and what it
// aborts is not.
func testTransactions(t *testing.T, version kgo.Opt) {
	b := brokertest.Start(t, nil)
	createTopic(t, b.Addr(), "t", 2)
	client := newTxnClient(t, b.Addr(), version, kgo.TransactionalID("id"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	want := map[string]bool{}
	for i := range 20 {
		commit := i%3 != 1
		var values []string
		for j := range 4 {
			values = append(values, fmt.Sprintf("%d-%d", i, j))
			want[values[j]] = commit
		}
		transaction(t, client, "t", commit, values...)
	}
	got := readCommitted(t, b.Addr(), "t", 4*13)
	for _, v := range got {
		if !want[v] {
			t.Errorf("%s was aborted, and is read", v)
		}
		delete(want, v)
	}
}

// TestZombie: a second client of a transactional id fences the first, whose open transaction is aborted.
func TestZombie(t *testing.T) {
	for name, version := range transactionVersions {
		t.Run(name, func(t *testing.T) { testZombie(t, version) })
	}
}

func testZombie(t *testing.T, version kgo.Opt) {
	b := brokertest.Start(t, nil)
	createTopic(t, b.Addr(), "t", 2)
	opts := []kgo.Opt{version, kgo.TransactionalID("id"), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	zombie := newTxnClient(t, b.Addr(), opts...)
	if err := zombie.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := zombie.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("zombie")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	transaction(t, newTxnClient(t, b.Addr(), opts...), "t", true, "next")
	err := zombie.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("again")}).FirstErr()
	if err == nil {
		err = zombie.EndTransaction(t.Context(), kgo.TryCommit)
	}
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("the zombie hears %v", err)
	}
	if got := readCommitted(t, b.Addr(), "t", 1); got[0] != "next" {
		t.Errorf("read %v", got)
	}
}

// TestConsumeTransformProduce: groups of stock clients read, write and commit offsets in transactions, some of which are
// aborted, while members come and go; each record that is read is written once.
func TestConsumeTransformProduce(t *testing.T) {
	for name, version := range transactionVersions {
		t.Run(name, func(t *testing.T) { testConsumeTransformProduce(t, version) })
	}
}

const transformed = 300

func testConsumeTransformProduce(t *testing.T, version kgo.Opt) {
	b := brokertest.Start(t, map[string]string{"group.initial.rebalance.delay.ms": "0"})
	createTopic(t, b.Addr(), "in", 4)
	createTopic(t, b.Addr(), "out", 4)
	source := newTxnClient(t, b.Addr())
	for i := range transformed {
		source.Produce(t.Context(), &kgo.Record{Topic: "in", Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := source.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), txnWait)
	var running sync.WaitGroup
	for i := range 3 {
		running.Go(func() { transform(t, ctx, b.Addr(), version, i) })
	}
	got := readCommitted(t, b.Addr(), "out", transformed)
	cancel()
	running.Wait()
	slices.Sort(got)
	if distinct := slices.Compact(got); len(distinct) != transformed {
		t.Errorf("%d different records, want %d", len(distinct), transformed)
	}
}

// transform is a processor: it writes what it reads in transactions, of which it aborts every fourth.
func transform(t *testing.T, ctx context.Context, addr string, version kgo.Opt, n int) {
	session, err := kgo.NewGroupTransactSession(version, kgo.SeedBrokers(addr), kgo.TransactionalID(fmt.Sprint("processor ", n)),
		kgo.ConsumerGroup("g"), kgo.ConsumeTopics("in"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(200))
	if err != nil {
		t.Error(err)
		return
	}
	defer session.Close()
	for round := 0; ; round++ {
		fetches := session.PollRecords(ctx, 20)
		if ctx.Err() != nil {
			return
		}
		if err := session.Begin(); err != nil {
			t.Error(err)
			return
		}
		failed := kgo.AbortingFirstErrPromise(session.Client())
		fetches.EachRecord(func(r *kgo.Record) {
			session.Produce(ctx, &kgo.Record{Topic: "out", Value: r.Value}, failed.Promise())
		})
		end := kgo.TransactionEndTry(failed.Err() == nil && round%4 != 3)
		if _, err := session.End(ctx, end); err != nil && ctx.Err() == nil {
			t.Errorf("processor %d: %v", n, err)
			return
		}
	}
}

// TestTransactionsAcrossBrokers: partitions and coordinators are led by several brokers; a transactional client goes on
// when one of them stops.
func TestTransactionsAcrossBrokers(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: 6, Replicas: 3})
	client := newClient(t, brokers, kgo.TransactionalID("id"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	sent := 0
	send := func(transactions int) {
		for range transactions {
			var values []string
			for range 6 {
				values = append(values, fmt.Sprint(sent))
				sent++
			}
			transactionOver(t, client, "t", 6, true, values...)
		}
	}
	send(10)
	stopped := leaderOf(t, brokers, "__transaction_state", 0)
	var stopping sync.WaitGroup
	stopping.Go(func() { brokertest.Stop(t, stopped) })
	send(10)
	stopping.Wait()
	send(5)
	got := readCommitted(t, without(brokers, stopped)[0].Addr(), "t", sent)
	slices.Sort(got)
	if distinct := slices.Compact(got); len(distinct) != sent {
		t.Errorf("%d different records, want %d", len(distinct), sent)
	}
}
