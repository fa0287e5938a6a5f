package wire

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"weir/protocol"
)

// Handler serves the requests of all connections.
type Handler interface {
	// Handle is called on the connection's reading goroutine, in the order of
	// arrival, and returns promptly: what takes time happens in Reply.Await.
	// A panic closes the connection.
	Handle(req *Request) Reply
}

// Reply is the answer to one request, possibly still to come.
//
// The server calls Await exactly once for each Reply that Handle returns, also
// when the connection is gone (ctx is then ended, and Await returns soon).
// Replies of one connection are awaited one after the other, in the order of
// the requests. What Await returns is released by the server: each
// Part.Release is called exactly once, beside an error too. An error closes
// the connection.
type Reply interface {
	Await(ctx context.Context) (Response, error)
}

// PromptReply is a Reply that can tell whether Await would return at once. Such
// a reply is written without a change of goroutine if nothing is before it.
type PromptReply interface {
	Reply
	IsReady() bool
}

// Response is one response without its size prefix, which the server adds.
type Response struct {
	Parts []Part

	// Silent: nothing is written (Produce with acks=0). Parts are released.
	Silent bool
}

// Part is a piece of a response: Bytes, then the range of File. Both stay
// untouched by their owner until Release is called, which may be nil.
type Part struct {
	Bytes   []byte
	File    FileRange
	Release func()
}

// FileRange is the half-open range [Position, Position+Length) of a file. Its
// bytes go from the page cache to the socket, so they must not change while
// they are on the way: only committed bytes may be named here. A file that ends
// before the range does closes the connection.
type FileRange struct {
	Reader   io.ReaderAt // needed when Length > 0
	Fd       uintptr     // descriptor of the same file, when HasFd
	HasFd    bool
	Position int64
	Length   int64
}

// Ready returns a Reply that is there already.
func Ready(r Response) Reply { return &readyReply{response: r} }

// NoReply is the Reply to a request that gets no response.
var NoReply Reply = &readyReply{response: Response{Silent: true}}

// Closed returns a Reply that closes the connection once the replies before it
// are written. err (ErrServerClosed if nil) is logged at debug level.
func Closed(err error) Reply {
	if err == nil {
		err = ErrServerClosed
	}
	return &readyReply{err: err}
}

type readyReply struct {
	response Response
	err      error
}

func (r *readyReply) Await(context.Context) (Response, error) { return r.response, r.err }
func (r *readyReply) IsReady() bool                           { return true }

func isReady(r Reply) bool {
	p, ok := r.(PromptReply)
	return ok && p.IsReady()
}

// Request is one request frame. Header, Body and Conn may be used until the
// last Release; so may record bytes that alias Body. The server holds one
// reference until the reply has been written or dropped.
type Request struct {
	Header protocol.RequestHeader
	Body   []byte // nil for ApiVersions in a version that is not supported
	Conn   *Conn

	refs      atomic.Int32
	arena     *arena
	frame     *buffer
	frameSize int // bytes, without the size prefix
	lease     lease
	scratch   *buffer

	ready readyReply // storage of Respond
	parts [1]Part

	timing timing

	reply Reply    // while queued
	next  *Request // in the connection's queue
}

// arena is where requests live: the pool and its accounts.
type arena struct {
	budget budget
	stats  *Stats
}

var requestPool = sync.Pool{New: func() any { return new(Request) }}

func (a *arena) newRequest() *Request {
	r := requestPool.Get().(*Request)
	r.arena = a
	r.refs.Store(1)
	a.stats.RequestsHeld.Add(1)
	return r
}

// SizeBytes is the size of the frame without its prefix.
func (r *Request) SizeBytes() int { return r.frameSize }

// Retain keeps the frame alive until one more Release.
func (r *Request) Retain() {
	if r.refs.Add(1) <= 1 {
		panic("wire: Retain of a released request")
	}
}

// Release gives up one reference. After the last one neither the request nor
// any slice of its body may be used.
func (r *Request) Release() {
	switch n := r.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("wire: request released more often than retained")
	}
	a, l := r.arena, r.lease
	if r.frame != nil {
		putBuffer(r.frame)
	}
	if r.scratch != nil {
		putBuffer(r.scratch)
	}
	r.Header, r.Body, r.Conn = protocol.RequestHeader{}, nil, nil
	r.arena, r.frame, r.scratch, r.lease = nil, nil, nil, lease{}
	r.ready, r.parts, r.reply, r.next = readyReply{}, [1]Part{}, nil, nil
	r.timing = timing{}
	requestPool.Put(r)
	a.budget.give(&l, l.bytes)
	a.stats.RequestsHeld.Add(-1)
}

// DropFrame gives the frame's memory back before the reply is there, for one that may take long. Neither Body nor what
// aliases it may be used after that. It is for Await, and does nothing for a request that somebody else retains.
func (r *Request) DropFrame() {
	if r.frame == nil || r.refs.Load() != 1 {
		return
	}
	putBuffer(r.frame)
	r.frame, r.Body = nil, nil
	r.arena.budget.give(&r.lease, r.lease.bytes)
}

// Buffer returns an empty slice with room for at least n bytes, from the pool,
// for the response. It lives as long as the request; a second call ends the
// first slice. Appending past its capacity moves it to the heap, as usual.
func (r *Request) Buffer(n int) []byte {
	if r.scratch != nil {
		putBuffer(r.scratch)
	}
	r.scratch = getBuffer(n)
	return r.scratch.b[:0]
}

// Respond returns a ready Reply of one part without allocating. It may be used
// once per request, and the Reply only as the result of Handle.
func (r *Request) Respond(p Part) Reply {
	r.parts[0] = p
	r.ready.response = Response{Parts: r.parts[:]}
	return &r.ready
}

// parse reads the header of the complete frame.
//
// Errors: those of protocol.ParseRequestHeader, except that ApiVersions in an
// unsupported version passes without a body: it is answered, in version 0, not
// refused (KIP-511).
func (r *Request) parse() error {
	var err error
	r.Header, r.Body, err = protocol.ParseRequestHeader(r.frame.b[:r.frameSize])
	if err != nil && r.Header.Key == protocol.KeyApiVersions {
		var version *protocol.UnsupportedVersionError
		if errors.As(err, &version) {
			return nil
		}
	}
	return err
}
