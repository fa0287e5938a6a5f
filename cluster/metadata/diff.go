package metadata

import (
	"bytes"
	"slices"
)

// Changes are the differences between two images, as a node needs them to bring what it runs in
// line. Topics are in the order of their ids.
type Changes struct {
	Created       []*Topic
	Deleted       []*Topic
	Changed       []TopicChange
	Brokers       bool // a broker came, went or changed
	BrokerConfigs bool // dynamic values of a broker or of all
}

// TopicChange is a topic of which something changed: partitions were added, leaders or
// configuration changed.
type TopicChange struct{ Old, New *Topic }

// Empty says that nothing differs.
func (c *Changes) Empty() bool {
	return len(c.Created)+len(c.Deleted)+len(c.Changed) == 0 && !c.Brokers && !c.BrokerConfigs
}

// Diff compares two images of one machine. It costs one comparison of pointers per topic.
func Diff(old, new *Image) Changes {
	c := Changes{
		Brokers:       !slices.Equal(old.brokers, new.brokers),
		BrokerConfigs: old.clusterConfigs.Index != new.clusterConfigs.Index || !slices.EqualFunc(old.brokerConfigs, new.brokerConfigs, sameConfigs),
	}
	a, b := old.byID, new.byID
	for len(a) > 0 || len(b) > 0 {
		if len(a) > 0 && len(b) > 0 && a[0] == b[0] {
			a, b = a[1:], b[1:]
			continue
		}
		switch order := compareHeads(a, b); {
		case order < 0:
			c.Deleted, a = append(c.Deleted, a[0]), a[1:]
		case order > 0:
			c.Created, b = append(c.Created, b[0]), b[1:]
		default:
			c.Changed = append(c.Changed, TopicChange{Old: a[0], New: b[0]})
			a, b = a[1:], b[1:]
		}
	}
	return c
}

// compareHeads says which of two lists sorted by id has the smaller first topic; an empty one has
// the greatest.
func compareHeads(a, b []*Topic) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return bytes.Compare(a[0].ID[:], b[0].ID[:])
}

func sameConfigs(a, b BrokerConfigs) bool { return a.Broker == b.Broker && a.Index == b.Index }
