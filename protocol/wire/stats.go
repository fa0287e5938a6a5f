package wire

import "sync/atomic"

// Stats are the counters of one server. They may be read at any time and are
// not a snapshot: each is exact, but two of them may be from different moments.
type Stats struct {
	ConnectionsOpen     atomic.Int64
	ConnectionsTotal    atomic.Int64 // accepted and served, since the start
	ConnectionsRejected atomic.Int64 // accepted over a limit and closed

	Requests      atomic.Int64 // handed to the handler
	RequestsHeld  atomic.Int64 // request objects not yet released: zero when nothing is under way
	InFlightBytes atomic.Int64 // frame memory taken from the budget
	BytesIn       atomic.Int64 // bytes of TLS connections count decrypted
	BytesOut      atomic.Int64

	HandlerPanics atomic.Int64
}
