package job

import (
	"fmt"
	"hash/crc32"
)

// Stage is one process of one stage of a chain. As a member of Group it reads what is committed in From, up to a hundred
// records at a time, and writes each, with its key and its value stamped, to To, in one transaction with the offsets and
// the group's metadata (KIP-447). Every fifth transaction is aborted, and its records are read again. Keys go to the
// partitions that Kafka's own hash names. All requests have the transactional id for their client id. It begins anew, with a new producer and consumer, after any error, and ends only by being killed.
type Stage struct {
	Number          int    `json:"number"`
	From            string `json:"from"`
	To              string `json:"to"`
	Group           string `json:"group"`
	TransactionalID string `json:"transactionalId"`
	Consumer        bool   `json:"consumer"` // by the consumer protocol (KIP-848), with the broker's session and heartbeats
	SessionMillis   int    `json:"sessionMillis"`
	HeartbeatMillis int    `json:"heartbeatMillis"`
	TimeoutMillis   int    `json:"timeoutMillis"` // of transactions
}

// Stamp is what a stage does to a value: to its end come the stage's number and the CRC-32 (IEEE) of the value, as " 2:0a1b2c3d".
func Stamp(number int, value []byte) []byte {
	return fmt.Appendf(value[:len(value):len(value)], " %d:%08x", number, crc32.ChecksumIEEE(value))
}

// Stager is a Client that can be a Stage.
type Stager interface {
	Stage(brokers string, s *Stage) error
}
