package votes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// The library's keys, and ours for the record that holds both parts of a vote.
const (
	keyTerm          = "CurrentTerm"
	keyVoteTerm      = "LastVoteTerm"
	keyVoteCandidate = "LastVoteCand"
	keyVote          = "Vote"
)

const termBytes = 8

// group is one group's part of the store.
type group struct {
	store *Store
	id    GroupID

	mu          sync.Mutex // held through a write, so that a group's are in order
	values      map[string][]byte
	pendingTerm uint64
	pending     bool // a term is waiting for its candidate
}

// Set stores a value. With the candidate of a vote, the term that was set before is stored too.
func (g *group) Set(key, value []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if string(key) != keyVoteCandidate {
		return g.write(string(key), value)
	}
	if !g.pending {
		return errors.New("votes: candidate of a vote without its term")
	}
	g.pending = false // if the write fails, neither counts
	return g.write(keyVote, append(binary.BigEndian.AppendUint64(nil, g.pendingTerm), value...))
}

// SetUint64 stores a number. The term of a vote waits for its candidate.
func (g *group) SetUint64(key []byte, value uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if string(key) == keyVoteTerm {
		g.pendingTerm, g.pending = value, true
		return g.store.failed()
	}
	return g.write(string(key), binary.BigEndian.AppendUint64(nil, value))
}

// Get returns a copy of the value, nil for a key that was never set.
func (g *group) Get(key []byte) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.store.failed(); err != nil {
		return nil, err
	}
	if string(key) != keyVoteCandidate {
		return bytes.Clone(g.values[string(key)]), nil
	}
	vote := g.values[keyVote]
	if len(vote) <= termBytes {
		return nil, nil
	}
	return bytes.Clone(vote[termBytes:]), nil
}

// GetUint64 returns the number, 0 for a key that was never set. The term of a vote is the one that
// was set last, whether its candidate has come or not.
func (g *group) GetUint64(key []byte) (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.store.failed(); err != nil {
		return 0, err
	}
	value := g.values[string(key)]
	if string(key) == keyVoteTerm {
		if g.pending {
			return g.pendingTerm, nil
		}
		value = g.values[keyVote]
		value = value[:min(termBytes, len(value))]
	}
	switch len(value) {
	case 0:
		return 0, nil
	case termBytes:
		return binary.BigEndian.Uint64(value), nil
	}
	return 0, fmt.Errorf("votes: value of %s has %d bytes, want a number", key, len(value))
}

// write stores a value if it is another one.
func (g *group) write(key string, value []byte) error {
	if old, ok := g.values[key]; ok && bytes.Equal(old, value) {
		return g.store.failed()
	}
	value = append([]byte{}, value...) // never nil, which would delete the key
	if err := g.store.commit(write{key: g.key(key), value: value}); err != nil {
		return err
	}
	g.values[key] = value
	return nil
}

func (g *group) key(name string) []byte { return append(g.id[:len(g.id):len(g.id)], name...) }

func (g *group) known() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.values[keyTerm]) > 0
}

// forget removes all values.
func (g *group) forget() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = false
	if len(g.values) == 0 {
		return g.store.failed()
	}
	var writes []write
	for name := range g.values {
		writes = append(writes, write{key: g.key(name)})
	}
	if err := g.store.commit(writes...); err != nil {
		return err
	}
	clear(g.values)
	return nil
}

var _ raft.StableStore = (*group)(nil)
