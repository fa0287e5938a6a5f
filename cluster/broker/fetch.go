package broker

// Fetch (key 1), versions 4-18.
//
// Record bytes go from the segment file to the socket; the answer holds
// ranges of files. The first partition with data gives at least one whole
// batch, however small the limits (KIP-74); later ones keep to them. A fetch
// that finds too little parks: it attaches one waiter to its partitions and
// looks again when one of them wakes it, the deadline passes, or the
// connection ends.
//
// Added by version: 7 sessions (KIP-227), 9 leader epoch, 10 zstd, 11 racks
// (KIP-392), 12 diverging epochs, flexible, 13 topic ids, 15 replica state, 16
// leader hints (KIP-951), 17 directory id, 18 high watermark.
// With a rack any replica serves; a leader names one that is nearer, and
// gives no records then, if replica.selector.class asks for it. An offset that
// a follower does not have yet is OFFSET_NOT_AVAILABLE.
// A request parks for 30 s at most and names 10,000 partitions at most,
// INVALID_REQUEST.
// A reader at read_committed is given what lies below the last stable offset, of the
// replica that it reads from, and the aborted transactions that overlap it by their
// first offset, which is the order in which clients look them up.
// A client over its quota is answered without partitions until it has waited (quotas.go); a session that it asks for is not
// made then.
// Who may not read a topic is told TOPIC_AUTHORIZATION_FAILED, as is a follower that is no broker of the cluster.
// Left out: serving followers (replication is not over Fetch).

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster"
	"weir/cluster/acl"
	"weir/log"
	"weir/partition"
	"weir/protocol"
	"weir/protocol/recordbatch"
	"weir/protocol/wire"
)

// maxFetchWait bounds how long a fetch parks, whatever it asks for: answering
// early is always right, and a parked request holds memory.
const maxFetchWait = 30 * time.Second

// fetching is one fetch request under way.
type fetching struct {
	call     *call
	req      *kmsg.FetchRequest
	scope    fetchScope
	results  []fetchResult // one for each of scope.parts
	maxBytes int
	deadline time.Time
}

// fetchResult is what one look at one partition gave.
type fetchResult struct {
	code      protocol.ErrorCode
	partition *partition.Partition // nil when it is not here
	high      int64                // -1 with an error, as are the next two
	stable    int64
	start     int64
	diverging bool
	divEpoch  int32
	divEnd    int64
	preferred int32     // the broker to read from instead; noPreferred: this one
	records   log.Range // empty without records
	aborted   []partition.AbortedTransaction
}

// noPreferred is the id of no broker.
const noPreferred = -1

// nothing is the result that has an error, if any, to tell.
func nothing(code protocol.ErrorCode) fetchResult {
	return fetchResult{code: code, high: -1, stable: -1, start: -1, preferred: noPreferred}
}

func (c *call) fetch(r kmsg.Request) wire.Reply {
	req := r.(*kmsg.FetchRequest)
	f := &fetching{call: c, req: req}
	f.maxBytes = c.fetchable(min(int(max(req.MaxBytes, 0)), c.broker.node.Config().Network.FetchMaxBytes))
	var code protocol.ErrorCode
	if f.scope, code = c.broker.sessions.open(req); code != protocol.CodeNone {
		if req.Version < 7 {
			return wire.Closed(code) // there is no place for it in the answer
		}
		return wire.Ready(f.encode(code))
	}
	f.results = make([]fetchResult, len(f.scope.parts))
	if f.look() {
		return wire.Ready(f.encode(protocol.CodeNone))
	}
	f.deadline = time.Now().Add(min(time.Duration(req.MaxWaitMillis)*time.Millisecond, maxFetchWait))
	return lazy(f.park)
}

// park waits until there is something to say. The partitions are looked at
// once more after the waiter is attached: what moved in between is not missed.
func (f *fetching) park(ctx context.Context) (wire.Response, error) {
	w := partition.NewWaiter()
	for i := range f.results {
		p := f.results[i].partition // never nil: an error does not park
		p.Attach(w)
		defer p.Detach(w)
	}
	timer := time.NewTimer(time.Until(f.deadline))
	defer timer.Stop()
	for !f.look() {
		f.call.meter.rest() // its thread: thousands wait here
		woken, err := f.wait(ctx, w, timer.C)
		f.call.meter.work()
		switch {
		case err != nil:
			f.release()
			return wire.Response{}, err
		case !woken:
			return f.encode(protocol.CodeNone), nil
		}
	}
	return f.encode(protocol.CodeNone), nil
}

// wait returns when a partition has moved, or, not woken, when it is time to answer.
func (f *fetching) wait(ctx context.Context, w *partition.Waiter, over <-chan time.Time) (woken bool, err error) {
	select {
	case <-w.C():
		return true, nil
	case <-over:
	case <-f.call.broker.stopping:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return false, nil
}

// look reads every partition and says whether the answer should go out now.
// Unless it does, there is no error in any of them.
func (f *fetching) look() bool {
	f.release() // what an earlier look found
	left, found, now := f.maxBytes, 0, false
	for i := range f.scope.parts {
		part, res := &f.scope.parts[i], &f.results[i]
		f.read(&part.fetchPart, res, left, found == 0)
		left -= res.records.Bytes
		found += res.records.Bytes
		now = now || res.code != protocol.CodeNone || res.diverging || res.preferred != noPreferred
	}
	return now || len(f.scope.parts) == 0 || f.req.MaxWaitMillis <= 0 || found >= min(int(f.req.MinBytes), f.maxBytes)
}

// read looks at one partition: epoch before position, as KIP-320 has it.
func (f *fetching) read(part *fetchPart, res *fetchResult, maxBytes int, minOne bool) {
	topic, code := f.topicOf(part)
	*res = nothing(code)
	if code != protocol.CodeNone {
		return
	}
	p, err := replicaOf(topic, part.partition, part.leaderEpoch, f.rack() != "")
	if err == nil {
		res.partition = p
		err = f.readPartition(p, part, res, maxBytes, minOne)
	}
	if err != nil {
		*res = nothing(errorCode(err))
		if res.code == protocol.CodeKafkaStorageError && f.req.Version <= 5 {
			res.code = protocol.CodeNotLeaderOrFollower // the older clients' word for it
		}
	}
}

// topicOf finds a partition's topic for a client that may read it, or for a broker: its right is one of the cluster.
func (f *fetching) topicOf(part *fetchPart) (*cluster.Topic, protocol.ErrorCode) {
	byID := f.req.Version >= 13
	if f.req.ReplicaID < 0 && f.req.ReplicaState.ID < 0 {
		return f.call.topicFor(acl.Read, byID, part.name, part.id)
	}
	if !f.call.allowed(acl.ClusterAction, acl.Cluster) {
		return nil, protocol.CodeTopicAuthorizationFailed
	}
	return f.call.broker.topicOf(byID, part.name, part.id)
}

// rack is where the client reads near, from any replica (KIP-392); empty: from leaders.
func (f *fetching) rack() string {
	if f.req.Version < 11 {
		return ""
	}
	return f.req.Rack
}

func (f *fetching) readPartition(p *partition.Partition, part *fetchPart, res *fetchResult, maxBytes int, minOne bool) error {
	if _, leading := p.Leading(); !leading && part.offset > p.LogEndOffset() {
		return protocol.CodeOffsetNotAvailable // the leader has it, or says that nobody does
	}
	res.stable = p.LastStableOffset() // before the high watermark, so as not to be above it
	res.high, res.start = p.HighWatermark(), p.LogStartOffset()
	if part.lastEpoch >= 0 {
		epoch, end := p.EndOffsetFor(part.lastEpoch)
		if end < 0 {
			return &log.OffsetOutOfRangeError{Offset: part.offset, Start: res.start, End: res.high}
		}
		if epoch < part.lastEpoch || end < part.offset {
			res.diverging, res.divEpoch, res.divEnd = true, epoch, end
			return nil
		}
	}
	if _, leading := p.Leading(); leading {
		if near, ok := f.call.broker.node.ReadReplica(p, f.rack()); ok && part.offset >= res.start && part.offset <= res.high {
			res.preferred = near
			return nil
		}
	}
	iso := partition.Isolation(f.req.IsolationLevel)
	if part.offset >= p.Limit(iso) && part.offset <= p.LogEndOffset() {
		return nil // at the end, or above what is committed: nothing yet
	}
	var err error
	if maxBytes = min(int(part.maxBytes), maxBytes); iso == partition.ReadCommitted {
		res.records, res.aborted, err = p.ReadStable(part.offset, maxBytes, minOne)
	} else {
		res.records, err = p.Read(part.offset, maxBytes, minOne)
	}
	if err != nil {
		return err
	}
	if f.req.Version < 10 && res.records.Bytes > 0 {
		if err := refuseZstd(p, res.records); err != nil {
			return errors.Join(err, res.records.Release())
		}
	}
	return nil
}

// refuseZstd: a client below Fetch v10 cannot read such batches (KIP-110).
func refuseZstd(p *partition.Partition, r log.Range) error {
	for h, err := range p.Batches(r.FirstOffset, r.NextOffset) {
		if err != nil {
			return err
		}
		if h.Codec() == recordbatch.CodecZstd {
			return &recordbatch.UnsupportedCodecError{Codec: h.Codec()}
		}
	}
	return nil
}

// release gives back what look holds, so that it can look again.
func (f *fetching) release() {
	for i := range f.results {
		f.drop(&f.results[i].records)
	}
}

// drop gives one range back.
func (f *fetching) drop(r *log.Range) {
	if err := r.Release(); err != nil {
		f.call.broker.logger.Warn("a segment file did not close", "err", err)
	}
	*r = log.Range{}
}

// worthTelling says whether partition i belongs into the answer: in an
// incremental one only what has data, failed, or moved.
func (f *fetching) worthTelling(i int) bool {
	part, res := &f.scope.parts[i], &f.results[i]
	return !f.scope.incremental || !part.told || res.records.Bytes > 0 || res.code != protocol.CodeNone || res.diverging ||
		res.preferred != noPreferred || res.high != part.toldHigh || res.start != part.toldLogStart
}
