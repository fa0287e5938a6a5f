package partition

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"weir/log"
	"weir/segment/vfs"
)

// store is the library's view of the log: one entry is one record batch, or one of
// Raft's own. Nothing is copied: GetLog gives entries without their records (Data
// is nil), which is all that the library looks at; what goes to followers is read
// by the transport (replicate.go).
//
// StoreLogs and suffix deletes are called by the main goroutine of the group only.
type store struct{ p *Partition }

var _ raft.LogStore = store{}

// FirstIndex keeps who asks while this replica leads: only the library's gauge does (restGauge).
func (s store) FirstIndex() (uint64, error) {
	if s.p.restGauge() {
		return 0, nil
	}
	if s.p.log.LastRaftIndex() < s.p.log.FirstRaftIndex() {
		return 0, nil
	}
	return s.p.log.FirstRaftIndex(), nil
}

func (s store) LastIndex() (uint64, error) { return s.p.log.LastRaftIndex(), nil }

// GetLog returns raft.ErrLogNotFound itself for what is not there: the library
// compares.
func (s store) GetLog(index uint64, out *raft.Log) error {
	e, err := s.p.log.EntryHead(index)
	if errors.Is(err, log.ErrEntryNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return err
	}
	*out = raft.Log{Index: index, Term: uint64(e.Epoch), Type: logType(e.Kind, e.Data), Data: e.Data}
	return nil
}

// logType is what an entry is to the library. A barrier with data is a command of ours,
// which the machine has to see.
func logType(k log.EntryKind, data []byte) raft.LogType {
	switch {
	case k == log.KindNoop:
		return raft.LogNoop
	case k == log.KindConfiguration:
		return raft.LogConfiguration
	case k == log.KindBarrier && len(data) == 0:
		return raft.LogBarrier
	}
	return raft.LogCommand
}

func (s store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries, all or none. On return they are on disk, unless the
// topic is content with the page cache. Of an entry that this replica proposed as
// the leader, Data is given back to its producer once it is written.
func (s store) StoreLogs(entries []*raft.Log) error {
	p := s.p
	p.disk.write.Begin()
	defer p.disk.write.End()
	err := p.broken()
	if err == nil {
		err = p.storeAll(entries)
	}
	p.alarm.ring()
	p.checkLog()
	if err != nil && p.w.cut {
		// The library takes for its last entry one that is gone, and would refuse all that follows.
		p.retire(err)
	}
	p.w.cut = false
	if p.left.Load() != nil {
		return p.writeEnded()
	}
	return err
}

// storeAll is StoreLogs for a replica that takes part in its group.
func (p *Partition) storeAll(entries []*raft.Log) error {
	entries, err := p.notAheadOf(entries)
	if err != nil {
		return p.fail(err)
	}
	if len(entries) == 0 {
		return nil
	}
	if err := p.claimAll(entries); err != nil {
		return p.fail(err)
	}
	w := &p.w
	var at log.AppendResult
	err = p.mayStore()
	if err == nil {
		p.rollForStart(w.entries[0])
		at, err = w.append(p.log)
	}
	if vfs.IsNoSpace(err) {
		p.foundFull(err)
		if p.withoutBatches(entries, err) {
			at, err = w.append(p.log)
		}
	} else if err == nil {
		p.hasRoom(w.entries)
	}
	if err != nil {
		return p.notStored(err)
	}
	defer w.reset()
	if p.nowStored(entries, at, w.caching && p.noteCached() == nil) {
		return nil
	}
	if err := p.syncNow(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commitAlone(entries)
	return nil
}

// notAheadOf leaves out the first entries if the log has them already: a run that compaction has removed at a leader is
// stored whole when the library knows of its first entries only (log.Entry.Ahead). They were committed then, so that
// nobody is elected who has others there.
func (p *Partition) notAheadOf(entries []*raft.Log) ([]*raft.Log, error) {
	last := p.log.LastRaftIndex()
	for len(entries) > 0 && entries[0].Index <= last {
		head, err := p.log.EntryHead(entries[0].Index)
		if err != nil {
			return nil, err
		}
		if head.Kind != log.KindRemoved || uint64(head.Epoch) != entries[0].Term {
			return nil, fmt.Errorf("partition: entry %d of epoch %d where the log has %v of epoch %d, and goes on with %d",
				entries[0].Index, entries[0].Term, head.Kind, head.Epoch, last+1)
		}
		entries = entries[1:]
	}
	if len(entries) > 0 && entries[0].Index != last+1 {
		return nil, fmt.Errorf("partition: entry %d where the log goes on with %d", entries[0].Index, last+1)
	}
	return entries, nil
}

// append writes the claimed entries: those of a leader are stamped, those of a
// follower compared with what this log would stamp.
func (w *writerState) append(l *log.Log) (log.AppendResult, error) {
	if w.stamped {
		return l.AppendStamped(w.entries)
	}
	return l.Append(w.entries)
}

// withoutBatches makes no-ops of the batches proposed here, for which the disk has no
// room: their producers hear of it, and the library need not. It says false when there are none.
func (p *Partition) withoutBatches(entries []*raft.Log, err error) bool {
	w := &p.w
	rest, refused := w.own[:0], []*proposal(nil)
	for _, x := range w.own {
		if x.kind != log.KindBatch {
			rest = append(rest, x)
			continue
		}
		refused = append(refused, x)
		i := x.raftIndex - entries[0].Index
		becomeNoop(entries[i])
		w.entries[i] = log.Entry{Kind: log.KindNoop, Epoch: w.entries[i].Epoch}
	}
	w.own = rest
	p.refuse(refused, p.storageError(err))
	return len(refused) > 0
}

// refuse ends proposals that are not in the log and never will be. Those that were
// checked against them end, too.
func (p *Partition) refuse(refused []*proposal, err error) {
	p.mu.Lock()
	if len(refused) > 0 {
		refused = append(refused, p.queue...)
		p.queue = nil
	}
	for _, x := range refused {
		x.data = nil
		p.forget(x)
	}
	p.room.Broadcast()
	p.mu.Unlock()
	for _, x := range refused {
		x.settle(err)
	}
}

func becomeNoop(e *raft.Log) {
	*e = raft.Log{Index: e.Index, Term: e.Term, Type: raft.LogNoop, AppendedAt: e.AppendedAt}
}

// claimAll turns the library's entries into the log's, and finds those among
// them that were proposed here. One that was proposed under another leadership becomes
// a no-op: its producer has been told, and its bytes are gone.
func (p *Partition) claimAll(entries []*raft.Log) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	add, own := p.w.entries[:0], p.w.own[:0]
	for _, e := range entries {
		entry := log.Entry{Epoch: int32(e.Term), Data: e.Data}
		switch {
		case e.Type == raft.LogCommand && len(e.Extensions) == keyBytes:
			if x := p.claim(binary.BigEndian.Uint64(e.Extensions), int32(e.Term)); x != nil {
				x.raftIndex = e.Index
				entry.Kind, entry.Data = x.kind, x.data
				own = append(own, x)
			} else {
				becomeNoop(e)
				entry.Kind, entry.Data = log.KindNoop, nil
			}
		case e.Type == raft.LogCommand:
			entry = received(e)
			p.w.stamped = true
		case e.Type == raft.LogNoop:
			entry.Kind = log.KindNoop
		case e.Type == raft.LogConfiguration:
			entry.Kind = log.KindConfiguration
			p.membersAt.Store(e.Index)
			p.sole = soleVoter(raft.DecodeConfiguration(e.Data), p.cfg.Replication.Local)
		case e.Type == raft.LogBarrier:
			entry.Kind = log.KindBarrier
		default:
			return fmt.Errorf("partition: entry %d is of type %v", e.Index, e.Type)
		}
		add = append(add, entry)
	}
	p.w.entries, p.w.own = add, own
	p.w.caching = p.settings.WriteCaching
	p.claimed = append(p.claimed[:0], own...)
	return nil
}

// nowStored is the second event of what was proposed here. It says whether that is all the
// topic asks for, or a sync, too; mayCache says that what is in the cache only may count.
func (p *Partition) nowStored(entries []*raft.Log, at log.AppendResult, mayCache bool) (cached bool) {
	bytes := 0
	for _, e := range p.w.entries {
		bytes += len(e.Data)
	}
	start, next := p.log.LogStartOffset(), at.BaseOffset
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left.Load() != nil {
		return // they are told something else (handOut)
	}
	clear(p.claimed)
	p.claimed = p.claimed[:0]
	for _, x := range p.w.own {
		if x.kind == log.KindBatch {
			x.baseOffset = next
			next += int64(x.header.LastOffsetDelta) + 1
		}
		x.nextOffset, x.logStart, x.data = next, start, nil
		e := entries[x.raftIndex-entries[0].Index]
		e.Data, e.Extensions = nil, nil
		x.is = stored
		p.stored = append(p.stored, x)
		x.settleStored()
	}
	if cached = p.mayCache(at.NextOffset-at.BaseOffset, bytes) && mayCache; cached {
		p.commitAlone(entries)
	}
	for _, x := range p.w.own {
		x.written.Done()
	}
	p.room.Broadcast()
	return cached
}

// commitAlone takes what was just stored for committed, when that is this replica's alone
// to say: it is the only voter. The library comes to the same by two more goroutines, and
// is told that there is nothing to apply. What is not a batch, or follows on something that
// is not applied yet, goes their way. It is called with mu held.
func (p *Partition) commitAlone(entries []*raft.Log) {
	if !p.sole || p.left.Load() != nil || len(p.w.own) != len(entries) || entries[0].Index != p.state.at.raftIndex+1 {
		return
	}
	for _, x := range p.w.own {
		if x.kind != log.KindBatch {
			return
		}
	}
	now := p.cfg.Now()
	for _, x := range p.w.own {
		p.applyOwn(x, now)
		p.state.at.raftIndex, p.state.at.epoch = x.raftIndex, x.epoch
	}
	p.nowApplied()
	p.settleApplied()
	for _, e := range entries {
		becomeNoop(e)
	}
}

// notStored ends what was proposed here and is not in the log: it never will be.
func (p *Partition) notStored(err error) error {
	err = p.storageError(err)
	var diverged *log.DivergedError
	if errors.As(err, &diverged) || diskFailed(err) {
		_ = p.fail(err) // the node hears of it before the producers do
	}
	p.refuse(append([]*proposal(nil), p.w.own...), err)
	p.w.reset()
	return err
}

// reset lets go of what the producers, or the transport, own.
func (w *writerState) reset() {
	clear(w.entries)
	clear(w.own)
	w.stamped = false
}

// DeleteRange removes a suffix, when the leader has other entries there; durable on
// return. A prefix is not the library's to delete: retention does that.
func (s store) DeleteRange(min, max uint64) error {
	p := s.p
	if max < p.log.LastRaftIndex() {
		return nil
	}
	p.disk.write.Begin()
	defer p.disk.write.End()
	if err := p.broken(); err != nil {
		return err
	}
	err := p.log.TruncateSuffix(min)
	var refused *log.TruncateError
	if errors.As(err, &refused) {
		return p.fail(fmt.Errorf("partition: the leader's log differs from what has been applied here: %w", err))
	}
	p.w.cut = err == nil
	return err
}
