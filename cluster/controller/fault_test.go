package controller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"weir/cluster/metadata"
)

func itoa(n int) string { return strconv.Itoa(n) }

func withFatal(config Config) (Config, chan error) {
	fatal := make(chan error, 1)
	config.OnFatal = func(err error) { fatal <- err }
	return config, fatal
}

func TestFailedWriteStopsTheGroup(t *testing.T) {
	dir := t.TempDir()
	config, fatal := withFatal(testConfig(dir, true))
	c := open(t, config)
	register(t, c)
	createTopics(t, c, 0, 1)
	want := c.Image()
	if err := c.bolt.Close(); err != nil { // every write fails from here on
		t.Fatal(err)
	}
	_, err := c.Propose(context.Background(), topicCommand(1))
	var unknown *UnknownOutcomeError
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
	if err := <-fatal; err == nil || c.Fault() == nil {
		t.Fatal("the owner was not told")
	}
	if _, err := c.Propose(context.Background(), topicCommand(2)); !errors.Is(err, ErrClosed) {
		t.Fatalf("a stopped group took a proposal: %v", err)
	}
	mustClose(t, c)
	sameImage(t, open(t, testConfig(dir, false)).Image(), want)
}

// A command of a newer version is history that this broker cannot follow: it must stop, now and
// at every start, instead of skipping it.
func TestUnreadableCommandStopsTheGroup(t *testing.T) {
	dir := t.TempDir()
	config, fatal := withFatal(testConfig(dir, true))
	c := open(t, config)
	register(t, c)
	ticket, err := c.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.apply(t.Context(), ticket, []byte{99, 1})
	ticket.release()
	var unknown *UnknownOutcomeError
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	var version *metadata.VersionError
	if err := <-fatal; !errors.As(err, &version) || version.Got != 99 {
		t.Fatal(err)
	}
	mustClose(t, c)
	if _, err := tryOpen(testConfig(dir, false)); !errors.As(err, &version) {
		t.Fatalf("opened again: %v", err)
	}
}

func TestOversizedCommandIsRefused(t *testing.T) {
	c := open(t, testConfig(t.TempDir(), true))
	_, err := c.Propose(t.Context(), metadata.SetClusterID{ID: string(make([]byte, metadata.MaxCommandBytes))})
	var limit *metadata.LimitError
	if !errors.As(err, &limit) {
		t.Fatal(err)
	}
}

func TestVoteIsOneRecord(t *testing.T) {
	path := t.TempDir() + "/raft.db"
	var bolt *raftboltdb.BoltStore
	reopen := func() *stableStore {
		if bolt != nil {
			if err := bolt.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if bolt, err = raftboltdb.NewBoltStore(path); err != nil {
			t.Fatal(err)
		}
		return &stableStore{bolt: bolt, fault: newFault(nil)}
	}
	check := func(s *stableStore, term uint64, candidate string) {
		t.Helper()
		gotTerm, err1 := s.GetUint64(keyVoteTerm)
		got, err2 := s.Get(keyVoteCandidate)
		if gotTerm != term || string(got) != candidate || err1 != nil || err2 != nil {
			t.Fatalf("vote is %d for %q (%v, %v), want %d for %q", gotTerm, got, err1, err2, term, candidate)
		}
	}
	s := reopen()
	if _, err := s.GetUint64(keyVoteTerm); fmt.Sprint(err) != "not found" {
		t.Fatalf("the library takes no other word for a missing key: %v", err)
	}
	if err := s.Set(keyVoteCandidate, []byte("x")); err == nil {
		t.Fatal("a candidate without a term was taken")
	}
	s = reopen()
	if err := errors.Join(s.SetUint64(keyVoteTerm, 4), s.Set(keyVoteCandidate, []byte("one"))); err != nil {
		t.Fatal(err)
	}
	check(s, 4, "one")
	if err := s.SetUint64(keyVoteTerm, 5); err != nil {
		t.Fatal(err)
	}
	s = reopen() // killed between the two writes: neither happened
	check(s, 4, "one")
	if err := errors.Join(s.SetUint64(keyVoteTerm, 5), s.Set(keyVoteCandidate, []byte("two"))); err != nil {
		t.Fatal(err)
	}
	check(reopen(), 5, "two")
	if err := bolt.Close(); err != nil {
		t.Fatal(err)
	}
}
