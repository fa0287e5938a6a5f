package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

// outcomes is what the proposers of a run were told, by topic number.
type outcomes struct {
	mu      sync.Mutex
	done    map[int]bool
	refused map[int]error // nothing happened
	unknown map[int]error
}

// Members stop, start and are cut off while all of them propose, and answers get lost. Every
// proposal has one effect, or none, or an outcome that it says is unknown; no entry is twice in
// the log; all images come out the same.
func TestFailover(t *testing.T) {
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, k *testCluster) { runFailover(t, k, seed) })
		})
	}
}

func runFailover(t *testing.T, k *testCluster, seed uint64) {
	k.grow(3)
	k.mu.Lock()
	k.random = rand.New(rand.NewPCG(seed, 1))
	k.mu.Unlock()
	o := &outcomes{done: map[int]bool{}, refused: map[int]error{}, unknown: map[int]error{}}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for id := range int32(3) {
		wg.Go(func() { k.proposeAll(ctx, o, id+1, rand.New(rand.NewPCG(seed, uint64(id)+2))) })
	}
	disturb(t, k, rand.New(rand.NewPCG(seed, 0)))
	cancel()
	wg.Wait()
	k.mu.Lock()
	k.random = nil
	k.mu.Unlock()
	k.until("a leader", func() bool { return k.leader() != nil })
	propose(t, k.leader().Controller, metadata.SetClusterID{ID: "the-end"})
	k.settle()
	o.check(t, k)
}

// disturb does one thing to one member after the other, and mends it.
func disturb(t *testing.T, k *testCluster, random *rand.Rand) {
	for range 12 {
		id := int32(1 + random.IntN(3))
		if leader := k.leader(); leader != nil && random.IntN(2) == 0 {
			id = leader.config.NodeID
		}
		wait := time.Duration(random.IntN(4000)) * time.Millisecond
		kind := random.IntN(3)
		if kind > 0 {
			k.setCut(id, true)
		}
		if kind < 2 { // one that is cut off cannot hand over
			k.stop(id)
		}
		time.Sleep(wait)
		if kind < 2 {
			k.start(id, 1)
		} else {
			k.setCut(id, false)
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
	}
}

func (k *testCluster) proposeAll(ctx context.Context, o *outcomes, id int32, random *rand.Rand) {
	for n := int(id) * 10_000; ctx.Err() == nil; n++ {
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		m := k.member(id)
		if m == nil {
			continue
		}
		limit, cancel := context.WithTimeout(context.Background(), time.Duration(1+random.IntN(5000))*time.Millisecond)
		result, err := m.Propose(limit, topicCommand(n))
		cancel()
		if err == nil {
			err = result.([]metadata.TopicResult)[0].Err // no topic may exist already
		}
		o.note(n, err)
	}
}

func (o *outcomes) note(n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var unknown *UnknownOutcomeError
	switch {
	case err == nil:
		o.done[n] = true
	case errors.As(err, &unknown):
		o.unknown[n] = err
	default:
		o.refused[n] = err
	}
}

func (o *outcomes) check(t *testing.T, k *testCluster) {
	image := k.leader().Image()
	t.Logf("%d done, %d did not happen, %d unknown, %d topics", len(o.done), len(o.refused), len(o.unknown), len(image.Topics()))
	exists := func(n int) bool { _, ok := image.Topic(fmt.Sprint("topic-", n)); return ok }
	for n := range o.done {
		if !exists(n) {
			t.Errorf("topic %d was acknowledged and does not exist", n)
		}
	}
	for n, err := range o.refused {
		var twice *metadata.TopicExistsError
		if exists(n) || errors.As(err, &twice) {
			t.Errorf("topic %d exists, its proposal said that nothing happened: %v", n, err)
		}
	}
	if len(o.done) == 0 {
		t.Error("nothing was done")
	}
	for _, m := range k.all() {
		seen := map[proposalID]bool{}
		logs := &logStore{bolt: m.bolt, fault: m.fault}
		last, err := logs.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		for i := uint64(1); i <= last; i++ {
			var e raft.Log
			if err := logs.GetLog(i, &e); err != nil {
				t.Fatal(err)
			}
			if e.Type != raft.LogCommand {
				continue
			}
			id, _, err := decodeEntry(e.Data)
			if err != nil || seen[id] {
				t.Fatalf("entry %d of member %d: proposal %v a second time (%v)", i, m.config.NodeID, id, err)
			}
			seen[id] = true
		}
	}
}
