package partition

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// wires joins the replicas of a group in memory, so that a group fits into a synctest bubble, where time passes only
// while all wait. Of a node that is cut off or closed nothing arrives any more: no request, and no answer to one.
type wires struct {
	snapshots atomic.Int64 // installed

	mu    sync.Mutex // guards the rest
	ends  map[raft.ServerID]*wire
	cut   map[raft.ServerID]bool
	moved chan struct{} // closed with the next node that joins, or is let in again
}

// wire is one node's end.
type wire struct {
	*raft.InmemTransport
	all    *wires
	id     raft.ServerID
	closed chan struct{}
	once   sync.Once
}

func newWires() *wires {
	return &wires{ends: map[raft.ServerID]*wire{}, cut: map[raft.ServerID]bool{}, moved: make(chan struct{})}
}

func (all *wires) join(id raft.ServerID) *wire {
	all.mu.Lock()
	defer all.mu.Unlock()
	_, mem := raft.NewInmemTransport(raft.ServerAddress(id))
	w := &wire{InmemTransport: mem, all: all, id: id, closed: make(chan struct{})}
	for _, other := range all.ends {
		w.Connect(other.LocalAddr(), other.InmemTransport)
		other.Connect(w.LocalAddr(), mem)
	}
	all.ends[id] = w
	all.move()
	return w
}

// move is called with mu held.
func (all *wires) move() {
	close(all.moved)
	all.moved = make(chan struct{})
}

func (all *wires) setCut(id raft.ServerID, cut bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.cut[id] = cut
	all.move()
}

// peer is the other end, nil when there is no way to it.
func (w *wire) peer(target raft.ServerAddress) (peer *wire, moved <-chan struct{}) {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	to := raft.ServerID(target)
	if w.all.ends[w.id] != w || w.all.cut[w.id] || w.all.cut[to] {
		return nil, w.all.moved
	}
	return w.all.ends[to], w.all.moved
}

// unreachableError says that nothing is heard of a node.
type unreachableError struct{ target raft.ServerAddress }

func (e *unreachableError) Error() string { return fmt.Sprintf("%s is not to be reached", e.target) }

// call has request and answer arrive, or says that one of them has not.
func (w *wire) call(target raft.ServerAddress, f func() error) error {
	peer, _ := w.peer(target)
	if peer == nil {
		return &unreachableError{target}
	}
	err := f()
	if now, _ := w.peer(target); now != peer {
		return &unreachableError{target}
	}
	return err
}

// AppendEntries has the receiver keep nothing of the sender's.
func (w *wire) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	own := *args
	own.Entries = make([]*raft.Log, len(args.Entries))
	for i, e := range args.Entries {
		entry := *e
		entry.Data, entry.Extensions = slices.Clone(e.Data), slices.Clone(e.Extensions)
		own.Entries[i] = &entry
	}
	return w.call(target, func() error { return w.InmemTransport.AppendEntries(id, target, &own, resp) })
}

func (w *wire) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return w.call(target, func() error { return w.InmemTransport.RequestVote(id, target, args, resp) })
}

func (w *wire) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return w.call(target, func() error { return w.InmemTransport.RequestPreVote(id, target, args, resp) })
}

func (w *wire) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return w.call(target, func() error { return w.InmemTransport.TimeoutNow(id, target, args, resp) })
}

func (w *wire) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	err := w.call(target, func() error { return w.InmemTransport.InstallSnapshot(id, target, args, resp, data) })
	if err == nil && resp.Success {
		w.all.snapshots.Add(1)
	}
	return err
}

func (w *wire) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AwaitPeer waits until a node may be reached again, for a second at most.
func (w *wire) AwaitPeer(failed error) {
	var gone *unreachableError
	if !errors.As(failed, &gone) {
		return
	}
	for end := time.After(time.Second); ; {
		peer, moved := w.peer(gone.target)
		if peer != nil {
			return
		}
		select {
		case <-moved:
		case <-w.closed:
			return
		case <-end:
			return
		}
	}
}

func (w *wire) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.all.mu.Lock()
		defer w.all.mu.Unlock()
		if w.all.ends[w.id] == w {
			delete(w.all.ends, w.id)
		}
	})
	return nil
}

// votes is what a node remembers of terms and votes. What is left of one that has died adds nothing to it.
type votes struct {
	*raft.InmemStore
	node *wire
}

func (v votes) dead() bool {
	select {
	case <-v.node.closed:
		return true
	default:
		return false
	}
}

func (v votes) Set(key, value []byte) error {
	if v.dead() {
		return nil
	}
	return v.InmemStore.Set(key, value)
}

func (v votes) SetUint64(key []byte, value uint64) error {
	if v.dead() {
		return nil
	}
	return v.InmemStore.SetUint64(key, value)
}
