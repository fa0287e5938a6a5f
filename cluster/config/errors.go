package config

import (
	"fmt"
	"strings"
)

// InvalidValueError says that a key does not take a value. It is INVALID_CONFIG on the wire.
type InvalidValueError struct {
	Key     string
	Value   string // "(hidden)" for sensitive keys
	Allowed string // what the key takes, in words
	Where   string // file:line or variable; empty when the value came by request
}

func (e *InvalidValueError) Error() string {
	return fmt.Sprintf("%sinvalid value %q for %s: allowed: %s", prefix(e.Where), e.Value, e.Key, e.Allowed)
}

// UnknownKeyError says that no such key exists in the scope. It is INVALID_CONFIG on the wire.
type UnknownKeyError struct {
	Key        string
	Where      string
	Suggestion string // the nearest known key, or empty
}

// unknownKey suggests for a topic's key the broker's default of it, where a broker's is wanted.
func unknownKey(name string, scope Scope) *UnknownKeyError {
	err := &UnknownKeyError{Key: name, Suggestion: suggest(name, scope)}
	if k, ok := topicKey(name); ok && scope == ScopeBroker && len(k.From) > 0 {
		err.Suggestion = k.From[0].Name
	}
	return err
}

func (e *UnknownKeyError) Error() string {
	msg := fmt.Sprintf("%sunknown configuration key %q", prefix(e.Where), e.Key)
	if e.Suggestion != "" {
		msg += fmt.Sprintf("; did you mean %q?", e.Suggestion)
	}
	return msg
}

// ReadOnlyError says that keys of a broker take effect only at its start. It is INVALID_REQUEST on the wire, with
// Kafka's words, which tools look for.
type ReadOnlyError struct{ Keys []string }

func (e *ReadOnlyError) Error() string {
	return fmt.Sprintf("Cannot update these configs dynamically: [%s]; they take effect at start: set them in the file, the environment or by --set",
		strings.Join(e.Keys, ", "))
}

// NotAllowedError says that a known key cannot be changed in the way asked for. It is INVALID_CONFIG on the wire.
type NotAllowedError struct {
	Key    string
	Reason string
}

func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("cannot change %s: %s", e.Key, e.Reason)
}

// SyntaxError names the place in a configuration file that could not be read.
type SyntaxError struct {
	Where  string // file:line
	Reason string
}

func (e *SyntaxError) Error() string { return prefix(e.Where) + e.Reason }

func prefix(where string) string {
	if where == "" {
		return ""
	}
	return where + ": "
}

// suggest returns the key in scope that is nearest to name, or "" when nothing is near.
func suggest(name string, scope Scope) string {
	best, bestDistance := "", max(2, len(name)/4)+1
	lower := strings.ToLower(name)
	for _, k := range sorted {
		if k.Scope&scope == 0 {
			continue
		}
		if d := EditDistance(lower, k.Name, bestDistance); d < bestDistance {
			best, bestDistance = k.Name, d
		}
	}
	return best
}

// EditDistance counts insertions, deletions, substitutions and swaps of neighbours, in bytes, and
// gives up with limit when the strings cannot be nearer than that.
func EditDistance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return min(prev[len(b)], limit)
}
