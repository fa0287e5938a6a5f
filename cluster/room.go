package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/cluster/config"
	"weir/cluster/metadata"
	"weir/cluster/space"
)

// A broker looks at what is free on its disk, and nothing is taken from producers that would fill it. The marks, and what
// each level means, are those of package space. A leader whose disk is low takes nothing, and hands over where a
// majority of the replicas has room; where none has, nobody takes anything. A minority goes on as followers until its
// disks are critical. Brokers tell each other; that is soft state: what is not repeated is forgotten, and a broker that
// is down is nobody's obstacle.

const (
	// roomInterval is between two looks; a leader that has taken much meanwhile looks at once.
	roomInterval = 250 * time.Millisecond
	// roomTold is between two tellings by a broker whose disk is low.
	roomTold = 2 * time.Second
	// roomKept is for how long such a word holds.
	roomKept = 3 * roomTold
)

// NoRoomError says that a batch is not taken since it would leave too little room on a disk.
type NoRoomError struct {
	Broker               int32
	FreeBytes, MarkBytes int64
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("cluster: the disk of broker %d has %d bytes free, %s is %d: nothing is taken until there is room",
		e.Broker, e.FreeBytes, config.FreeBytesMin, e.MarkBytes)
}

// Unwrap makes it an error of a full disk.
func (e *NoRoomError) Unwrap() error { return syscall.ENOSPC }

// room is what a node knows of disks.
type room struct {
	own   atomic.Pointer[space.State] // its own, at the last look
	left  atomic.Int64                // bytes that may be taken before the next look
	look  chan struct{}               // one token when it is to look at once
	short chan struct{}               // one token when there is less room than before
	blind bool                        // the last look failed; of lookAtRoom

	mu     sync.Mutex                          // one writer of others at a time
	others atomic.Pointer[map[int32]otherRoom] // of brokers whose disks are low; never nil, never changed in place
}

type otherRoom struct {
	space.State
	until time.Time // then it has not said so for long
}

func newRoom() *room {
	r := &room{look: make(chan struct{}, 1), short: make(chan struct{}, 1)}
	r.own.Store(new(space.State))
	r.others.Store(&map[int32]otherRoom{})
	return r
}

// Room is how much of this broker's disk is left, as of the last look.
func (n *Node) Room() space.State { return *n.room.own.Load() }

// roomFor is what the replica of a partition that leads asks before it takes a batch: *NoRoomError where its disk is low,
// or those of so many replicas that the others are no majority; elsewhere says that they are one. Only disks that are
// critical stop what is written to the broker's own topics. It takes no lock.
func (n *Node) roomFor(topic metadata.UUID, index int32, internal bool) func(sizeBytes int) (elsewhere bool, err error) {
	limit := space.Low
	if internal {
		limit = space.Critical
	}
	return func(sizeBytes int) (bool, error) {
		own, others := n.room.take(sizeBytes, limit), *n.room.others.Load()
		if own.Level < limit && len(others) == 0 {
			return false, nil
		}
		t, ok := n.meta().Image().TopicByID(topic)
		if !ok {
			return false, nil // it is being deleted
		}
		p, _ := t.Partition(index)
		majority, other := majorityHasRoom(n.ID(), own, p.Replicas, others, limit)
		switch {
		case own.Level >= limit:
			return majority, noRoom(n.ID(), own)
		case !majority:
			return false, noRoom(other, others[other].State)
		}
		return false, nil
	}
}

// majorityHasRoom says whether a majority of replicas does, with this node's among them, and names another that does not.
func majorityHasRoom(self int32, own space.State, replicas []int32, others map[int32]otherRoom, limit space.Level) (has bool, other int32) {
	roomy := 0
	for _, id := range replicas {
		s := own
		if id != self {
			if s = (space.State{}); time.Now().Before(others[id].until) {
				s = others[id].State
			}
		}
		if s.Level < limit {
			roomy++
		} else if id != self {
			other = id
		}
	}
	return 2*roomy > len(replicas), other
}

// full is what a replica that follows asks before it stores batches: *NoRoomError where the disk is critical.
func (n *Node) full(sizeBytes int) error {
	if s := n.room.take(sizeBytes, space.Critical); s.Level >= space.Critical {
		return noRoom(n.ID(), s)
	}
	return nil
}

func noRoom(broker int32, s space.State) *NoRoomError {
	return &NoRoomError{Broker: broker, FreeBytes: s.FreeBytes, MarkBytes: s.MarkBytes}
}

// take counts what is going to be written where the level is below limit. The state is as of the last look, with a
// level more when all that was left then has been taken since.
func (r *room) take(sizeBytes int, limit space.Level) space.State {
	s := *r.own.Load()
	if s.MarkBytes == 0 || s.Level >= limit {
		return s
	}
	left := r.left.Add(-int64(sizeBytes))
	if left < s.Left()/2 {
		wake(r.look)
	}
	if left < 0 {
		s.Level++
	}
	return s
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lowDisks are the brokers that are to get no replicas since their disks are low.
func (n *Node) lowDisks() (ids []int32) {
	if n.Room().Level > space.Ample {
		ids = append(ids, n.ID())
	}
	for id, o := range *n.room.others.Load() {
		if time.Now().Before(o.until) {
			ids = append(ids, id)
		}
	}
	return ids
}

// watchRoom is the goroutine that looks.
func (n *Node) watchRoom() {
	ticker := time.NewTicker(roomInterval)
	defer ticker.Stop()
	var told time.Time
	for {
		select {
		case <-ticker.C:
		case <-n.room.look:
		case <-n.ctx.Done():
			return
		}
		changed := n.lookAtRoom()
		if now := time.Now(); changed || n.Room().Level > space.Ample && now.Sub(told) >= roomTold {
			told = now
			n.tellRoom(n.Room())
		}
	}
}

// lookAtRoom looks once, and says whether the level has changed. What cannot be known stops nobody.
func (n *Node) lookAtRoom() (changed bool) {
	was := n.Room()
	now, dir, err := n.leastRoom()
	if err != nil && !n.room.blind {
		n.logger.Warn("it is not known how much room the disk has", "dir", dir, "err", err)
	}
	n.room.blind = err != nil
	n.room.left.Store(now.Left())
	n.room.own.Store(&now)
	if now.Level == was.Level {
		return false
	}
	say, what := n.logger.Warn, "the disk is low: what is produced to partitions that are led here is refused until there is more room"
	switch now.Level {
	case space.Critical:
		say, what = n.logger.Error, "the disk is nearly full: replicas here store no records until there is more room"
	case space.Ample:
		say, what = n.logger.Info, "there is room on the disk again"
	}
	say(what, "dir", dir, "free_bytes", now.FreeBytes, "mark_bytes", now.MarkBytes)
	if now.Level > was.Level {
		wake(n.room.short)
	} else {
		n.standAgain()
	}
	return true
}

// errRoomAgain is why a replica without leader is opened again.
var errRoomAgain = errors.New("cluster: there is more room on the disk, and nobody leads")

// standAgain has replicas that are alone and could not go on leading on a full disk stand at once, which they do when
// they are opened: the library would wait for aloneTiming.
func (n *Node) standAgain() {
	for _, t := range n.topics.Load().byName {
		for _, p := range t.partitions {
			if p == nil || p.Timing() != aloneTiming {
				continue
			}
			if _, leads := p.Leading(); !leads {
				p.Retire(errRoomAgain)
			}
		}
	}
}

// leastRoom looks at all data folders. The one with the least room stands for all of them: which one a batch goes to is not
// looked at. One of which nothing can be known counts as ample, with the error.
func (n *Node) leastRoom() (least space.State, dir string, err error) {
	dir = n.dir.root
	known := false
	for _, f := range n.inUse() {
		free, total, unknown := f.fs.FreeBytes(f.root)
		if unknown != nil {
			f.room.Store(int32(space.Ample))
			err = errors.Join(err, unknown)
			continue
		}
		s := space.Next(space.Level(f.room.Load()), free, space.Mark(n.Config().FreeBytesMin, total))
		f.room.Store(int32(s.Level))
		if !known || s.Level > least.Level || s.Level == least.Level && s.Left() < least.Left() {
			least, dir, known = s, f.root, true
		}
	}
	return least, dir, err
}

// tellRoom tells all others, and does not wait.
func (n *Node) tellRoom(s space.State) {
	if n.peers.transport == nil {
		return
	}
	message := encodeRoom(s)
	for _, broker := range n.Image().Brokers() {
		if broker.ID == n.ID() || broker.Fenced {
			continue
		}
		n.running.Go(func() {
			ctx, cancel := context.WithTimeout(n.ctx, roomTold)
			defer cancel()
			if _, err := n.peers.transport.Call(ctx, broker.ID, serviceRoom, message); err != nil {
				n.logger.Debug("a broker was not told how much room this one has", "broker", broker.ID, "err", err)
			}
		})
	}
}

// The word of a broker: roomVersion, level (1 byte each), bytes free, mark (8 bytes each).
const (
	roomVersion = 1
	roomBytes   = 2 + 2*8
)

func encodeRoom(s space.State) []byte {
	b := append(make([]byte, 0, roomBytes), roomVersion, byte(s.Level))
	b = binary.BigEndian.AppendUint64(b, uint64(s.FreeBytes))
	return binary.BigEndian.AppendUint64(b, uint64(s.MarkBytes))
}

var errMalformedRoom = errors.New("cluster: a word of a disk's room makes no sense")

func decodeRoom(b []byte) (space.State, error) {
	if len(b) != roomBytes || b[0] != roomVersion || b[1] > byte(space.Critical) {
		return space.State{}, errMalformedRoom
	}
	return space.State{Level: space.Level(b[1]), FreeBytes: int64(binary.BigEndian.Uint64(b[2:])), MarkBytes: int64(binary.BigEndian.Uint64(b[10:]))}, nil
}

// handleRoom notes what another broker says of its disk.
func (n *Node) handleRoom(_ context.Context, from int32, b []byte) ([]byte, error) {
	s, err := decodeRoom(b)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	n.room.mu.Lock()
	defer n.room.mu.Unlock()
	others := maps.Clone(*n.room.others.Load())
	maps.DeleteFunc(others, func(_ int32, o otherRoom) bool { return now.After(o.until) })
	if others[from] = (otherRoom{s, now.Add(roomKept)}); s.Level == space.Ample {
		delete(others, from)
	}
	n.room.others.Store(&others)
	return nil, nil
}
