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
	if err := p.propose(advanceStartTo(offset)).Wait(ctx); err != nil {
		return p.LogStartOffset(), err
	}
	return p.awaitStart(ctx, offset)
}

// awaitStart waits until an order to move the log start, which is applied, has been carried out here.
func (p *Partition) awaitStart(ctx context.Context, offset int64) (start int64, err error) {
	for {
		news := p.alarm.await()
		if start = p.LogStartOffset(); start >= offset {
			return start, nil
		}
		if failed := p.startFailed.Load(); failed != nil {
			return start, *failed // here; it is tried again
		}
		if left := p.left.Load(); left != nil {
			return start, p.storageError(*left)
		}
		select {
		case <-news:
		case <-p.closing:
			return start, ErrClosed
		case <-ctx.Done():
			return start, ctx.Err()
		}
	}
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

func advanceStartTo(offset int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{commandAdvanceStart}, uint64(offset))
}

// startIn is where a command wants the log start; false when that is not what it asks for.
func startIn(command []byte) (offset int64, ok bool) {
	if len(command) != 9 || command[0] != commandAdvanceStart {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(command[1:])), true
}

// applyCommand notes what a committed command asks for; a leadership's first entry asks
// for nothing. It is called with mu held.
func (p *Partition) applyCommand(command []byte) error {
	if len(command) == 0 {
		return nil
	}
	offset, ok := startIn(command)
	if !ok {
		return errUnknownCommand
	}
	p.startAsked, p.startOrdered = max(p.startAsked, offset), max(p.startOrdered, offset)
	p.startTried = 0
	p.startFailed.Store(nil)
	return nil
}
