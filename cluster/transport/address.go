package transport

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"
)

// GroupID names a Raft group: a topic id and a partition number, big endian. The zero one is the
// controller's group.
type GroupID [20]byte

// PartitionGroup is the group of one partition.
func PartitionGroup(topic [16]byte, partition int32) GroupID {
	var id GroupID
	copy(id[:], topic[:])
	binary.BigEndian.PutUint32(id[16:], uint32(partition))
	return id
}

// String is "<32 hex digits>/<partition>", for logs.
func (id GroupID) String() string {
	return fmt.Sprintf("%x/%d", id[:16], int32(binary.BigEndian.Uint32(id[16:])))
}

// Address names a replica for ever: node id and data directory, as "<node>.<32 hex digits>". It is both
// raft.ServerID and raft.ServerAddress, so that a vote, which the library records by address, belongs
// to the directory that holds the log. Where the node listens is asked of Config.Resolve.
func Address(node int32, directory [16]byte) raft.ServerAddress {
	b := strconv.AppendInt(make([]byte, 0, 44), int64(node), 10)
	return raft.ServerAddress(hex.AppendEncode(append(b, '.'), directory[:]))
}

// ParseAddress reads what Address made. ok is false for anything else, other spellings of it included.
func ParseAddress(a raft.ServerAddress) (node int32, directory [16]byte, ok bool) {
	number, digits, found := strings.Cut(string(a), ".")
	if !found || len(digits) != 2*len(directory) {
		return 0, [16]byte{}, false
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return 0, [16]byte{}, false
	}
	if _, err := hex.Decode(directory[:], []byte(digits)); err != nil {
		return 0, [16]byte{}, false
	}
	if Address(int32(n), directory) != a {
		return 0, [16]byte{}, false
	}
	return int32(n), directory, true
}
