package partition

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

func members(ids ...raft.ServerID) (c raft.Configuration) {
	for _, id := range ids {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: id, Address: raft.ServerAddress(id)})
	}
	return c
}

// someState has two memberships, one producer, one with a transaction, and one who has aborted.
func someState() *state {
	s := &state{at: applied{raftIndex: 9, epoch: 2, nextOffset: 5}, producers: newProducers(8)}
	s.configurations.add(1, members("1"))
	s.configurations.add(4, members("1", "2"))
	s.producers.add(header(1, 0, 0, 5), 0, time.UnixMilli(5))
	for id := range int64(2) {
		h := header(100+id, 2, 0, 1)
		h.Attributes = transactionalBit
		s.producers.add(h, s.producers.next, time.UnixMilli(6))
	}
	aborted, _ := s.producers.end(Marker{ProducerID: 101, ProducerEpoch: 3, CoordinatorEpoch: 4}, s.producers.next, time.UnixMilli(7))
	s.aborted = abortedIndex{aborted}
	s.at.nextOffset = s.producers.next
	return s
}

// TestCheckpointOfTransactions: what is open and what was aborted is there again.
func TestCheckpointOfTransactions(t *testing.T) {
	got, err := decodeState(someState().encode(), 8)
	if err != nil {
		t.Fatal(err)
	}
	if stable := got.producers.stable(8); stable != 5 {
		t.Errorf("last stable offset %d, want 5", stable)
	}
	if want := (AbortedTransaction{ProducerID: 101, FirstOffset: 6, lastOffset: 7, stable: 5}); len(got.aborted) != 1 || got.aborted[0] != want {
		t.Errorf("aborted: %+v, want %+v", got.aborted, want)
	}
	if p := got.producers.byID[101]; p.n != 0 || p.epoch != 3 || p.coordinatorEpoch != 4 || p.lastSequence() != -1 {
		t.Errorf("the producer that was fenced: %+v", p)
	}
	if got.producers.next != 8 {
		t.Errorf("known to %d, want 8", got.producers.next)
	}
}

// TestCheckpointOfVersion1: it knew no transactions.
func TestCheckpointOfVersion1(t *testing.T) {
	b := append([]byte(nil), "WCP1"...)
	be := binary.BigEndian
	b = be.AppendUint64(b, 9)                     // raft index
	b = be.AppendUint32(b, 2)                     // epoch
	b = be.AppendUint64(b, 5)                     // next offset
	b = be.AppendUint32(b, 0)                     // configurations
	b = be.AppendUint32(b, 1)                     // producers
	b = be.AppendUint64(b, 7)                     // id
	b = be.AppendUint16(b, 3)                     // epoch
	b = be.AppendUint64(b, 1000)                  // last seen
	b = append(b, 1)                              // one batch
	b = be.AppendUint64(b, uint64(10)<<32|14)     // sequences
	b = be.AppendUint64(be.AppendUint64(b, 4), 9) // offsets: a snapshot knows more than its entry
	got, err := decodeState(checksummed(b), 8)
	if err != nil {
		t.Fatal(err)
	}
	p := got.producers.byID[7]
	if p == nil || p.epoch != 3 || p.lastSequence() != 14 || p.transaction != noTransaction || p.coordinatorEpoch != -1 {
		t.Errorf("producer %+v", p)
	}
	if got.at.nextOffset != 5 || got.producers.next != 9 || len(got.aborted) != 0 {
		t.Errorf("at %+v, known to %d, %d aborted", got.at, got.producers.next, len(got.aborted))
	}
}

// TestCheckpointRoundTrip: decoding what was encoded gives a state that answers
// every check alike.
func TestCheckpointRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := someState()
		table := s.producers
		for range rapid.IntRange(0, 60).Draw(t, "batches") {
			h := header(rapid.Int64Range(0, 10).Draw(t, "id"), rapid.Int16Range(0, 2).Draw(t, "epoch"),
				rapid.Int32Range(0, math.MaxInt32).Draw(t, "sequence"), rapid.Int32Range(1, 9).Draw(t, "records"))
			now := time.UnixMilli(s.at.nextOffset)
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				m := Marker{ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch}
				if aborted, ok := table.end(m, s.at.nextOffset, now); ok {
					s.aborted = append(s.aborted, aborted)
				}
			case 1:
				h.Attributes = transactionalBit
				fallthrough
			default:
				table.add(h, s.at.nextOffset, now)
			}
			s.at.nextOffset = table.next
			s.at.raftIndex++
		}
		encoded := s.encode()
		got, err := decodeState(encoded, 8)
		if err != nil || got.at != s.at {
			t.Fatalf("decode: %+v, %v; want %+v", got, err, s.at)
		}
		if again := got.encode(); string(again) != string(encoded) {
			t.Fatal("encoding what was decoded gives other bytes")
		}
		for id, p := range table.byID {
			if g := got.producers.byID[id]; !slices.Equal(g.batches[:g.n], p.batches[:p.n]) {
				t.Fatalf("producer %d: got %v, want %v", id, g.batches[:g.n], p.batches[:p.n])
			}
		}
		if c := got.configurations.at(3); c.raftIndex != 1 || len(c.members.Servers) != 1 {
			t.Fatalf("membership at 3: %+v", c)
		}
		if c := got.configurations.at(8); c.raftIndex != 4 || len(c.members.Servers) != 2 {
			t.Fatalf("membership at 8: %+v", c)
		}
	})
}

// TestConfigurationsKept: of the memberships, those stay that an entry kept can ask for.
func TestConfigurationsKept(t *testing.T) {
	s := someState()
	s.configurations.add(4, members("9")) // known by its index: nothing changes
	s.configurations.keepFrom(3)
	if len(s.configurations) != 2 {
		t.Errorf("%d are kept, want both", len(s.configurations))
	}
	s.configurations.keepFrom(4)
	if len(s.configurations) != 1 || s.configurations[0].raftIndex != 4 || len(s.configurations[0].members.Servers) != 2 {
		t.Errorf("kept: %+v", s.configurations)
	}
	s.configurations.keepFrom(100)
	if len(s.configurations) != 1 {
		t.Error("the one in force is gone")
	}
}

// FuzzDecodeState: no bytes make it panic or give more producers than there are bytes for.
func FuzzDecodeState(f *testing.F) {
	f.Add(someState().encode())
	f.Add((&state{at: applied{raftIndex: 1}, producers: newProducers(1)}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeState(resummed(b), 1<<20)
		if err == nil && len(got.producers.byID)*producerMinBytes+len(got.aborted)*abortedBytes > len(b) {
			t.Errorf("%d producers and %d aborted transactions out of %d bytes", len(got.producers.byID), len(got.aborted), len(b))
		}
	})
}

// TestDecodeStateRefuses flips and cuts a good checkpoint everywhere.
func TestDecodeStateRefuses(t *testing.T) {
	good := someState().encode()
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if _, err := decodeState(bad, 8); err == nil {
			t.Errorf("bit flipped in byte %d: accepted", i)
		}
		if _, err := decodeState(good[:i], 8); err == nil {
			t.Errorf("cut to %d bytes: accepted", i)
		}
	}
	// Lengths that lie, under a checksum that is right.
	for i := range good[:len(good)-4] {
		bad := append([]byte(nil), good...)
		bad[i] = 0xff
		_, _ = decodeState(resummed(bad), 8)
	}
}

// resummed gives b the checksum that its bytes ask for.
func resummed(b []byte) []byte {
	if len(b) < 4 {
		return b
	}
	body := b[: len(b)-4 : len(b)-4]
	return checksummed(body)
}
