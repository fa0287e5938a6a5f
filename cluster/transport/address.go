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
	if !found || len(digits) != 2*len(directory) || !canonical(number) {
		return 0, [16]byte{}, false
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return 0, [16]byte{}, false
	}
	for i := range directory {
		high, low := strings.IndexByte(hexDigits, digits[2*i]), strings.IndexByte(hexDigits, digits[2*i+1])
		if high < 0 || low < 0 {
			return 0, [16]byte{}, false
		}
		directory[i] = byte(high<<4 | low)
	}
	return int32(n), directory, true
}

const hexDigits = "0123456789abcdef"

// canonical reports whether a decimal number is spelled as strconv spells it; that it is one is for
// ParseInt to say.
func canonical(number string) bool {
	digits := strings.TrimPrefix(number, "-")
	return digits != "" && digits[0] != '+' && (digits[0] != '0' || number == "0")
}
