package controller

import (
	"context"
	"errors"
	"testing"

	"weir/cluster/metadata"
)

func TestChangesComeInOrderAndWhole(t *testing.T) {
	c := open(t, testConfig(t.TempDir(), true))
	register(t, c)
	last := c.Image()
	seen := map[string]bool{}
	c.OnChange(last, func(old, new *metadata.Image) {
		if old != last || new.Index() <= old.Index() {
			t.Error("a change does not begin where the one before ended")
		}
		last = new
		diff := metadata.Diff(old, new)
		for _, topic := range diff.Created {
			seen[topic.Name] = true
		}
		for _, topic := range diff.Deleted {
			delete(seen, topic.Name)
		}
	})
	for n := range 30 {
		createTopics(t, c, n, n+1)
		if n%3 == 0 {
			propose(t, c, metadata.DeleteTopics{IDs: []metadata.UUID{{0: 1, 2: byte(n)}}})
		}
		if err := c.AwaitDelivery(t.Context()); err != nil {
			t.Fatal(err)
		}
		if seen["topic-"+itoa(n)] == (n%3 == 0) {
			t.Fatalf("listener is behind at topic %d", n)
		}
	}
	if len(seen) != 20 {
		t.Fatalf("listener saw %d topics stay", len(seen))
	}
}

func TestSlowListenerGetsTheNewestImage(t *testing.T) {
	c := open(t, testConfig(t.TempDir(), true))
	register(t, c)
	entered, leave := make(chan *metadata.Image), make(chan struct{})
	c.OnChange(c.Image(), func(_, new *metadata.Image) {
		entered <- new
		<-leave
	})
	createTopics(t, c, 0, 1)
	if im := <-entered; len(im.Topics()) != 1 {
		t.Fatal("first call")
	}
	createTopics(t, c, 1, 10)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.AwaitDelivery(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("the listener is still at work: %v", err)
	}
	leave <- struct{}{}
	if im := <-entered; len(im.Topics()) != 10 {
		t.Fatalf("second call got %d topics", len(im.Topics()))
	}
	close(leave)
	if err := c.AwaitDelivery(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, c)
	c.OnChange(c.Image(), func(_, _ *metadata.Image) { t.Error("called after Close") })
}
