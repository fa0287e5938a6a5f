package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"weir/cluster/config"
	"weir/cluster/space"
	"weir/log"
	"weir/partition"
)

// A client may have a replica of this broker move to another of its data folders (KIP-113). This is what it may ask
// for, and what is known of moves under way; move.go carries one out.

// ErrNoReplica says that a partition has no replica on this broker.
var ErrNoReplica = errors.New("cluster: the partition has no replica here")

// NoFolderError says that a path is not one of this broker's data folders.
type NoFolderError struct{ Path string }

func (e *NoFolderError) Error() string {
	return fmt.Sprintf("%q is not a data folder of this broker", e.Path)
}

// maxWishes bounds the folders that are remembered for replicas that may come.
const maxWishes = 10_000

// moves are those of all replicas of a node.
type moves struct {
	slots    slots     // as many as there are folders
	throttle *throttle // replica.alter.log.dirs.io.max.bytes.per.second

	mu      sync.Mutex // guards the rest; a leaf lock
	running map[partitionKey]*move
	wishes  map[partitionKey]*folder // of replicas that are not here
}

// move is one replica's to another folder.
type move struct {
	key    partitionKey
	to     *folder
	ctx    context.Context // ends with the node, or when nobody wants the move any more
	cancel context.CancelFunc
	next   *folder                  // where the replica is to go instead, once this is called off; nil: nowhere; guarded by moves.mu
	copy   atomic.Pointer[log.Copy] // nil until it has begun

	hung     chan struct{} // closed when a disk has not come back in time
	hungOnce sync.Once

	disk   partition.Watched // the rest is the goroutine's of the move
	closed bool              // the replica
	noted  bool              // perhaps, that the copy counts: it is not to be removed
}

func newMoves() *moves {
	return &moves{
		slots:    slots{freed: make(chan struct{})},
		throttle: &throttle{now: time.Now}, running: make(map[partitionKey]*move), wishes: make(map[partitionKey]*folder),
	}
}

func (m *moves) configure(cfg *config.Broker) {
	m.slots.setMost(1 + len(cfg.MoreDataDirs))
	m.throttle.setRate(float64(cfg.MoveRate))
}

// MoveReplica has this node's replica of a partition move to the data folder of that path, and returns when the move
// has begun. One to elsewhere ends; where the replica is there already, that is all. For a replica that is not here the folder
// is remembered, until this process ends. Errors: *NoFolderError, *FolderError, ErrUnknownPartition, ErrNoReplica,
// *OfflineError, *NoRoomError.
func (n *Node) MoveReplica(topic string, index int32, path string) error {
	to := n.folderAt(path)
	if to == nil {
		return &NoFolderError{Path: path}
	}
	if err := to.failed(); err != nil {
		return err
	}
	t := n.Topic(topic)
	if t == nil {
		return ErrUnknownPartition
	}
	key := partitionKey{t.ID, index}
	_, err := t.Replica(index)
	if elsewhere := (*partition.NotLeaderError)(nil); errors.As(err, &elsewhere) {
		n.moves.wish(key, to)
		return ErrNoReplica
	}
	if errors.Is(err, ErrUnknownPartition) {
		return err
	}
	n.moves.mu.Lock()
	defer n.moves.mu.Unlock()
	m := n.moves.running[key]
	switch {
	case m != nil && m.to == to && m.ctx.Err() == nil:
		return nil
	case m != nil:
		m.cancel()
		m.next = to // also where the replica is: it may have moved by then
		return nil
	case t.folders[index] == to:
		return nil
	case err != nil:
		return err
	}
	if space.Level(to.room.Load()) > space.Ample {
		return noRoom(n.ID(), n.Room())
	}
	n.startMove(key, to)
	return nil
}

// startMove is called with moves.mu held.
func (n *Node) startMove(key partitionKey, to *folder) {
	m := &move{key: key, to: to, hung: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(n.ctx)
	n.moves.running[key] = m
	n.running.Go(func() {
		n.runMove(m)
		n.endMove(m)
	})
}

// endMove forgets a move, and begins the one that was asked for instead.
func (n *Node) endMove(m *move) {
	n.moves.mu.Lock()
	defer n.moves.mu.Unlock()
	m.cancel()
	delete(n.moves.running, m.key)
	if m.next != nil && n.ctx.Err() == nil {
		n.startMove(m.key, m.next)
	}
}

// folderAt returns the folder of a path, nil for none.
func (n *Node) folderAt(path string) *folder {
	for _, f := range n.folders {
		if f.root == filepath.Clean(path) {
			return f
		}
	}
	return nil
}

func (m *moves) wish(key partitionKey, to *folder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.wishes) >= maxWishes {
		clear(m.wishes) // most are of topics that have gone, or of reassignments that never came
	}
	m.wishes[key] = to
}

// wished returns the folder that was asked for before the replica was here, nil for none, and forgets it.
func (m *moves) wished(key partitionKey) *folder {
	m.mu.Lock()
	defer m.mu.Unlock()
	to := m.wishes[key]
	delete(m.wishes, key)
	return to
}

// Move is how far a replica's move is.
type Move struct {
	Folder    int   // the place in Folders of the target
	SizeBytes int64 // that are there
	Lag       int64 // offsets that are not
}

// Move returns what is known of the move of this node's replica of a partition; false when there is none.
func (n *Node) Move(t *Topic, index int32) (Move, bool) {
	n.moves.mu.Lock()
	m := n.moves.running[partitionKey{t.ID, index}]
	n.moves.mu.Unlock()
	if m == nil || m.ctx.Err() != nil || t.folders[index] == m.to {
		return Move{}, false
	}
	out := Move{Folder: n.place(m.to)}
	p, err := t.Replica(index)
	if err == nil {
		out.Lag = p.LogEndOffset() - p.LogStartOffset()
	}
	if c := m.copy.Load(); c != nil {
		out.SizeBytes = c.SizeBytes()
		if err == nil {
			out.Lag = max(0, p.LogEndOffset()-max(c.NextOffset(), p.LogStartOffset()))
		}
	}
	return out, true
}

func (n *Node) topicName(k partitionKey) string {
	if t := n.TopicByID(k.topic); t != nil {
		return t.Name
	}
	return ""
}
