package command

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
	"weir/partition"
	"weir/protocol/recordbatch"
)

// TestTxnLife: a transactional id is listed and described, what it has open is aborted.
func TestTxnLife(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "orders", "-p", "1")
	if got := c.ok("txn", "list", "-o", "json"); got != "[]\n" {
		t.Errorf("no transactions: %s", got)
	}
	c.fails(fault.Failed, []string{"txn", "describe", "billing"}, "TRANSACTIONAL_ID_NOT_FOUND")
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.TransactionalID("billing"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := c.ok("txn", "list", "--state", "Ongoing", "-o", "name"); got != "billing\n" {
		t.Errorf("list: %s", got)
	}
	if got := c.ok("txn", "list", "--state", "Empty", "-o", "name"); got != "" {
		t.Errorf("list of idle ones: %s", got)
	}
	got := c.ok("txn", "describe", "billing")
	for _, want := range []string{"billing: Ongoing, producer ", " epoch 0, open for ", "coordinator 1\n  orders-0\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("describe lacks %q:\n%s", want, got)
		}
	}
	if got := c.ok("txn", "hanging", "--older-than", "0s", "-o", "json"); got != "[]\n" {
		t.Errorf("hanging: %s", got)
	}
	c.fails(fault.WrongUsage, []string{"txn", "abort", "billing"}, "no terminal")
	c.fails(fault.WrongUsage, []string{"txn", "abort", "-y"}, "weir txn list")
	if got := c.ok("txn", "abort", "billing", "--dry-run"); got != "would abort billing (Ongoing)\n" {
		t.Errorf("--dry-run: %s", got)
	}
	if got := c.ok("txn", "abort", "billing", "-y"); got != "aborted billing (Ongoing)\n" {
		t.Errorf("abort: %s", got)
	}
	var described []txnDescription
	if err := json.Unmarshal([]byte(c.ok("txn", "describe", "billing", "-o", "json")), &described); err != nil {
		t.Fatal(err)
	}
	if d := described[0]; d.State != "Empty" || d.Started != nil || len(d.Partitions) != 0 || d.ProducerEpoch < 2 {
		t.Errorf("described: %+v", d)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
		t.Error("what was aborted is committed")
	}
}

// TestTxnHanging: a transaction that no coordinator knows of is found, and ended.
func TestTxnHanging(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "orders", "-p", "1")
	h := recordbatch.Header{ProducerID: 77, ProducerEpoch: 3}.InTransaction()
	data, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Value: []byte("v")}})
	if err != nil {
		t.Fatal(err)
	}
	if h, err = recordbatch.ParseHeader(data); err != nil {
		t.Fatal(err)
	}
	p, err := b.Node().Topic("orders").Partition(0)
	if err == nil {
		err = p.Propose(partition.Batch{Header: h, Data: data}, partition.AcksAll).Wait(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ok("txn", "hanging"); strings.Contains(got, "orders") {
		t.Errorf("one that has just begun hangs:\n%s", got)
	}
	if got := c.ok("txn", "hanging", "orders", "--older-than", "0s"); !strings.Contains(got, "orders-0   77        3      0 ") {
		t.Errorf("hanging:\n%s", got)
	}
	c.fails(fault.WrongUsage, []string{"txn", "abort", "--hanging", "--older-than", "0s"}, "no terminal")
	if got := c.ok("txn", "abort", "--hanging", "orders", "--older-than", "0s", "-y"); got != "aborted the transaction of producer 77 in orders-0\n" {
		t.Errorf("abort: %s", got)
	}
	if p.LastStableOffset() != 2 || p.HighWatermark() != 2 {
		t.Errorf("last stable offset %d, high watermark %d, want 2", p.LastStableOffset(), p.HighWatermark())
	}
	if got := c.ok("txn", "hanging", "--older-than", "0s", "-o", "json"); got != "[]\n" {
		t.Errorf("hanging still: %s", got)
	}
}
