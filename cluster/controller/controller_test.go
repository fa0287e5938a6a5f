package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"weir/cluster/metadata"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("CONTROLLER_TEST_CHILD"); dir != "" {
		proposeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func testConfig(dir string, isNew bool) Config {
	return Config{Dir: filepath.Join(dir, "controller"), NodeID: 1, Directory: [16]byte{1}, New: isNew, Bootstrap: true}
}

func tryOpen(config Config) (*Controller, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return Open(ctx, config)
}

func open(t testing.TB, config Config) *Controller {
	t.Helper()
	c, err := tryOpen(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustClose(t testing.TB, c *Controller) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func propose(t testing.TB, c *Controller, command metadata.Command) any {
	t.Helper()
	result, err := c.Propose(context.Background(), command)
	if err != nil {
		t.Fatalf("%T: %v", command, err)
	}
	return result
}

func register(t testing.TB, c *Controller) {
	t.Helper()
	propose(t, c, metadata.RegisterBroker{ID: 1, Directory: [16]byte{1},
		Endpoints: []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}}})
}

// topicCommand creates topic number n.
func topicCommand(n int) metadata.Command {
	return metadata.CreateTopics{MaxPartitions: 100_000, Topics: []metadata.NewTopic{
		{Name: fmt.Sprintf("topic-%d", n), ID: metadata.UUID{0: 1, 1: byte(n >> 8), 2: byte(n)}, Assignment: [][]int32{{1}}}}}
}

func createTopics(t testing.TB, c *Controller, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if r := propose(t, c, topicCommand(n)).([]metadata.TopicResult); r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
	}
}

func sameImage(t testing.TB, got, want *metadata.Image) {
	t.Helper()
	if !slices.Equal(got.Encode(), want.Encode()) {
		t.Fatalf("image has %d topics at index %d, want %d at %d", len(got.Topics()), got.Index(), len(want.Topics()), want.Index())
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	c := open(t, testConfig(dir, true))
	register(t, c)
	createTopics(t, c, 0, 3)
	want := c.Image()
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	c = open(t, testConfig(dir, false))
	sameImage(t, c.Image(), want)
	if leader, ok := c.Leader(); !ok || leader != 1 {
		t.Fatal(leader, ok)
	}
	createTopics(t, c, 3, 4)
}

func TestRefusalsComeBackTyped(t *testing.T) {
	c := open(t, testConfig(t.TempDir(), true))
	register(t, c)
	_, err := c.Propose(t.Context(), metadata.RegisterBroker{ID: 1, Directory: [16]byte{9},
		Endpoints: []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}}})
	var taken *metadata.BrokerIDTakenError
	if !errors.As(err, &taken) || taken.ID != 1 {
		t.Fatal(err)
	}
	createTopics(t, c, 0, 1)
	results := propose(t, c, topicCommand(0)).([]metadata.TopicResult)
	var exists *metadata.TopicExistsError
	if !errors.As(results[0].Err, &exists) {
		t.Fatal(results[0].Err)
	}
}

func TestSnapshotReplacesTheLog(t *testing.T) {
	dir := t.TempDir()
	config := testConfig(dir, true)
	config.TrailingEntries = 1
	c := open(t, config)
	register(t, c)
	createTopics(t, c, 0, 20)
	if err := errors.Join(c.Snapshot(), c.Snapshot()); err != nil {
		t.Fatal(err)
	}
	if first, err := c.bolt.FirstIndex(); err != nil || first < 20 {
		t.Fatalf("the log still begins at %d: %v", first, err)
	}
	want := c.Image()
	mustClose(t, c)

	config.New = false
	c = open(t, config)
	sameImage(t, c.Image(), want)
	createTopics(t, c, 20, 25) // a tail behind the snapshot
	want = c.Image()
	mustClose(t, c)
	sameImage(t, open(t, config).Image(), want)
}

func TestSnapshotsAreTakenByThemselves(t *testing.T) {
	config := testConfig(t.TempDir(), true)
	config.SnapshotThreshold, config.TrailingEntries, config.SnapshotInterval = 10, 1, 5*time.Millisecond
	c := open(t, config)
	register(t, c)
	for n := 0; ; n++ { // ends when the log has been cut; the test's own deadline bounds it
		createTopics(t, c, n, n+1)
		if first, err := c.bolt.FirstIndex(); err != nil || first > 1 {
			break
		}
	}
}

func TestConcurrentProposals(t *testing.T) {
	c := open(t, testConfig(t.TempDir(), true))
	register(t, c)
	const workers, each = 8, 20
	var blocks [workers * each]int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				result, err := c.Propose(context.Background(), metadata.AllocateProducerIDs{Broker: 1, Count: 10})
				if err != nil {
					t.Error(err)
					return
				}
				blocks[w*each+i] = result.(metadata.ProducerIDBlock).First
			}
		})
	}
	wg.Wait()
	slices.Sort(blocks[:])
	for i, first := range blocks {
		if first != int64(i)*10 {
			t.Fatalf("block %d begins at %d", i, first)
		}
	}
}

func TestProposalsEndWithTheirContextAndWithClose(t *testing.T) {
	c := open(t, testConfig(t.TempDir(), true))
	register(t, c)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Propose(ended, topicCommand(0)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(c.Image().Topics()) != 0 {
		t.Fatal("a proposal whose context had ended was made")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var acknowledged int
	started := make(chan struct{}, 8)
	for w := range 8 {
		wg.Go(func() {
			started <- struct{}{}
			for n := w * 1000; ; n++ {
				_, err := c.Propose(context.Background(), topicCommand(n))
				var unknown *UnknownOutcomeError
				if errors.Is(err, ErrClosed) || errors.As(err, &unknown) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged++
				mu.Unlock()
			}
		})
	}
	for range 8 {
		<-started
	}
	mustClose(t, c)
	wg.Wait()
	if err := c.Barrier(context.Background()); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	config := c.config
	config.New = false
	if got := len(open(t, config).Image().Topics()); got < acknowledged {
		t.Fatalf("%d topics, %d were acknowledged", got, acknowledged)
	}
}

func TestErrorsOfTheLibrary(t *testing.T) {
	c := open(t, testConfig(t.TempDir(), true))
	var notLeader *NotLeaderError
	if err := c.mapError(raft.ErrNotLeader); !errors.As(err, &notLeader) || !notLeader.Known || notLeader.Leader != 1 {
		t.Fatal(err)
	}
	if err := c.mapError(raft.ErrEnqueueTimeout); err != ErrBusy {
		t.Fatal(err)
	}
	for _, err := range []error{raft.ErrLeadershipLost, raft.ErrRaftShutdown, errors.New("disk")} {
		var unknown *UnknownOutcomeError
		if !errors.As(c.mapError(err), &unknown) {
			t.Fatalf("%v: a definite answer for an unknown outcome", err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		mustClose(b, open(b, testConfig(b.TempDir(), true)))
	}
}

func BenchmarkPropose(b *testing.B) {
	c := open(b, testConfig(b.TempDir(), true))
	register(b, c)
	for b.Loop() {
		propose(b, c, metadata.AllocateProducerIDs{Broker: 1, Count: 1})
	}
}
