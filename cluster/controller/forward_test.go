package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"weir/cluster/metadata"
)

// Every error keeps its meaning on the way between two brokers; what cannot be read is an unknown
// outcome.
func TestAnswersKeepTheirMeaning(t *testing.T) {
	back := func(done committed, err error) (committed, error) { return decodeAnswer(encodeAnswer(done, err)) }
	if done, err := back(committed{index: 1 << 40}, nil); err != nil || done != (committed{index: 1 << 40}) {
		t.Fatal(done, err)
	}
	var refused *JoinRefusedError
	if done, err := back(committed{index: 3, refusal: &metadata.BrokerIDTakenError{ID: 3}}, nil); err != nil || !errors.As(done.refusal, &refused) || !refused.Taken {
		t.Fatal(done, err)
	}
	if done, err := back(committed{index: 3, refusal: &metadata.InvalidBrokerError{ID: 3}}, nil); err != nil || !errors.As(done.refusal, &refused) || refused.Taken {
		t.Fatal(done, err)
	}
	for _, want := range []JoinRefusedError{{Taken: true, Reason: "r"}, {Reason: "r"}} { // passed on, of another broker
		if done, err := back(committed{index: 3, refusal: &want}, nil); err != nil || !errors.As(done.refusal, &refused) || *refused != want {
			t.Fatal(done, err)
		}
	}
	var notLeader *NotLeaderError
	if _, err := back(committed{}, &NotLeaderError{Known: true, Leader: 77}); !errors.As(err, &notLeader) || *notLeader != (NotLeaderError{Known: true, Leader: 77}) {
		t.Fatal(err)
	}
	for _, nothing := range []error{ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if _, err := back(committed{}, nothing); !errors.As(err, &notLeader) || notLeader.Known {
			t.Fatal(err)
		}
	}
	if _, err := back(committed{}, ErrBusy); err != ErrBusy {
		t.Fatal(err)
	}
	var malformed *MalformedError
	if _, err := back(committed{}, &MalformedError{Reason: "x"}); !errors.As(err, &malformed) || malformed.Reason != "x" {
		t.Fatal(err)
	}
	var unknown *UnknownOutcomeError
	for _, cause := range []error{ErrClosed, context.DeadlineExceeded, raft.ErrLeadershipLost} {
		if _, err := back(committed{}, &UnknownOutcomeError{Err: cause}); !errors.As(err, &unknown) || fmt.Sprint(unknown.Err) != cause.Error() {
			t.Fatal(err)
		}
	}
	for _, b := range [][]byte{nil, {1}, {2, statusBusy}, {1, statusCommitted, 0}, {1, statusNotLeader}, {1, 99}} {
		if _, err := decodeAnswer(b); !errors.As(err, &unknown) {
			t.Fatalf("% x: %v", b, err)
		}
	}
}

func TestEntries(t *testing.T) {
	id := proposalID{node: 7, incarnation: 1 << 63, counter: 2}
	got, command, err := decodeEntry(encodeEntry(id, []byte("command")))
	if got != id || string(command) != "command" || err != nil {
		t.Fatal(got, command, err)
	}
	// Before proposals had ids, an entry was the command.
	if got, command, err = decodeEntry([]byte{1, 2, 3}); got != (proposalID{}) || len(command) != 3 || err != nil {
		t.Fatal(got, command, err)
	}
	if _, _, err = decodeEntry(encodeEntry(id, nil)[:entryHeader-1]); err == nil {
		t.Fatal("taken")
	}
	if _, err := decodeBeat(beat{1, 2, 3}.encode()); err != nil {
		t.Fatal(err)
	}
	if _, err := decodeBeat(beat{1, 2, 3}.encode()[1:]); err == nil {
		t.Fatal("taken")
	}
}

func FuzzHandleForward(f *testing.F) {
	command, err := metadata.EncodeCommand(metadata.SetClusterID{ID: "c"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encodeRequest(encodeEntry(proposalID{node: 1}, command)))
	f.Add(encodeAnswer(committed{index: 3}, nil))
	f.Add(beat{1, 2, 3}.encode())
	config := testConfig(f.TempDir(), true)
	config.Transport, config.Bootstrap = nil, false // it leads nobody, so nothing is written
	c := open(f, config)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeAnswer(b)
		_, _ = c.HandleHeartbeat(t.Context(), 2, b)
		answer, err := c.HandleForward(t.Context(), 2, b)
		if err != nil {
			return
		}
		_, err = decodeAnswer(answer)
		var notLeader *NotLeaderError
		var malformed *MalformedError
		if !errors.As(err, &notLeader) && !errors.As(err, &malformed) {
			t.Fatal(err)
		}
	})
}

// A broker that waits to be added keeps that across restarts, and is nobody else's.
func TestWaitingBrokerRestarts(t *testing.T) {
	dir := t.TempDir()
	config := testConfig(dir, true)
	config.Bootstrap = false
	c := open(t, config)
	if _, known := c.Leader(); known {
		t.Fatal("it leads itself")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.AwaitLeader(ended); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := c.AwaitReady(ended); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	mustClose(t, c)
	if err := c.AwaitReady(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	mustClose(t, open(t, config))
	config.Directory = [16]byte{9}
	if _, err := tryOpen(config); err == nil {
		t.Fatal("a stranger opened it")
	}
}
