package broker

import (
	"fmt"
	"testing"
)

// TestMatcher: patterns match whole names, as topics and patterns come and go.
func TestMatcher(t *testing.T) {
	m := matcher{matches: make(map[string][]string)}
	for i, x := range []struct {
		patterns []string
		names    []string
		want     map[string][]string
	}{
		{[]string{"a.*", "b"}, []string{"a", "ab", "b", "ba"}, map[string][]string{"a.*": {"a", "ab"}, "b": {"b"}}},
		{[]string{"a.*", "b"}, []string{"a", "ab", "b", "ba"}, map[string][]string{"a.*": {"a", "ab"}, "b": {"b"}}},
		{[]string{"a.*", "a|b"}, []string{"aa", "ab", "b"}, map[string][]string{"a.*": {"aa", "ab"}, "a|b": {"b"}}},
		{[]string{"a.*", "("}, []string{"aa", "ac", "b"}, map[string][]string{"a.*": {"aa", "ac"}, "(": nil}},
		{nil, nil, map[string][]string{}},
		{[]string{"a.*"}, []string{"a"}, map[string][]string{"a.*": {"a"}}},
	} {
		patterns := make(map[string]bool)
		for _, p := range x.patterns {
			patterns[p] = true
		}
		if got := m.match(patterns, x.names); fmt.Sprint(got) != fmt.Sprint(x.want) {
			t.Errorf("pass %d: got %v, want %v", i, got, x.want)
		}
	}
}
