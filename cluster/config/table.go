package config

import (
	"cmp"
	"slices"
)

// sorted and byName are the one table of keys, put together from the parts in keys_*.go.
var sorted, byName = buildTable(topicKeys, brokerKeys, groupKeys, ignoredKeys)

func buildTable(parts ...[]Key) ([]*Key, map[string]*Key) {
	var all []*Key
	names := map[string]*Key{}
	for _, part := range parts {
		for i := range part {
			k := &part[i]
			all = append(all, k)
			names[k.Name] = k
		}
	}
	slices.SortFunc(all, func(a, b *Key) int { return cmp.Compare(a.Name, b.Name) })
	return all, names
}
