package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// A verifiable record's value, big endian:
//
//	 0  magic         uint32
//	 4  CRC-32C       uint32   over everything that follows
//	 8  run           uint64   the run that wrote it
//	16  producer      uint32
//	20  key           int32    key number, -1 without a key
//	24  sequence      uint64   of this producer and key, from 0
//	32  intended      int64    nanoseconds from the run's start
//	40  filler
const (
	headerBytes  = 40
	payloadMagic = 0x57425031
)

// recordOverheadBytes is more than a batch header and one record's own fields take.
const recordOverheadBytes = 128

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors that parsePayload returns.
var (
	errForeign = errors.New("not written by a bench run")
	errCorrupt = errors.New("payload is not what was written")
)

// stamp is what a verifiable value says of itself.
type stamp struct {
	run           uint64
	producer      uint32
	key           int32
	sequence      uint64
	intendedNanos int64
}

// putStamp writes s over the head of value, which is at least headerBytes long, and seals value.
func putStamp(value []byte, s stamp) {
	binary.BigEndian.PutUint32(value, payloadMagic)
	binary.BigEndian.PutUint64(value[8:], s.run)
	binary.BigEndian.PutUint32(value[16:], s.producer)
	binary.BigEndian.PutUint32(value[20:], uint32(s.key))
	binary.BigEndian.PutUint64(value[24:], s.sequence)
	binary.BigEndian.PutUint64(value[32:], uint64(s.intendedNanos))
	binary.BigEndian.PutUint32(value[4:], crc32.Checksum(value[8:], castagnoli))
}

// parseStamp returns errForeign or errCorrupt for a value that putStamp did not seal.
func parseStamp(value []byte) (stamp, error) {
	if len(value) < headerBytes || binary.BigEndian.Uint32(value) != payloadMagic {
		return stamp{}, errForeign
	}
	want := binary.BigEndian.Uint32(value[4:])
	if got := crc32.Checksum(value[8:], castagnoli); got != want {
		return stamp{}, fmt.Errorf("%w: checksum %08x, want %08x", errCorrupt, got, want)
	}
	return stamp{
		run:           binary.BigEndian.Uint64(value[8:]),
		producer:      binary.BigEndian.Uint32(value[16:]),
		key:           int32(binary.BigEndian.Uint32(value[20:])),
		sequence:      binary.BigEndian.Uint64(value[24:]),
		intendedNanos: int64(binary.BigEndian.Uint64(value[32:])),
	}, nil
}

var words = []string{"order ", "created ", "customer ", "amount ", "EUR ", "shipped ", "\"id\": ", "true, ", "warehouse ", "2026-11-23 "}

// fill writes the payload of kind over dst, the same for the same seed.
func fill(dst []byte, kind Payload, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x66696c6c))
	if kind == PayloadText {
		for n := 0; n < len(dst); {
			n += copy(dst[n:], words[rng.IntN(len(words))])
			n += copy(dst[n:], fmt.Sprintf("%d ", rng.IntN(10_000)))
		}
		return
	}
	for n := 0; n < len(dst); n += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rng.Uint64())
		copy(dst[n:], word[:])
	}
}
