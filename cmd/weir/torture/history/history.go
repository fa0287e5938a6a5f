// Package history holds what clients of a broker did and saw, and judges it.
// It knows nothing of the broker: an event is what a client can swear to.
package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Op is what an event tells of.
type Op string

const (
	// Send: a producer hands a record to its client.
	Send Op = "send"
	// Ack: the broker has acknowledged it, at Offset. A record that was sent
	// and not acknowledged may be in the log or not.
	Ack Op = "ack"
	// Fail: the record is known not to be in the log.
	Fail Op = "fail"
	// Poll: a consumer with fixed partitions is handed a record. Where there are transactions, it
	// reads what is committed.
	Poll Op = "poll"
	// Stable: a consumer is told the last stable offset (Offset), with which the polls that
	// follow have come.
	Stable Op = "stable"
	// Final: the record as read from end to end after everything has healed.
	Final Op = "final"
	// Delete: somebody asks for the records below Offset to be deleted.
	Delete Op = "delete"
	// Bounds: the log start (Offset) and end (End) of a partition for the
	// final reading, which it precedes.
	Bounds Op = "bounds"

	// Of transactions. One is named by Txn, NewValue(process, n); a Send with it belongs to it.

	// Claim: a process asks to be the only producer of a transactional id (ID); Claimed: it is.
	Claim   Op = "claim"
	Claimed Op = "claimed"
	// Take: the transaction moves its group's offset past the record at Offset, which its process has read.
	Take Op = "take"
	// Commit and Abort: its process is about to ask for the end.
	Commit Op = "commit"
	Abort  Op = "abort"
	// Committed and Aborted: it was told that the transaction has ended so. A transaction whose
	// commit was asked for, and that has neither, is in the log as a whole or not at all.
	Committed Op = "committed"
	Aborted   Op = "aborted"
	// Marker: a control record as met by the final reading.
	Marker Op = "marker"
	// Position: what the group that reads the partition has committed in the end (Offset).
	Position Op = "position"
)

// Event is one line of a history. Of the fields those count that its Op needs.
type Event struct {
	Op        Op     `json:"op"`
	Process   int    `json:"process"`         // producer or consumer
	Partition int32  `json:"partition"`       // over all topics
	Value     uint64 `json:"value,omitempty"` // names the record: NewValue
	Sum       uint64 `json:"sum,omitempty"`   // of all its bytes, key and value
	Offset    int64  `json:"offset"`
	End       int64  `json:"end,omitempty"`
	Txn       uint64 `json:"txn,omitempty"` // names the transaction: NewValue
	ID        int    `json:"id,omitempty"`  // transactional id, of a Claim
	// Idempotent, of a Send: no retry may leave a second copy.
	Idempotent bool `json:"idempotent,omitempty"`
	// Weak, of an Ack: it is the leader's alone, and does not outlive its
	// leadership.
	Weak bool `json:"weak,omitempty"`
	// Holes, of Bounds: the partition has transactions, and the final reading leaves out what they aborted.
	Holes bool `json:"holes,omitempty"`
}

// sequenceBits of a value count the records of one producer.
const sequenceBits = 40

// NewValue names the n-th record of a producer.
func NewValue(producer int, n uint64) uint64 { return uint64(producer)<<sequenceBits | n }

// Producer and Sequence take a value apart.
func Producer(value uint64) int    { return int(value >> sequenceBits) }
func Sequence(value uint64) uint64 { return value & (1<<sequenceBits - 1) }

// Recorder collects events from many goroutines in one order that keeps
// before and after: what returned before something else began comes first.
type Recorder struct {
	mu     sync.Mutex
	events []Event
}

// Add appends events.
func (r *Recorder) Add(events ...Event) {
	r.mu.Lock()
	r.events = append(r.events, events...)
	r.mu.Unlock()
}

// Events returns what was recorded, not to be changed.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

// Write writes events as lines of JSON.
func Write(w io.Writer, events []Event) error {
	b := bufio.NewWriter(w)
	lines := json.NewEncoder(b)
	for _, e := range events {
		if err := lines.Encode(e); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Read reads what Write wrote.
func Read(r io.Reader) ([]Event, error) {
	var events []Event
	lines := json.NewDecoder(r)
	for {
		var e Event
		switch err := lines.Decode(&e); err {
		case nil:
			events = append(events, e)
		case io.EOF:
			return events, nil
		default:
			return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
		}
	}
}
