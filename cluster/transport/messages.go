//lint:file-ignore SA1019 the library still fills in, and reads, the fields it calls deprecated

package transport

import (
	"encoding/binary"
	"math"

	"github.com/hashicorp/raft"
)

// The bodies of Raft's messages. Integers are big endian, byte strings have a length of 32 bits before
// them. Every field of the library's structs is carried, but for Log.AppendedAt. A byte string of no
// bytes arrives as nil.

// entryBytes is what the table of an AppendEntries spends on each entry, extensions and data apart: index,
// term, type, two lengths.
const entryBytes = 8 + 8 + 1 + 4 + 4

func appendHeader(b []byte, h raft.RPCHeader) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(h.ProtocolVersion))
	b = appendBytes(b, h.ID)
	return appendBytes(b, h.Addr)
}

func (d *decoder) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersion(int32(d.uint32())), ID: d.bytes(), Addr: d.bytes()}
}

// appendEntriesTable encodes the request up to the entries' data: their table (index, term, type,
// extensions and the length of the data, each) comes first, so that the data can follow as it lies in
// memory, in one vectored write.
func appendEntriesTable(b []byte, r *raft.AppendEntriesRequest) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint64(b, r.Term)
	b = appendBytes(b, r.Leader)
	b = binary.BigEndian.AppendUint64(b, r.PrevLogEntry)
	b = binary.BigEndian.AppendUint64(b, r.PrevLogTerm)
	b = binary.BigEndian.AppendUint64(b, r.LeaderCommitIndex)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Entries)))
	for _, e := range r.Entries {
		b = binary.BigEndian.AppendUint64(b, e.Index)
		b = binary.BigEndian.AppendUint64(b, e.Term)
		b = append(b, byte(e.Type))
		b = appendBytes(b, e.Extensions)
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
	}
	return b
}

// entriesRequestBytes is the length of the whole encoded request.
func entriesRequestBytes(r *raft.AppendEntriesRequest) (table, data int64) {
	table = 4 + 4 + int64(len(r.ID)) + 4 + int64(len(r.Addr)) + 8 + 4 + int64(len(r.Leader)) + 3*8 + 4
	for _, e := range r.Entries {
		table += entryBytes + int64(len(e.Extensions))
		data += int64(len(e.Data))
	}
	return table, data
}

// appendEntriesData adds the entries' data. Only tests encode a request in one piece.
func appendEntriesData(b []byte, r *raft.AppendEntriesRequest) []byte {
	for _, e := range r.Entries {
		b = append(b, e.Data...)
	}
	return b
}

// decodeAppendEntries reads a request. All its slices are parts of b.
func decodeAppendEntries(b []byte) (*raft.AppendEntriesRequest, error) {
	d := decoder{rest: b}
	r := &raft.AppendEntriesRequest{RPCHeader: d.header(), Term: d.uint64(), Leader: d.bytes(), PrevLogEntry: d.uint64(), PrevLogTerm: d.uint64(), LeaderCommitIndex: d.uint64()}
	n := d.count(entryBytes)
	if n == 0 {
		return r, d.finish()
	}
	entries := make([]raft.Log, n)
	lengths := make([]uint32, n)
	r.Entries = make([]*raft.Log, n)
	for i := range entries {
		entries[i] = raft.Log{Index: d.uint64(), Term: d.uint64(), Type: raft.LogType(d.uint8()), Extensions: d.bytes()}
		lengths[i] = d.uint32()
		r.Entries[i] = &entries[i]
	}
	for i, length := range lengths {
		if uint64(length) > uint64(len(d.rest)) {
			d.fail("data of %d bytes, %d left", length, len(d.rest))
			break
		}
		if length > 0 {
			entries[i].Data = d.take(int(length))
		}
	}
	return r, d.finish()
}

func appendAppendEntriesResponse(b []byte, r *raft.AppendEntriesResponse) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint64(b, r.Term)
	b = binary.BigEndian.AppendUint64(b, r.LastLog)
	b = appendBool(b, r.Success)
	return appendBool(b, r.NoRetryBackoff)
}

func decodeAppendEntriesResponse(b []byte, r *raft.AppendEntriesResponse) error {
	d := decoder{rest: b}
	*r = raft.AppendEntriesResponse{RPCHeader: d.header(), Term: d.uint64(), LastLog: d.uint64(), Success: d.bool(), NoRetryBackoff: d.bool()}
	return d.finish()
}

func appendVote(b []byte, r *raft.RequestVoteRequest) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint64(b, r.Term)
	b = appendBytes(b, r.Candidate)
	b = binary.BigEndian.AppendUint64(b, r.LastLogIndex)
	b = binary.BigEndian.AppendUint64(b, r.LastLogTerm)
	return appendBool(b, r.LeadershipTransfer)
}

func decodeVote(b []byte) (*raft.RequestVoteRequest, error) {
	d := decoder{rest: b}
	r := &raft.RequestVoteRequest{RPCHeader: d.header(), Term: d.uint64(), Candidate: d.bytes(), LastLogIndex: d.uint64(), LastLogTerm: d.uint64(), LeadershipTransfer: d.bool()}
	return r, d.finish()
}

func appendVoteResponse(b []byte, r *raft.RequestVoteResponse) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint64(b, r.Term)
	b = appendBytes(b, r.Peers)
	return appendBool(b, r.Granted)
}

func decodeVoteResponse(b []byte, r *raft.RequestVoteResponse) error {
	d := decoder{rest: b}
	*r = raft.RequestVoteResponse{RPCHeader: d.header(), Term: d.uint64(), Peers: d.bytes(), Granted: d.bool()}
	return d.finish()
}

func appendPreVote(b []byte, r *raft.RequestPreVoteRequest) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint64(b, r.Term)
	b = binary.BigEndian.AppendUint64(b, r.LastLogIndex)
	return binary.BigEndian.AppendUint64(b, r.LastLogTerm)
}

func decodePreVote(b []byte) (*raft.RequestPreVoteRequest, error) {
	d := decoder{rest: b}
	r := &raft.RequestPreVoteRequest{RPCHeader: d.header(), Term: d.uint64(), LastLogIndex: d.uint64(), LastLogTerm: d.uint64()}
	return r, d.finish()
}

func appendPreVoteResponse(b []byte, r *raft.RequestPreVoteResponse) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint64(b, r.Term)
	return appendBool(b, r.Granted)
}

func decodePreVoteResponse(b []byte, r *raft.RequestPreVoteResponse) error {
	d := decoder{rest: b}
	*r = raft.RequestPreVoteResponse{RPCHeader: d.header(), Term: d.uint64(), Granted: d.bool()}
	return d.finish()
}

func decodeTimeoutNow(b []byte) (*raft.TimeoutNowRequest, error) {
	d := decoder{rest: b}
	r := &raft.TimeoutNowRequest{RPCHeader: d.header()}
	return r, d.finish()
}

func decodeTimeoutNowResponse(b []byte, r *raft.TimeoutNowResponse) error {
	d := decoder{rest: b}
	*r = raft.TimeoutNowResponse{RPCHeader: d.header()}
	return d.finish()
}

func appendSnapshot(b []byte, r *raft.InstallSnapshotRequest) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint32(b, uint32(r.SnapshotVersion))
	b = binary.BigEndian.AppendUint64(b, r.Term)
	b = appendBytes(b, r.Leader)
	b = binary.BigEndian.AppendUint64(b, r.LastLogIndex)
	b = binary.BigEndian.AppendUint64(b, r.LastLogTerm)
	b = appendBytes(b, r.Peers)
	b = appendBytes(b, r.Configuration)
	b = binary.BigEndian.AppendUint64(b, r.ConfigurationIndex)
	return binary.BigEndian.AppendUint64(b, uint64(r.Size))
}

func decodeSnapshot(b []byte) (*raft.InstallSnapshotRequest, error) {
	d := decoder{rest: b}
	r := &raft.InstallSnapshotRequest{
		RPCHeader: d.header(), SnapshotVersion: raft.SnapshotVersion(int32(d.uint32())), Term: d.uint64(), Leader: d.bytes(),
		LastLogIndex: d.uint64(), LastLogTerm: d.uint64(), Peers: d.bytes(), Configuration: d.bytes(), ConfigurationIndex: d.uint64(),
	}
	size := d.uint64()
	if size > math.MaxInt64 {
		d.fail("a snapshot of %d bytes", size)
	}
	r.Size = int64(size)
	return r, d.finish()
}

func appendSnapshotResponse(b []byte, r *raft.InstallSnapshotResponse) []byte {
	b = appendHeader(b, r.RPCHeader)
	b = binary.BigEndian.AppendUint64(b, r.Term)
	return appendBool(b, r.Success)
}

func decodeSnapshotResponse(b []byte, r *raft.InstallSnapshotResponse) error {
	d := decoder{rest: b}
	*r = raft.InstallSnapshotResponse{RPCHeader: d.header(), Term: d.uint64(), Success: d.bool()}
	return d.finish()
}

// appendResponse encodes whatever raft answered; false for what is no answer of its.
func appendResponse(b []byte, response any) ([]byte, bool) {
	switch r := response.(type) {
	case *raft.AppendEntriesResponse:
		return appendAppendEntriesResponse(b, r), true
	case *raft.RequestVoteResponse:
		return appendVoteResponse(b, r), true
	case *raft.RequestPreVoteResponse:
		return appendPreVoteResponse(b, r), true
	case *raft.TimeoutNowResponse:
		return appendHeader(b, r.RPCHeader), true
	case *raft.InstallSnapshotResponse:
		return appendSnapshotResponse(b, r), true
	}
	return b, false
}
