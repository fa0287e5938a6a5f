package partition

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/hashicorp/raft"

	"weir/log"
)

// A command changes the partition beside its records, on every replica at the same
// place in the order. It is stored as a barrier with data: a byte that says which, and
// what belongs to it. A replica that does not know one must stop.
const (
	commandAdvanceStart = 1 // offset int64: the log start moves there
)

var errUnknownCommand = errors.New("partition: a command of a newer version")

// DeleteRecords moves the log start to offset, on all replicas; -1 stands for the high
// watermark. It is the leader's to do, and done on it when it returns: the new start is
// durable. Errors: ctx's, *log.OffsetOutOfRangeError above the high watermark,
// *NotLeaderError, ErrClosed, *StorageError.
func (p *Partition) DeleteRecords(ctx context.Context, offset int64) (start int64, err error) {
	start, highWatermark := p.LogStartOffset(), p.HighWatermark()
	if offset == -1 {
		offset = highWatermark
	}
	switch _, leading := p.Leading(); {
	case p.closed.Load():
		return 0, ErrClosed
	case !leading:
		return 0, p.notLeader()
	case offset < 0 || offset > highWatermark:
		return start, &log.OffsetOutOfRangeError{Offset: offset, Start: start, End: highWatermark}
	case offset <= start:
		return start, nil
	}
	command := binary.BigEndian.AppendUint64([]byte{commandAdvanceStart}, uint64(offset))
	if err := p.propose(command).Wait(ctx); err != nil {
		return p.LogStartOffset(), err
	}
	if start = p.LogStartOffset(); start >= offset {
		return start, nil
	}
	if failed := p.startFailed.Load(); failed != nil {
		return start, *failed // here; it is tried again
	}
	return start, ErrClosed
}

// propose takes a command into the order. Its Append is settled when the command has
// been applied here.
func (p *Partition) propose(command []byte) *Append {
	p.order.Lock()
	defer p.order.Unlock()
	p.mu.Lock()
	epoch, leading := p.Leading()
	if p.closed.Load() || !leading || p.handingOver == epoch {
		p.mu.Unlock()
		return &Append{err: p.notLeader()}
	}
	x := p.enqueue(&proposal{kind: log.KindBarrier, epoch: epoch, data: command, command: command})
	a := x.wait(p, &x.first, AcksAll)
	p.mu.Unlock()
	p.raft.Load().ApplyLog(raft.Log{Data: command, Extensions: x.key[:]}, 0)
	return a
}

// applyCommand notes what a committed command asks for; a leadership's first entry asks
// for nothing. It is called with mu held.
func (p *Partition) applyCommand(command []byte) error {
	switch {
	case len(command) == 0:
	case command[0] == commandAdvanceStart && len(command) == 9:
		p.startAsked = max(p.startAsked, int64(binary.BigEndian.Uint64(command[1:])))
	default:
		return errUnknownCommand
	}
	return nil
}

// advanceStart moves the log start and lets go of what lies below. Of that nothing else
// tells: the checkpoint comes first. What the disk refuses is tried again by Maintain.
func (p *Partition) advanceStart(offset int64) {
	// A checkpoint above what a power loss leaves of the log would count for nothing.
	err := p.log.Sync()
	if err == nil {
		p.saveCheckpoint()
		p.log.SetRetainFloor(p.checkpointOnDisk.Load())
		err = p.log.AdvanceStart(min(offset, p.log.LogEndOffset()))
	}
	if err == nil {
		p.startFailed.Store(nil)
		p.waiters.wakeAll()
		_, err = p.log.DeleteSegments()
	} else {
		failed := p.storageError(err)
		p.startFailed.Store(&failed)
		p.mu.Lock()
		p.startAsked = max(p.startAsked, offset)
		p.mu.Unlock()
	}
	if err != nil && !errors.Is(err, log.ErrClosed) {
		p.logger.Error("records are not deleted yet", "below", offset, "err", err)
	}
}

// retryStart is for Maintain.
func (p *Partition) retryStart() {
	p.mu.Lock()
	asked := p.startAsked
	p.startAsked = 0
	p.mu.Unlock()
	if asked > p.log.LogStartOffset() {
		p.advanceStart(asked)
	}
}
