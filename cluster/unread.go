package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"weir/cluster/metadata"
	"weir/partition"
)

// UnreadQuery asks what a consumer of a partition has not read that has come to an offset.
type UnreadQuery struct {
	Topic     [16]byte
	Partition int32
	Offset    int64 // the next to read
}

// Unread is the answer of the partition's leader.
type Unread struct {
	Known         bool // false: no leader has answered
	HighWatermark int64
	Oldest        Oldest
	Timestamp     int64 // unix ms, of a record that has one; else -1
}

// Oldest says whether there is a first unread record.
type Oldest uint8

const (
	OldestUnknown Oldest = iota // it could not be read
	OldestNone                  // there is none: all that is left are markers, or nothing
	OldestFound
)

// Unread asks the leaders of partitions, side by side, how far consumers have come; the answers are in the
// order of the queries. Those that do not answer before ctx ends are not known.
func (n *Node) Unread(ctx context.Context, queries []UnreadQuery) []Unread {
	answers := make([]Unread, len(queries))
	elsewhere := make(map[int32][]int) // by leader, indexes of queries
	for i, q := range queries {
		if answers[i] = n.unread(q); answers[i].Known || n.peers.transport == nil {
			continue
		}
		if t := n.TopicByID(q.Topic); t != nil {
			if l := n.Leadership(t, q.Partition); l.Leader != metadata.NoLeader && l.Leader != n.ID() {
				elsewhere[l.Leader] = append(elsewhere[l.Leader], i)
			}
		}
	}
	var asked sync.WaitGroup
	for leader, indexes := range elsewhere {
		asked.Go(func() { n.askUnread(ctx, leader, queries, indexes, answers) })
	}
	asked.Wait()
	return answers
}

// unread answers for a partition that is led here.
func (n *Node) unread(q UnreadQuery) Unread {
	t := n.TopicByID(q.Topic)
	if t == nil {
		return Unread{}
	}
	p, err := t.Partition(q.Partition)
	if err != nil {
		return Unread{}
	}
	u := Unread{Known: true, HighWatermark: p.HighWatermark(), Timestamp: -1}
	if q.Offset >= u.HighWatermark {
		u.Oldest = OldestNone
		return u
	}
	found, ok, err := p.FirstRecord(q.Offset, partition.ReadUncommitted)
	switch {
	case err != nil:
	case ok:
		u.Oldest, u.Timestamp = OldestFound, found.Timestamp
	default:
		u.Oldest = OldestNone
	}
	return u
}

// A request is unreadVersion (1 byte), and for each query: topic (16 bytes), partition (4 bytes), offset
// (8 bytes). An answer is unreadVersion, and for each: whether it is known (1 byte), what is known of the oldest
// (1 byte), high watermark and timestamp (8 bytes each).
const (
	unreadVersion     = 1
	unreadQueryBytes  = 16 + 4 + 8
	unreadAnswerBytes = 1 + 1 + 8 + 8
	// maxUnreadPerCall bounds one message.
	maxUnreadPerCall = 8192
)

var errMalformedUnread = errors.New("cluster: malformed question of what is unread")

// askUnread asks another broker, in one message after the other.
func (n *Node) askUnread(ctx context.Context, leader int32, queries []UnreadQuery, indexes []int, answers []Unread) {
	be := binary.BigEndian
	for len(indexes) > 0 {
		some := indexes[:min(len(indexes), maxUnreadPerCall)]
		indexes = indexes[len(some):]
		request := append(make([]byte, 0, 1+len(some)*unreadQueryBytes), unreadVersion)
		for _, i := range some {
			q := &queries[i]
			request = append(request, q.Topic[:]...)
			request = be.AppendUint32(request, uint32(q.Partition))
			request = be.AppendUint64(request, uint64(q.Offset))
		}
		b, err := n.peers.transport.Call(ctx, leader, serviceUnread, request)
		if err != nil || len(b) != 1+len(some)*unreadAnswerBytes || b[0] != unreadVersion {
			n.logger.Debug("a broker did not say what is unread", "broker", leader, "err", err)
			return
		}
		for k, i := range some {
			a := b[1+k*unreadAnswerBytes:]
			if oldest := Oldest(a[1]); a[0] == 1 && oldest <= OldestFound {
				answers[i] = Unread{Known: true, Oldest: oldest, HighWatermark: int64(be.Uint64(a[2:])), Timestamp: int64(be.Uint64(a[10:]))}
			}
		}
	}
}

func (n *Node) handleUnread(ctx context.Context, _ int32, b []byte) ([]byte, error) {
	if len(b) < 1 || b[0] != unreadVersion || (len(b)-1)%unreadQueryBytes != 0 || len(b) > 1+maxUnreadPerCall*unreadQueryBytes {
		return nil, errMalformedUnread
	}
	be := binary.BigEndian
	answer := append(make([]byte, 0, 1+len(b)/unreadQueryBytes*unreadAnswerBytes), unreadVersion)
	for b = b[1:]; len(b) > 0 && ctx.Err() == nil; b = b[unreadQueryBytes:] {
		u := n.unread(UnreadQuery{Topic: [16]byte(b), Partition: int32(be.Uint32(b[16:])), Offset: int64(be.Uint64(b[20:]))})
		known := byte(0)
		if u.Known {
			known = 1
		}
		answer = append(answer, known, byte(u.Oldest))
		answer = be.AppendUint64(answer, uint64(u.HighWatermark))
		answer = be.AppendUint64(answer, uint64(u.Timestamp))
	}
	return answer, ctx.Err()
}
