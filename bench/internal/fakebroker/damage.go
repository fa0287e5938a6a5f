package fakebroker

import (
	"encoding/binary"
	"hash/crc32"
)

// damage flips a bit of the last record's value and seals the batch again: a client's check of the
// batch's checksum passes, only one of the payload itself does not. A batch ends with its last
// record's count of headers, one byte, so that the byte before is one of the value.
func damage(batch []byte) {
	batch[len(batch)-2] ^= 1
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
}
