package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"time"
)

// Service names what a plain call is for. Both ends know the numbers.
type Service uint8

// Handler answers one call. ctx ends with the caller's time, its connection, or Close; the request is the
// handler's to keep.
type Handler func(ctx context.Context, from int32, request []byte) ([]byte, error)

// Handle has h answer the calls of a service, from a goroutine each and many at a time. It replaces what
// was there; nil removes it.
func (t *Transport) Handle(s Service, h func(ctx context.Context, from int32, request []byte) ([]byte, error)) {
	t.handlersMu.Lock()
	defer t.handlersMu.Unlock()
	if h == nil {
		delete(t.handlers, s)
		return
	}
	t.handlers[s] = h
}

func (t *Transport) handler(s Service) Handler {
	t.handlersMu.RLock()
	defer t.handlersMu.RUnlock()
	return t.handlers[s]
}

// Call makes one call and waits for the answer, until ctx ends; CallTimeout stands in for a deadline. Both
// request and answer are at most MaxControlBytes. What the handler returned as an error comes as a
// *RemoteError. After an *UnreachableError, a *TimeoutError or ctx's error it is not known whether the
// handler ran. The call to this node itself runs the handler here, on the same terms.
func (t *Transport) Call(ctx context.Context, node int32, s Service, request []byte) ([]byte, error) {
	if int64(len(request)) > t.cfg.MaxControlBytes {
		return nil, &FrameTooLargeError{Bytes: int64(len(request)), Limit: t.cfg.MaxControlBytes}
	}
	limit := t.cfg.CallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if node == t.self.node {
		return t.callSelf(ctx, limit, s, request)
	}
	w := newPatience(node, limit, ctx.Done(), ctx.Err)
	defer w.stop()
	c, err := t.connectionTo(node, w)
	if err != nil {
		return nil, err
	}
	frame := beginFrame(make([]byte, 0, frameHeaderBytes+callBytes+len(request)), kindCall)
	frame = append(frame, byte(s))
	frame = binary.BigEndian.AppendUint32(frame, uint32(min(max(time.Until(w.deadline).Milliseconds(), 1), math.MaxUint32)))
	frame = append(frame, request...)
	a, err := c.roundTrip(nil, w, net.Buffers{frame}, 0)
	if err != nil {
		return nil, err
	}
	if a.status != statusOK {
		return nil, answerError(node, a.status, a.body)
	}
	return a.body, nil
}

// callBytes is what a call's body has before the request: the service and the time left in milliseconds.
const callBytes = 1 + 4

// callSelf runs the handler in place.
func (t *Transport) callSelf(ctx context.Context, limit time.Duration, s Service, request []byte) ([]byte, error) {
	if t.ctx.Err() != nil {
		return nil, ErrClosed
	}
	h := t.handler(s)
	if h == nil {
		return nil, answerError(t.self.node, statusUnknownService, []byte(unknownService(s).Error()))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	response, err := h(ctx, t.self.node, append([]byte(nil), request...))
	if err == nil {
		err = t.checkResponse(response)
	}
	if err != nil {
		return nil, answerError(t.self.node, statusError, []byte(err.Error()))
	}
	return response, nil
}

func unknownService(s Service) error { return fmt.Errorf("%w: %d", ErrUnknownService, s) }

func (t *Transport) checkResponse(response []byte) error {
	if int64(len(response)) > t.cfg.MaxControlBytes {
		return fmt.Errorf("answer of %d bytes is above the limit of %d", len(response), t.cfg.MaxControlBytes)
	}
	return nil
}

// serveCall starts a handler.
func (c *conn) serveCall(h frameHeader) error {
	body, err := c.readControl(h)
	if err != nil {
		return err
	}
	d := decoder{rest: body}
	s, millis := Service(d.uint8()), d.uint32()
	if d.err != nil {
		return d.err
	}
	handler := c.t.handler(s)
	if handler == nil {
		return c.refuse(h, GroupID{}, unknownService(s))
	}
	if c.calls.Add(1) > int64(c.t.cfg.MaxCalls) {
		c.calls.Add(-1)
		return c.refuse(h, GroupID{}, ErrBusy)
	}
	c.t.wg.Go(func() {
		defer c.calls.Add(-1)
		ctx, cancel := context.WithTimeout(c.ctx, time.Duration(millis)*time.Millisecond)
		defer cancel()
		response, err := handler(ctx, c.peer.node, d.rest)
		if err == nil {
			err = c.t.checkResponse(response)
		}
		if err != nil {
			c.answer(h.id, statusError, []byte(err.Error()))
			return
		}
		c.answer(h.id, statusOK, response)
	})
	return nil
}
