package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"weir/cluster/controller"
	"weir/cluster/transport"
)

// Quorum is the controller's group as its leader sees it.
type Quorum struct {
	Leader        int32
	Epoch         uint64
	HighWatermark int64 // one past the newest command that is committed
	Members       []QuorumMember
}

// QuorumMember is one broker of the group.
type QuorumMember struct {
	Node         int32
	Directory    [16]byte
	Voter        bool
	LogEndOffset int64     // one past its newest entry; 0: not heard under this leader
	Heard        time.Time // when; zero: not under this leader
	CaughtUp     time.Time // when it last had nearly all; zero: never
}

// quorumTimeout bounds the search for the controller's leader and its answer.
const quorumTimeout = 5 * time.Second

// Quorum asks the controller's leader how its group does. *UnavailableError: there is none,
// or it does not answer.
func (n *Node) Quorum(ctx context.Context) (Quorum, error) {
	ctx, cancel := context.WithTimeout(ctx, quorumTimeout)
	defer cancel()
	if err := n.meta().AwaitLeader(ctx); err != nil {
		return Quorum{}, &UnavailableError{Err: err}
	}
	leader, _ := n.meta().Leader()
	if leader == n.ID() || n.peers.transport == nil {
		return n.ownQuorum()
	}
	answer, err := n.peers.transport.Call(ctx, leader, serviceQuorum, []byte{quorumVersion})
	if err != nil {
		return Quorum{}, &UnavailableError{Err: err}
	}
	q, err := decodeQuorum(answer)
	if err != nil {
		return Quorum{}, &UnavailableError{Err: err}
	}
	return q, nil
}

// ownQuorum is what this broker knows, which is all there is when it leads.
func (n *Node) ownQuorum() (Quorum, error) {
	s := n.meta().Status()
	if !s.Known || s.Leader != n.ID() {
		return Quorum{}, &UnavailableError{Err: &controller.NotLeaderError{Leader: s.Leader, Known: s.Known}}
	}
	q := Quorum{Leader: s.Leader, Epoch: s.Term, HighWatermark: int64(s.CommitIndex) + 1}
	for _, m := range s.Members {
		node, directory, ok := transport.ParseAddress(raft.ServerAddress(m.ServerID))
		if !ok {
			continue
		}
		x := QuorumMember{Node: node, Directory: directory, Voter: m.Voter, Heard: m.LastContact, CaughtUp: m.CaughtUp}
		if m.LastIndex > 0 {
			x.LogEndOffset = int64(m.LastIndex) + 1
		}
		q.Members = append(q.Members, x)
	}
	return q, nil
}

// A request is quorumVersion (1 byte). An answer is quorumVersion, leader (4 bytes), epoch,
// high watermark (8 bytes each), and for each member: node (4 bytes), directory (16 bytes),
// whether it votes (1 byte), log end offset, heard, caught up (8 bytes each; times in unix
// ms, 0 for none).
const (
	quorumVersion     = 1
	quorumHeadBytes   = 1 + 4 + 8 + 8
	quorumMemberBytes = 4 + 16 + 1 + 3*8
)

var errMalformedQuorum = errors.New("cluster: malformed description of the controller's group")

func (n *Node) handleQuorum(_ context.Context, _ int32, request []byte) ([]byte, error) {
	if len(request) != 1 || request[0] != quorumVersion {
		return nil, errMalformedQuorum
	}
	q, err := n.ownQuorum()
	if err != nil {
		return nil, err
	}
	return q.encode(), nil
}

func (q *Quorum) encode() []byte {
	be := binary.BigEndian
	b := append(make([]byte, 0, quorumHeadBytes+len(q.Members)*quorumMemberBytes), quorumVersion)
	b = be.AppendUint32(b, uint32(q.Leader))
	b = be.AppendUint64(b, q.Epoch)
	b = be.AppendUint64(b, uint64(q.HighWatermark))
	for _, m := range q.Members {
		b = be.AppendUint32(b, uint32(m.Node))
		b = append(b, m.Directory[:]...)
		voter := byte(0)
		if m.Voter {
			voter = 1
		}
		b = append(b, voter)
		b = be.AppendUint64(b, uint64(m.LogEndOffset))
		b = be.AppendUint64(b, uint64(unixMilli(m.Heard)))
		b = be.AppendUint64(b, uint64(unixMilli(m.CaughtUp)))
	}
	return b
}

func decodeQuorum(b []byte) (Quorum, error) {
	if len(b) < quorumHeadBytes || b[0] != quorumVersion || (len(b)-quorumHeadBytes)%quorumMemberBytes != 0 {
		return Quorum{}, errMalformedQuorum
	}
	be := binary.BigEndian
	q := Quorum{Leader: int32(be.Uint32(b[1:])), Epoch: be.Uint64(b[5:]), HighWatermark: int64(be.Uint64(b[13:]))}
	for b = b[quorumHeadBytes:]; len(b) > 0; b = b[quorumMemberBytes:] {
		q.Members = append(q.Members, QuorumMember{
			Node: int32(be.Uint32(b)), Directory: [16]byte(b[4:20]), Voter: b[20] == 1, LogEndOffset: int64(be.Uint64(b[21:])),
			Heard: fromUnixMilli(int64(be.Uint64(b[29:]))), CaughtUp: fromUnixMilli(int64(be.Uint64(b[37:]))),
		})
	}
	return q, nil
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromUnixMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
