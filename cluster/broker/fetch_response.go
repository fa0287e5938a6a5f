package broker

import (
	"sync"

	"weir/partition"
	"weir/protocol"
	"weir/protocol/wire"
)

// encoders are reused: what they hold is small and lives until the response
// is written.
var encoders = sync.Pool{New: func() any { return new(protocol.FetchEncoder) }}

// encode makes the response of what look found. The records stay in their
// files; their ranges are released when they have been sent.
func (f *fetching) encode(code protocol.ErrorCode) wire.Response {
	told := make([]int, 0, len(f.results))
	allowed := f.take()
	for i := range f.results {
		if allowed && f.worthTelling(i) {
			told = append(told, i)
		}
	}
	hints := leaderHints{broker: f.call.broker, conn: f.call.Conn}
	e := encoders.Get().(*protocol.FetchEncoder)
	e.Begin(f.call.Header, protocol.FetchResponseHead{
		ThrottleMillis: int32(f.call.settle().Milliseconds()), ErrorCode: code, SessionID: f.scope.sessionID(), Topics: f.countTopics(told),
	})
	for n := 0; n < len(told); {
		first := &f.scope.parts[told[n]]
		end := n + 1
		for end < len(told) && f.sameTopic(told[n], told[end]) {
			end++
		}
		e.Topic(first.name, first.id, end-n)
		for ; n < end; n++ {
			e.Partition(f.describe(told[n], &hints))
		}
	}
	segments := e.Finish(nodeEndpoints(hints.brokers))
	f.settleSession()
	return wire.Response{Parts: f.parts(e, segments, told)}
}

// take takes what was found out of the client's quota. If that is used up already, nothing is told, and a session that was
// made for this answer ends, since its partitions would have to be in it.
func (f *fetching) take() bool {
	found := 0
	for i := range f.results {
		found += f.results[i].records.Bytes
	}
	if f.call.takeFetched(found) {
		return true
	}
	f.release()
	if f.scope.session != nil && !f.scope.incremental {
		f.call.broker.sessions.remove(f.scope.session.id)
		f.scope.session = nil
	}
	return false
}

// describe words one result and notes in the scope what is told.
func (f *fetching) describe(i int, hints *leaderHints) protocol.FetchPartition {
	res := &f.results[i]
	part := &f.scope.parts[i]
	part.told, part.toldHigh, part.toldLogStart = true, res.high, res.start
	out := protocol.FetchPartition{
		Partition: part.partition, ErrorCode: res.code,
		HighWatermark: res.high, LastStableOffset: res.stable, LogStartOffset: res.start,
		PreferredReadReplica: res.preferred, RecordsBytes: res.records.Bytes,
	}
	if res.diverging {
		out.DivergingEpoch = &protocol.EpochEndOffset{Epoch: res.divEpoch, EndOffset: res.divEnd}
	}
	if f.req.Version >= 16 && (res.code == protocol.CodeNotLeaderOrFollower || res.code == protocol.CodeFencedLeaderEpoch) {
		if t, _ := f.call.broker.topicOf(true, "", part.id); t != nil {
			if leader, ok := hints.of(t, part.partition); ok {
				out.CurrentLeader = &leader
			}
		}
	}
	if partition.Isolation(f.req.IsolationLevel) == partition.ReadCommitted {
		out.Aborted = make([]protocol.AbortedTransaction, len(res.aborted)) // null is for the other level
		for i, t := range res.aborted {
			out.Aborted[i] = protocol.AbortedTransaction{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset}
		}
	}
	return out
}

func nodeEndpoints(brokers []endpoint) (out []protocol.NodeEndpoint) {
	for _, e := range brokers {
		out = append(out, protocol.NodeEndpoint{NodeID: e.id, Host: e.host, Port: e.port, Rack: e.rack})
	}
	return out
}

// parts joins the encoded segments with the file ranges between them. The
// encoder goes back to its pool with the last part.
func (f *fetching) parts(e *protocol.FetchEncoder, segments [][]byte, told []int) []wire.Part {
	parts := make([]wire.Part, 0, len(segments))
	for _, i := range told {
		r := &f.results[i].records
		if r.Bytes == 0 {
			continue
		}
		part := wire.Part{Bytes: segments[len(parts)], Release: func() { f.drop(r) }}
		part.File = wire.FileRange{Reader: r.File, Position: r.Position, Length: int64(r.Bytes)}
		part.File.Fd, part.File.HasFd = r.File.Fd()
		parts = append(parts, part)
	}
	return append(parts, wire.Part{Bytes: segments[len(parts)], Release: func() { encoders.Put(e) }})
}

func (f *fetching) settleSession() {
	if f.scope.session != nil {
		f.scope.session.answered(&f.scope, func(i int) bool { return f.results[i].records.Bytes > 0 })
	}
}

// countTopics counts the runs of partitions of one topic.
func (f *fetching) countTopics(told []int) int {
	n := 0
	for i := range told {
		if i == 0 || !f.sameTopic(told[i-1], told[i]) {
			n++
		}
	}
	return n
}

func (f *fetching) sameTopic(i, j int) bool {
	a, b := &f.scope.parts[i], &f.scope.parts[j]
	return a.name == b.name && a.id == b.id
}
