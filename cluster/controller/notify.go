package controller

import (
	"context"
	"sync"

	"weir/cluster/metadata"
)

// subscription tells one listener of new images, in order, on a goroutine of its own. Images that
// come while the listener works are merged: it gets the newest, once, and Diff shows what lies
// between.
type subscription struct {
	listener func(old, new *metadata.Image)
	wake     chan struct{} // holds one token when there may be a newer image

	mu        sync.Mutex // guards the two below
	delivered *metadata.Image
	advanced  chan struct{} // closed when delivered moves on
}

// OnChange calls listener with every change after image from, which the caller has dealt with
// itself. The calls come one after the other, from one goroutine, until Close; old is always the
// image of the call before. The listener may take its time; it must not call Close or
// AwaitDelivery.
func (c *Controller) OnChange(from *metadata.Image, listener func(old, new *metadata.Image)) {
	s := &subscription{listener: listener, wake: make(chan struct{}, 1), delivered: from, advanced: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	c.subscriptions = append(c.subscriptions, s)
	c.goOwned(func() { s.run(c.stop, c.machine) })
	s.notify()
}

func (s *subscription) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscription) run(stop <-chan struct{}, machine *metadata.Machine) {
	for {
		select {
		case <-stop:
			return
		case <-s.wake:
		}
		s.mu.Lock()
		old := s.delivered
		s.mu.Unlock()
		if image := machine.Image(); image != old {
			s.listener(old, image)
			s.advance(image)
		}
	}
}

func (s *subscription) advance(image *metadata.Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered = image
	close(s.advanced)
	s.advanced = make(chan struct{})
}

// await waits until the listener has dealt with an image of that index or a later one.
func (s *subscription) await(ctx context.Context, stop <-chan struct{}, index uint64) error {
	for {
		s.mu.Lock()
		done, advanced := s.delivered.Index() >= index, s.advanced
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-advanced:
		case <-stop:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitDelivery waits until every listener has returned from the call that told it of the image
// as it is now: after a Propose, of what was proposed.
func (c *Controller) AwaitDelivery(ctx context.Context) error {
	index := c.Image().Index()
	c.mu.Lock()
	subscriptions := c.subscriptions[:len(c.subscriptions):len(c.subscriptions)]
	c.mu.Unlock()
	for _, s := range subscriptions {
		if err := s.await(ctx, c.stop, index); err != nil {
			return err
		}
	}
	return nil
}

// imageChanged runs on the library's FSM goroutine.
func (c *Controller) imageChanged() {
	c.imageAdvanced.fire()
	c.wake()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subscriptions {
		s.notify()
	}
}
