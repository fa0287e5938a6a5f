// Package record turns what is stored of transactional ids into records of __transaction_state, in Kafka's
// formats, and back: TransactionLogKey of version 0 and TransactionLogValue of version 1, with one tag more.
package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"weir/cluster/fields"
	"weir/cluster/txn"
)

// The only versions of keys and values.
const (
	keyVersion   = 0
	valueVersion = 1
)

// Tags of a value. Kafka knows the first three, and does not keep the epoch before this one, so that a client
// which asks again after its coordinator has died is fenced; others skip the tag.
const (
	tagPreviousProducerID = 0
	tagNextProducerID     = 1
	tagClientVersion      = 2
	tagPreviousEpoch      = 1000
)

// Key makes the key of a transactional id.
func Key(id string) []byte {
	b := binary.BigEndian.AppendUint16(nil, keyVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(id))) // bounded by far less
	return append(b, id...)
}

// ParseKey reads what Key has made.
func ParseKey(b []byte) (id string, err error) {
	d := fields.Decoder{B: b}
	if v := d.Int16(); d.Err == nil && v != keyVersion {
		return "", fmt.Errorf("record: a key of version %d, want %d", v, keyVersion)
	}
	id = d.Text16()
	return id, d.End()
}

// Value makes the value of a transactional id's record.
func Value(s *txn.Snapshot) []byte {
	var e fields.Encoder
	e.Int16(valueVersion)
	e.Int64(s.Producer.ID)
	e.Int16(s.Producer.Epoch)
	e.Int32(int32(s.Timeout.Milliseconds()))
	e.Int8(int8(s.State))
	appendPartitions(&e, s.Partitions)
	e.Int64(s.Updated)
	e.Int64(s.Started)
	e.Tags(
		fields.Tag{Number: tagPreviousProducerID, Is: s.Last != txn.NoProducer, Field: func(e *fields.Encoder) { e.Int64(s.Last.ID) }},
		fields.Tag{Number: tagNextProducerID, Is: s.NextID != txn.NoID, Field: func(e *fields.Encoder) { e.Int64(s.NextID) }},
		fields.Tag{Number: tagClientVersion, Is: s.Version != 0, Field: func(e *fields.Encoder) { e.Int16(s.Version) }},
		fields.Tag{Number: tagPreviousEpoch, Is: s.Last != txn.NoProducer, Field: func(e *fields.Encoder) { e.Int16(s.Last.Epoch) }},
	)
	return e.B
}

// appendPartitions groups partitions, which are sorted, by topic. None are null.
func appendPartitions(e *fields.Encoder, all []txn.Partition) {
	if len(all) == 0 {
		e.B = append(e.B, 0)
		return
	}
	topics := slices.CompactFunc(slices.Clone(all), func(a, b txn.Partition) bool { return a.Topic == b.Topic })
	e.Count(len(topics))
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(p txn.Partition) bool { return p.Topic != all[0].Topic })
		if n < 0 {
			n = len(all)
		}
		e.Text(all[0].Topic)
		e.Count(n)
		for _, p := range all[:n] {
			e.Int32(p.Index)
		}
		e.Tags()
		all = all[n:]
	}
}

// ParseValue reads what Value has made. What it returns keeps nothing of b, and takes no more than 32 bytes
// for each of b.
func ParseValue(b []byte) (txn.Snapshot, error) {
	d := fields.Decoder{B: b}
	if v := d.Int16(); d.Err == nil && v != valueVersion {
		return txn.Snapshot{}, fmt.Errorf("record: a value of version %d, want %d", v, valueVersion)
	}
	s := txn.Snapshot{Last: txn.NoProducer, NextID: txn.NoID}
	s.Producer = txn.Producer{ID: d.Int64(), Epoch: d.Int16()}
	s.Timeout = time.Duration(d.Int32()) * time.Millisecond
	s.State = txn.State(d.Int8())
	s.Partitions = readPartitions(&d)
	s.Updated, s.Started = d.Int64(), d.Int64()
	d.Tags(func(n uint64, d *fields.Decoder) {
		switch n {
		case tagPreviousProducerID:
			s.Last.ID = d.Int64()
		case tagNextProducerID:
			s.NextID = d.Int64()
		case tagClientVersion:
			s.Version = d.Int16()
		case tagPreviousEpoch:
			s.Last.Epoch = d.Int16()
		}
	})
	if err := d.End(); err != nil {
		return txn.Snapshot{}, err
	}
	if s.Last.ID < 0 || s.Last.Epoch < 0 {
		s.Last = txn.NoProducer // Kafka names the id without an epoch
	}
	return s, check(&s)
}

func readPartitions(d *fields.Decoder) (all []txn.Partition) {
	for range d.Count() {
		topic := d.Text()
		for range d.Count() {
			index := d.Int32()
			if d.Err != nil {
				return nil
			}
			all = append(all, txn.Partition{Topic: topic, Index: index})
		}
		if d.Tags(nil); d.Err != nil {
			return nil
		}
	}
	return all
}

// check refuses what no coordinator writes, and what the rules cannot go on from.
func check(s *txn.Snapshot) error {
	open := s.State == txn.Ongoing
	switch {
	case s.Producer.ID < 0 || s.Producer.Epoch < 0 || open && s.Producer.Epoch == math.MaxInt16:
		return fmt.Errorf("record: a transaction in state %v of producer %d with epoch %d", s.State, s.Producer.ID, s.Producer.Epoch)
	case s.State < txn.Empty || s.State >= txn.Dead:
		return fmt.Errorf("record: a transaction in state %d", s.State)
	case s.Timeout < 0 || s.NextID < txn.NoID || s.Version < 0:
		return fmt.Errorf("record: a transaction with a timeout of %v, next producer %d, version %d", s.Timeout, s.NextID, s.Version)
	case !open && !s.State.Preparing() && len(s.Partitions) > 0:
		return fmt.Errorf("record: %d partitions in state %v", len(s.Partitions), s.State)
	case !txn.Sorted(s.Partitions):
		return fmt.Errorf("record: partitions that are not sorted, or named twice")
	}
	return nil
}
