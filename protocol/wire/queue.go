package wire

// admit waits until one more request of size bytes may be read ahead, and the connection is not muted.
func (c *Conn) admit(size int) error {
	cfg := &c.srv.cfg
	c.mu.Lock()
	defer c.mu.Unlock()
	full := func() bool {
		return c.unanswered >= cfg.ReadAheadRequests ||
			c.unanswered > 0 && (c.oneByOne || c.unansweredBytes+int64(size) > cfg.ReadAheadBytes) ||
			c.mute.on()
	}
	if !full() {
		return nil
	}
	c.waits.readSince.Store(0) // this wait is ours, not the peer's
	for full() {
		if c.gone.Load() {
			return c.reason
		}
		if c.srv.isStopping() {
			return errDraining
		}
		if c.mute.on() {
			c.waits.idleSince.CompareAndSwap(0, c.srv.clock.now()) // whether the peer is still there does not show
		}
		c.changed.Wait()
	}
	c.waits.idleSince.Store(0)
	c.waits.readSince.Store(c.srv.clock.now())
	return nil
}

// enqueue appends r, whose reply is set, and makes sure that a writer runs.
// c.mu is held.
func (c *Conn) enqueue(r *Request) {
	if c.tail == nil {
		c.head = r
	} else {
		c.tail.next = r
	}
	c.tail = r
	c.unanswered++
	c.unansweredBytes += int64(r.frameSize)
	if !c.writing {
		c.writing = true
		c.srv.served.Add(1)
		go c.writer()
	}
}

// writeReplies answers queued requests in order and ends with the queue. On a
// connection that is gone it still awaits them, to release what they hold.
func (c *Conn) writeReplies() {
	defer c.srv.served.Done()
	c.mu.Lock()
	for r := c.head; r != nil; r = c.head {
		if c.head = r.next; c.head == nil {
			c.tail = nil
		}
		c.mu.Unlock()
		size := int64(r.frameSize) // r is gone after the answer
		c.answer(r, r.reply, c.srv.clock.exact())
		c.mu.Lock()
		c.unanswered--
		c.unansweredBytes -= size
		c.changed.Broadcast()
	}
	c.writing = false
	c.changed.Broadcast()
	c.mu.Unlock()
}

// awaitAnswered returns when the queue is empty and its writer has ended.
func (c *Conn) awaitAnswered() {
	c.mu.Lock()
	for c.writing {
		c.changed.Wait()
	}
	c.mu.Unlock()
}

func (c *Conn) hasUnanswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unanswered > 0
}
