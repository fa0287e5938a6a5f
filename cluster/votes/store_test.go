package votes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, nil, nil, func(err error) { t.Errorf("fault: %v", err) })
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "votes.db") }

// copied opens what a crash right now leaves: all that is not on disk is in memory.
func copied(t testing.TB, path string) *Store {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	to := file(t)
	must(t, os.WriteFile(to, b, 0o600))
	return open(t, to)
}

// vote writes a vote as the library does.
func vote(t testing.TB, s raft.StableStore, term uint64, candidate string) {
	t.Helper()
	must(t, s.SetUint64([]byte(keyVoteTerm), term))
	must(t, s.Set([]byte(keyVoteCandidate), []byte(candidate)))
}

func sees(t testing.TB, s raft.StableStore, term, voteTerm uint64, candidate string) {
	t.Helper()
	got, err := s.GetUint64([]byte(keyTerm))
	must(t, err)
	gotVote, err := s.GetUint64([]byte(keyVoteTerm))
	must(t, err)
	gotCandidate, err := s.Get([]byte(keyVoteCandidate))
	must(t, err)
	if got != term || gotVote != voteTerm || string(gotCandidate) != candidate {
		t.Fatalf("term %d, vote in %d for %q; want %d, %d, %q", got, gotVote, gotCandidate, term, voteTerm, candidate)
	}
}

// TestConformance does what the library does, with one group and beside another.
func TestConformance(t *testing.T) {
	path := file(t)
	s := open(t, path)
	a, b := s.Group(GroupID{1}), s.Group(GroupID{1, 19: 1})
	sees(t, a, 0, 0, "")
	if v, err := a.Get([]byte(keyVoteCandidate)); v != nil || err != nil {
		t.Fatalf("the candidate of no vote: %q, %v", v, err)
	}
	if s.Known(GroupID{1}) {
		t.Error("known before it has stored anything")
	}
	must(t, a.SetUint64([]byte(keyTerm), 3))
	vote(t, a, 3, "node-1")
	must(t, b.SetUint64([]byte(keyTerm), 9))
	must(t, b.Set([]byte("empty"), nil))
	for _, s := range []*Store{s, copied(t, path)} {
		sees(t, s.Group(GroupID{1}), 3, 3, "node-1")
		sees(t, s.Group(GroupID{1, 19: 1}), 9, 0, "")
		if !s.Known(GroupID{1}) || s.Known(GroupID{2}) {
			t.Error("which groups are known")
		}
	}
	value, err := a.Get([]byte(keyVoteCandidate))
	must(t, err)
	value[0] = 'X' // a copy
	sees(t, a, 3, 3, "node-1")
	if err := b.Set([]byte(keyVoteCandidate), []byte("x")); err == nil {
		t.Error("a candidate without a term")
	}
	must(t, b.Set([]byte("text"), []byte("no number")))
	if _, err := b.GetUint64([]byte("text")); err == nil {
		t.Error("a text is read as a number")
	}
}

func TestForget(t *testing.T) {
	path := file(t)
	s := open(t, path)
	for i := range byte(3) {
		must(t, s.Group(GroupID{i}).SetUint64([]byte(keyTerm), 5))
		vote(t, s.Group(GroupID{i}), 5, "node-1")
	}
	must(t, s.Forget(GroupID{1}))
	must(t, s.Forget(GroupID{7})) // never there
	for _, s := range []*Store{s, copied(t, path)} {
		for i, known := range []bool{true, false, true} {
			if s.Known(GroupID{byte(i)}) != known {
				t.Errorf("group %d: known is not %t", i, known)
			}
		}
		sees(t, s.Group(GroupID{1}), 0, 0, "")
		sees(t, s.Group(GroupID{2}), 5, 5, "node-1")
	}
	must(t, s.Group(GroupID{1}).SetUint64([]byte(keyTerm), 1))
	sees(t, copied(t, path).Group(GroupID{1}), 1, 0, "")
}

// TestCrashAmidVote is TR-17: a crash between the two halves of a vote forgets both.
func TestCrashAmidVote(t *testing.T) {
	path := file(t)
	s := open(t, path)
	g := s.Group(GroupID{1})
	for term := uint64(1); term <= 30; term++ {
		candidate, before := fmt.Sprint("node-", term%3), ""
		if term > 1 {
			before = fmt.Sprint("node-", (term-1)%3)
		}
		must(t, g.SetUint64([]byte(keyTerm), term))
		sees(t, copied(t, path).Group(GroupID{1}), term, term-1, before)
		must(t, g.SetUint64([]byte(keyVoteTerm), term))
		if got, err := g.GetUint64([]byte(keyVoteTerm)); err != nil || got != term {
			t.Fatalf("the waiting term is %d, %v", got, err)
		}
		sees(t, copied(t, path).Group(GroupID{1}), term, term-1, before)
		must(t, g.Set([]byte(keyVoteCandidate), []byte(candidate)))
		sees(t, copied(t, path).Group(GroupID{1}), term, term, candidate)
	}
}

// transactions counts those there have been.
func (s *Store) transactions(t testing.TB) int {
	t.Helper()
	n := 0
	must(t, s.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }))
	return n
}

// A group's election, and reading beside other groups' writes, as hashicorp/raft
// has it: the in-memory store answers alike.
func TestLikeInmemStore(t *testing.T) {
	ours, theirs := open(t, file(t)).Group(GroupID{1}), raft.NewInmemStore()
	for term := uint64(1); term < 5; term++ {
		for _, s := range []raft.StableStore{ours, theirs} {
			must(t, s.SetUint64([]byte(keyTerm), term))
			vote(t, s, term, fmt.Sprint("node-", term))
		}
		for _, key := range []string{keyTerm, keyVoteTerm} {
			got, err := ours.GetUint64([]byte(key))
			want, theirErr := theirs.GetUint64([]byte(key))
			must(t, errors.Join(err, theirErr))
			if got != want {
				t.Errorf("%s is %d, theirs %d", key, got, want)
			}
		}
		got, err := ours.Get([]byte(keyVoteCandidate))
		want, theirErr := theirs.Get([]byte(keyVoteCandidate))
		must(t, errors.Join(err, theirErr))
		if !bytes.Equal(got, want) {
			t.Errorf("candidate %q, theirs %q", got, want)
		}
	}
}

// What comes while a transaction is under way shares the next one.
func TestGroupCommit(t *testing.T) {
	s := open(t, file(t))
	const groups = 200
	before := s.transactions(t)
	s.commitMu.Lock() // a transaction is under way
	var done sync.WaitGroup
	for i := range byte(groups) {
		done.Go(func() {
			if err := s.Group(GroupID{i}).SetUint64([]byte(keyTerm), uint64(i)); err != nil {
				t.Error(err)
			}
		})
	}
	for waiting := 0; waiting < groups; {
		s.mu.Lock()
		if s.next != nil {
			waiting = len(s.next.writes)
		}
		s.mu.Unlock()
	}
	s.commitMu.Unlock()
	done.Wait()
	if n := s.transactions(t) - before; n != 1 {
		t.Errorf("%d transactions for %d groups", n, groups)
	}
	for i := range byte(groups) {
		sees(t, s.Group(GroupID{i}), uint64(i), 0, "")
	}
}

func TestUnchangedIsNotWritten(t *testing.T) {
	s := open(t, file(t))
	g := s.Group(GroupID{1})
	must(t, g.SetUint64([]byte(keyTerm), 3))
	vote(t, g, 3, "node-1")
	before := s.transactions(t)
	must(t, g.SetUint64([]byte(keyTerm), 3))
	vote(t, g, 3, "node-1")
	if n := s.transactions(t) - before; n != 0 {
		t.Errorf("%d transactions", n)
	}
	vote(t, g, 4, "node-1")
	if n := s.transactions(t) - before; n != 1 {
		t.Errorf("%d transactions for a vote", n)
	}
}

// TestManyGroups is for the race detector: groups store on their goroutines, and
// everything acknowledged is there after another open.
func TestManyGroups(t *testing.T) {
	path := file(t)
	s := open(t, path)
	var all sync.WaitGroup
	for i := range byte(30) {
		all.Go(func() {
			g := s.Group(GroupID{i})
			for term := uint64(1); term <= 20; term++ {
				err := errors.Join(g.SetUint64([]byte(keyTerm), term), g.SetUint64([]byte(keyVoteTerm), term),
					g.Set([]byte(keyVoteCandidate), binary.BigEndian.AppendUint64(nil, term)))
				if err != nil || !s.Known(GroupID{i}) {
					t.Error(err)
				}
			}
			if i%5 == 0 {
				if err := s.Forget(GroupID{i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	again := copied(t, path)
	for i := range byte(30) {
		if i%5 == 0 {
			sees(t, again.Group(GroupID{i}), 0, 0, "")
		} else {
			sees(t, again.Group(GroupID{i}), 20, 20, string(binary.BigEndian.AppendUint64(nil, 20)))
		}
	}
}

// The first failed write is the last one: what the disk holds is not known.
func TestFailedWriteIsFinal(t *testing.T) {
	var faults []error
	s, err := Open(file(t), nil, nil, func(err error) { faults = append(faults, err) })
	must(t, err)
	g := s.Group(GroupID{1})
	must(t, g.SetUint64([]byte(keyTerm), 1))
	must(t, s.db.Close()) // every transaction fails from here on
	var failed *FailedError
	if err := g.SetUint64([]byte(keyTerm), 2); !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	_, getErr := g.Get([]byte(keyVoteCandidate))
	_, numberErr := g.GetUint64([]byte(keyTerm))
	for i, err := range []error{
		g.SetUint64([]byte(keyTerm), 1), g.SetUint64([]byte(keyTerm), 3), g.SetUint64([]byte(keyVoteTerm), 3),
		g.Set([]byte(keyVoteCandidate), []byte("x")), s.Group(GroupID{2}).SetUint64([]byte(keyTerm), 1),
		s.Forget(GroupID{1}), s.Forget(GroupID{9}), getErr, numberErr,
	} {
		if !errors.As(err, &failed) {
			t.Errorf("call %d after the failure: %v", i, err)
		}
	}
	if len(faults) != 1 || !errors.As(faults[0], &failed) {
		t.Errorf("the owner heard %v", faults)
	}
	must(t, s.Close())
}

func TestClose(t *testing.T) {
	path := file(t)
	s, err := Open(path, nil, nil, nil)
	must(t, err)
	g := s.Group(GroupID{1})
	if _, err := Open(path, nil, nil, nil); !errors.Is(err, bbolterrors.ErrTimeout) {
		t.Errorf("opened twice: %v", err)
	}
	must(t, errors.Join(s.Close(), s.Close()))
	if err := g.SetUint64([]byte(keyTerm), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A damaged file is refused and stays as it is.
func TestDamagedFile(t *testing.T) {
	path := file(t)
	s, err := Open(path, nil, nil, nil)
	must(t, err)
	must(t, s.Group(GroupID{1}).SetUint64([]byte(keyTerm), 1))
	vote(t, s.Group(GroupID{1}), 1, "a candidate of some length")
	must(t, s.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	value := bytes.Clone(whole) // pages are written anew: every copy of the value
	for at := 0; ; {
		i := bytes.Index(value[at:], []byte("a candidate"))
		if i < 0 {
			break
		}
		at += i
		value[at] ^= 1
	}
	pages := bytes.Clone(whole)
	for i := 2 * os.Getpagesize(); i < len(pages); i++ {
		pages[i] ^= 0xff
	}
	for name, content := range map[string][]byte{
		"empty": {}, "a value": value, "pages": pages, "cut short": whole[:3*os.Getpagesize()], "something else": []byte("votes"),
	} {
		must(t, os.WriteFile(path, content, 0o600))
		var corrupt *CorruptError
		s, err := Open(path, nil, nil, nil)
		if !errors.As(err, &corrupt) || corrupt.Path != path {
			t.Errorf("%s: %v", name, err)
			if s != nil {
				must(t, s.Close())
			}
			continue
		}
		if left, err := os.ReadFile(path); err != nil || len(left) != len(content) {
			t.Errorf("%s: %d bytes are left of %d: %v", name, len(left), len(content), err)
		}
	}
}

// BenchmarkVotes is what an election costs when many groups have one.
func BenchmarkVotes(b *testing.B) {
	s := open(b, file(b))
	for round := uint64(1); b.Loop(); round++ {
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				g := s.Group(GroupID{byte(i), byte(i >> 8)})
				if err := g.SetUint64([]byte(keyTerm), round); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
}
