//go:build torture

package torture

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ledger is what the broker has confirmed of its metadata.
type ledger struct {
	present   map[string]bool // topics that hold one record
	gone      map[string]bool // topics that were deleted
	producers map[int64]bool  // producer ids given out
	committed int64           // offset of the group
	rounds    int
}

const (
	ledgerTopic = "stable"
	ledgerGroup = "group"
)

// churn changes metadata until ctx ends. A call without an answer in time
// leaves its outcome unknown, and so out of the ledger.
func (g *ledger) churn(ctx context.Context, t *testing.T, b *broker) {
	client := b.client(kgo.RecordDeliveryTimeout(patience))
	defer client.Close()
	admin := kadm.NewClient(client)
	for ; ctx.Err() == nil; g.rounds++ {
		name := fmt.Sprintf("churn-%05d", g.rounds)
		r, err := admin.CreateTopic(ctx, 2, 1, nil, name)
		if err := cmp.Or(err, r.Err); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			continue // after a kill the answer may be lost, and the retry finds it made
		}
		record := &kgo.Record{Topic: name, Value: []byte(name)}
		if client.ProduceSync(ctx, record).FirstErr() == nil {
			g.present[name] = true
		}
		if g.rounds%3 == 2 {
			g.delete(ctx, admin, fmt.Sprintf("churn-%05d", g.rounds-1))
		}
		g.newProducer(ctx, t, client)
		var offsets kadm.Offsets
		offsets.AddOffset(ledgerTopic, 0, int64(g.rounds), -1)
		if committed, err := admin.CommitOffsets(ctx, ledgerGroup, offsets); err == nil && committed.Error() == nil {
			g.committed = int64(g.rounds)
		}
	}
}

func (g *ledger) delete(ctx context.Context, admin *kadm.Client, name string) {
	delete(g.present, name) // unknown from here on
	r, err := admin.DeleteTopic(ctx, name)
	if err := cmp.Or(err, r.Err); err == nil || errors.Is(err, kerr.UnknownTopicOrPartition) {
		g.gone[name] = true
	}
}

// newProducer asks for a producer id, which nobody else may ever get.
func (g *ledger) newProducer(ctx context.Context, t *testing.T, client *kgo.Client) {
	r, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, client)
	if err != nil || r.ErrorCode != 0 {
		return
	}
	if g.producers[r.ProducerID] {
		t.Errorf("producer id %d was given out twice", r.ProducerID)
	}
	g.producers[r.ProducerID] = true
}

// check holds the broker, and its folders, against the ledger.
func (g *ledger) check(t *testing.T, b *broker) {
	t.Helper()
	client := b.client()
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	topics, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(ctx, topics.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	for name := range g.present {
		records := int64(0)
		for _, end := range ends[name] {
			records += end.Offset
		}
		if !topics.Has(name) || records < 1 {
			t.Errorf("topic %s and its record were confirmed; there: %v, records: %d", name, topics.Has(name), records)
		}
	}
	for name := range g.gone {
		if topics.Has(name) {
			t.Errorf("topic %s was confirmed to be deleted and is there", name)
		}
	}
	offsets, err := admin.FetchOffsets(ctx, ledgerGroup)
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := offsets.Lookup(ledgerTopic, 0); at.At < g.committed {
		t.Errorf("offset %d was committed, the group is at %d", g.committed, at.At)
	}
	g.checkFolders(t, b, topics)
}

// checkFolders wants a folder for each topic and none besides.
func (g *ledger) checkFolders(t *testing.T, b *broker, topics kadm.TopicDetails) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.data, "topics"))
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]bool{}
	for _, e := range entries {
		folders[e.Name()] = true
	}
	for _, topic := range topics {
		id := hex.EncodeToString(topic.ID[:])
		if !folders[id] {
			t.Errorf("topic %s has no folder", topic.Topic)
		}
		delete(folders, id)
	}
	for name := range folders {
		t.Errorf("folder %s is no topic's", name)
	}
}

// TestKillMetadata kills the broker while topics come and go, producer ids
// are given out and offsets are committed: what was confirmed holds.
func TestKillMetadata(t *testing.T) {
	cycles := setting(t, "WEIR_TORTURE_CYCLES", 25)
	rng := rand.New(rand.NewPCG(seed(t), 0))
	b := newBroker(t, filepath.Join(t.TempDir(), "data"))
	b.start()
	b.createTopic(ledgerTopic, 1)
	g := &ledger{present: map[string]bool{}, gone: map[string]bool{}, producers: map[int64]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var churning sync.WaitGroup
	churning.Go(func() { g.churn(ctx, t, b) })
	for range cycles {
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond) // the moment is what is drawn
		b.kill()
		b.start()
	}
	cancel()
	churning.Wait()
	b.kill()
	b.start()
	g.check(t, b)
	t.Logf("%d rounds: %d topics there, %d deleted, %d producer ids, offset %d committed", g.rounds, len(g.present), len(g.gone), len(g.producers), g.committed)
	if len(g.present) == 0 || len(g.gone) == 0 || len(g.producers) == 0 || g.committed == 0 {
		t.Error("too little happened to show anything")
	}
	for _, line := range b.complaints() {
		t.Errorf("the broker said: %s", line)
	}
	b.stop()
}
