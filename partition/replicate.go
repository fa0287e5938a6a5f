package partition

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"weir/log"
)

// maxMessageBytes is how much of the log one message to a follower carries, one entry
// however large aside. The library counts entries only, and looks at what it finds in
// the request afterwards to see how many were sent (TestLibraryReadsBackWhatWasSent).
const maxMessageBytes = 1 << 20

// An entry goes to a follower as the library has it. What the library takes for a
// command is a batch, unless a mark in its Extensions says otherwise.
const (
	// markRemoved: compaction has removed it. Data are empty but in the last of a run of them: the offset at which
	// that ends, an int64. In the last entry of a message that ends amid a run how many more are in it, a uint64,
	// comes behind that.
	markRemoved = 'R'
	// markCommand: a barrier with data.
	markCommand = 'C'
)

func marked(mark byte) []byte { return []byte{mark} }

// received is the log's entry of a command that a leader sent.
func received(e *raft.Log) log.Entry {
	entry := log.Entry{Kind: log.KindBatch, Epoch: int32(e.Term), Data: e.Data}
	if len(e.Extensions) != 1 {
		return entry
	}
	switch e.Extensions[0] {
	case markRemoved:
		entry.Kind, entry.Data = log.KindRemoved, nil
		entry.NextOffset, entry.Ahead = decodeRunEnd(e.Data)
	case markCommand:
		entry.Kind = log.KindBarrier
	}
	return entry
}

// encodeRunEnd is the Data of a removed entry: where its run ends, if it is the last one or the message ends with it.
func encodeRunEnd(e log.Entry) []byte {
	if e.NextOffset == 0 {
		return nil
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(e.NextOffset))
	if e.Ahead > 0 {
		b = binary.BigEndian.AppendUint64(b, e.Ahead)
	}
	return b
}

// decodeRunEnd reads what encodeRunEnd wrote.
func decodeRunEnd(b []byte) (nextOffset int64, ahead uint64) {
	if len(b) >= 8 {
		nextOffset = int64(binary.BigEndian.Uint64(b))
	}
	if len(b) >= 16 {
		ahead = binary.BigEndian.Uint64(b[8:])
	}
	return nextOffset, ahead
}

// replicator is the group's transport. The library's view of the log has no records in
// it (store); they are put into a message as it leaves, straight from the file.
type replicator struct {
	Transport
	p *Partition
}

// message is what one AppendEntries carries, used again.
type message struct {
	bytes   []byte
	entries []log.Entry
}

var messages = sync.Pool{New: func() any { return new(message) }}

// maxKeptBytes is the largest buffer that a message keeps for the next one.
const maxKeptBytes = 2 * maxMessageBytes

// AppendEntries sends entries, as many as fit a message, and notes how far the
// follower has come.
func (r replicator) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if left := r.p.left.Load(); left != nil {
		pauseLeft()
		return *left
	}
	on, answered := uint64(0), false
	if args.PrevLogEntry > 0 || len(args.Entries) > 0 {
		on, answered = r.rest(id, target, args)
	} else {
		r.restToo(id, target, args.Term)
	}
	if answered {
		*resp = raft.AppendEntriesResponse{Term: args.Term, LastLog: args.PrevLogEntry, Success: true}
		return nil
	}
	taken, err := r.awaitTurn(id, args)
	if err != nil {
		return err
	}
	sent, last := time.Now(), r.p.log.LastRaftIndex()
	if err := r.send(id, target, args, resp, taken); err != nil {
		if w, ok := r.Transport.(peerWaiter); ok && (len(args.Entries) > 0 || args.PrevLogEntry > 0) {
			w.AwaitPeer(err) // not for heartbeats, which find out when it is over
		}
		return err
	}
	if resp.Success && args.Term == resp.Term {
		match := args.PrevLogEntry
		if n := len(args.Entries); n > 0 {
			match = args.Entries[n-1].Index
		}
		r.p.followers.heard(id, match, last, sent)
		if match > 0 {
			r.p.followers.told(id, told{args.Term, match, args.LeaderCommitIndex, on})
		}
	}
	return nil
}

// peerWaiter is a transport that can wait until a peer that could not be reached may be
// again. The library would try less and less often.
type peerWaiter interface{ AwaitPeer(failed error) }

// send sends a message for which the throttle was asked for taken bytes.
func (r replicator) send(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse, taken int) error {
	if len(args.Entries) == 0 {
		return r.Transport.AppendEntries(id, target, args, resp)
	}
	m := messages.Get().(*message)
	defer m.release()
	err := m.load(r.p.log, args, r.p.cfg.messageEntries)
	if taken > 0 {
		r.p.cfg.Replication.Throttle.Return(taken - recordBytes(args.Entries))
	}
	if err != nil {
		r.p.checkDamage(err, args.Entries[0].Index)
		return err
	}
	// The transport has done with Data when it returns, and so has the library.
	defer forgetData(args.Entries)
	return r.Transport.AppendEntries(id, target, args, resp)
}

// load reads the records of the request's entries, and cuts off those that are too
// many: more than maxMessageBytes have room for, or than most, if that is not 0. An entry that is not what the library saw any more belongs to a leadership
// that is over.
func (m *message) load(l *log.Log, args *raft.AppendEntriesRequest, most int) error {
	count := len(args.Entries)
	if most > 0 {
		count = min(count, most)
	}
	if err := m.read(l, args.Entries[0].Index, count); err != nil {
		return err
	}
	args.Entries = args.Entries[:len(m.entries)]
	for i, e := range m.entries {
		out := args.Entries[i]
		if out.Term != uint64(e.Epoch) || out.Type != logType(e.Kind, e.Data) {
			return fmt.Errorf("partition: entry %d has been replaced by another one", out.Index)
		}
		out.Data = e.Data
		switch {
		case e.Kind == log.KindRemoved:
			out.Extensions, out.Data = marked(markRemoved), encodeRunEnd(e)
		case e.Kind == log.KindBarrier && out.Type == raft.LogCommand:
			out.Extensions = marked(markCommand)
		}
	}
	return nil
}

// read reads entries from an index on, as many as fit a message.
func (m *message) read(l *log.Log, from uint64, count int) error {
	r, err := l.ReadEntries(from, count, maxMessageBytes)
	if err != nil {
		return err
	}
	m.bytes, m.entries, err = r.Read(m.bytes, m.entries[:0])
	if released := r.Release(); err == nil {
		err = released
	}
	return err
}

func (m *message) release() {
	clear(m.entries)
	if cap(m.bytes) <= maxKeptBytes {
		messages.Put(m)
	}
}

func forgetData(entries []*raft.Log) {
	for _, e := range entries {
		e.Data = nil
	}
}

// followers is how far the other replicas have come, as their answers to this one as
// the leader told.
type followers struct {
	mu   sync.Mutex // guards byID; a leaf lock
	byID map[raft.ServerID]*follower
}

type follower struct {
	match    uint64    // raft index up to which its log is known to be ours
	heard    time.Time // when the message was sent that it last answered
	caughtUp time.Time // the last time of which is known that it has all that the leader had then
	mark     uint64    // the leader's last entry when a message was sent at marked; 0: none
	marked   time.Time
	told     told
	rests    chan struct{} // not nil while the library has nothing to tell it: closed at the end of that
	turns    bool          // and it comes back in between for the library's lease
	since    time.Time     // what was sent before this was for another replica of that name
}

// told is what a follower has last answered to with success.
type told struct{ term, match, commit, stands uint64 }

func (f *followers) heard(id raft.ServerID, match, last uint64, sent time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID == nil {
		f.byID = make(map[raft.ServerID]*follower)
	}
	x := f.byID[id]
	if x == nil {
		x = new(follower)
		f.byID[id] = x
	}
	if sent.Before(x.since) {
		return
	}
	x.match, x.heard = max(x.match, match), sent // a heartbeat says nothing of the log
	switch {
	case x.match >= last:
		x.caughtUp = sent
	case x.mark > 0 && x.match >= x.mark:
		x.caughtUp = x.marked // more comes in all the time, and it keeps up
	case x.mark > 0:
		return
	}
	x.mark, x.marked = last, sent
}

// of is what is known of a follower.
func (f *followers) of(id raft.ServerID) (x follower, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.byID[id]; known != nil {
		return *known, true
	}
	return follower{}, false
}

// rests notes that a follower that has all up to match is told nothing since there is nothing to tell, and is there.
func (f *followers) rests(id raft.ServerID, match uint64) (heard, caughtUp time.Time) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.byID[id]; x != nil && x.match == match {
		x.heard, x.caughtUp = now, now
		x.mark, x.marked = match, now
	}
	return now, now
}

func (f *followers) told(id raft.ServerID, t told) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.byID[id]; x != nil {
		x.told = t
	}
}

// knows says whether a request without entries says only what the follower was told, and
// under which number of what stood then.
func (f *followers) knows(id raft.ServerID, args *raft.AppendEntriesRequest) (known bool, stood uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.byID[id]
	if x == nil {
		return false, 0
	}
	same := x.told == told{args.Term, args.PrevLogEntry, args.LeaderCommitIndex, x.told.stands}
	return same && len(args.Entries) == 0, x.told.stands
}

// drop is for a replica that begins anew.
func (f *followers) drop(id raft.ServerID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID == nil {
		f.byID = make(map[raft.ServerID]*follower)
	}
	if x := f.byID[id]; x != nil {
		x.wake()
	}
	f.byID[id] = &follower{since: time.Now()}
}

// forget begins a leadership: what was known is from another one.
func (f *followers) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.byID {
		x.wake()
	}
	clear(f.byID)
}
