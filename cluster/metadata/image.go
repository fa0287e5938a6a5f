// Package metadata is what a cluster knows about itself: its brokers, topics, partitions, dynamic
// configuration, quotas, ACLs and producer id blocks, as a pure state machine.
//
// An Image is one immutable state. Image.Apply makes the next one from a Command; it reads no
// clock, no random source and nothing outside, so that every node that applies the same commands
// in the same order holds the same image. A Machine keeps the newest image and its snapshots.
package metadata

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// UUID names a topic or a data directory for ever. The zero UUID means "none".
type UUID = [16]byte

// NoLeader is the Leader of a partition that has none.
const NoLeader int32 = -1

// Image is one state of the cluster. It is immutable: everything reached through it is shared and
// must not be changed. All methods may be called from any goroutine.
type Image struct {
	index          uint64 // of the newest command applied
	clusterID      string
	brokers        []*Broker // by id
	byName         []*Topic  // by name
	byID           []*Topic  // by topic id
	byFolded       []*Topic  // by name with dots read as underscores
	partitions     int       // over all topics
	clusterConfigs ConfigSet
	brokerConfigs  []BrokerConfigs // by broker id
	groupConfigs   []GroupConfigs  // by name of the group
	features       FeatureSet
	quotas         QuotaSet
	acls           ACLSet
	nextProducerID int64
}

// Broker is a registered broker.
type Broker struct {
	ID        int32
	Directory UUID   // of its data directory; another one is another incarnation
	Epoch     uint64 // index of its newest registration
	Rack      string // empty: none
	Endpoints []Endpoint
	Internal  string // host:port that other brokers reach it by; empty: not told
	Fenced    bool   // not heard from: gets no replicas, and its id may be taken over
	Draining  bool   // gets no replicas and no leaderships because somebody wants it so
}

// Usable says whether new replicas may be placed on the broker.
func (b *Broker) Usable() bool { return !b.Fenced && !b.Draining }

// Endpoint is one advertised address.
type Endpoint struct {
	Listener string
	Host     string
	Port     uint16
}

// Topic is one topic. Its partitions are numbered by their place in the slice.
type Topic struct {
	ID            UUID
	Name          string
	CreatedIndex  uint64
	CreatedMillis int64 // by the clock of the broker that proposed it
	Configs       ConfigSet
	Partitions    []Partition
}

// ConfigSet is a set of configuration values and the index of the command that last changed it
// (0: never), for compare-and-set.
type ConfigSet struct {
	Values map[string]string
	Index  uint64
}

// BrokerConfigs are the dynamic values of one broker.
type BrokerConfigs struct {
	Broker int32
	ConfigSet
}

// GroupConfigs are the values of one consumer group.
type GroupConfigs struct {
	Group string
	ConfigSet
}

// Index is that of the newest command applied, 0 for the empty image.
func (im *Image) Index() uint64 { return im.index }

// ClusterID is empty until SetClusterID has been applied.
func (im *Image) ClusterID() string { return im.clusterID }

// Broker returns the registered broker of that id.
func (im *Image) Broker(id int32) (*Broker, bool) {
	i, ok := slices.BinarySearchFunc(im.brokers, id, compareBrokerID)
	if !ok {
		return nil, false
	}
	return im.brokers[i], true
}

// Brokers returns all registered brokers by id.
func (im *Image) Brokers() []*Broker { return im.brokers }

// Topic returns the topic of that name.
func (im *Image) Topic(name string) (*Topic, bool) {
	i, ok := slices.BinarySearchFunc(im.byName, name, compareName)
	if !ok {
		return nil, false
	}
	return im.byName[i], true
}

// TopicByID returns the topic of that id.
func (im *Image) TopicByID(id UUID) (*Topic, bool) {
	i, ok := slices.BinarySearchFunc(im.byID, id, compareID)
	if !ok {
		return nil, false
	}
	return im.byID[i], true
}

// UsableBrokers returns the brokers that new replicas may be placed on, by id.
func (im *Image) UsableBrokers() []*Broker {
	out := make([]*Broker, 0, len(im.brokers))
	for _, b := range im.brokers {
		if b.Usable() {
			out = append(out, b)
		}
	}
	return out
}

// Topics returns all topics by name.
func (im *Image) Topics() []*Topic { return im.byName }

// PartitionCount counts the partitions of all topics.
func (im *Image) PartitionCount() int { return im.partitions }

// ClusterConfigs returns the dynamic values set for all brokers.
func (im *Image) ClusterConfigs() ConfigSet { return im.clusterConfigs }

// BrokerConfigs returns the dynamic values set for one broker.
func (im *Image) BrokerConfigs(id int32) ConfigSet {
	i, ok := slices.BinarySearchFunc(im.brokerConfigs, id, compareConfigBroker)
	if !ok {
		return ConfigSet{}
	}
	return im.brokerConfigs[i].ConfigSet
}

// GroupConfigs returns the values set for one group.
func (im *Image) GroupConfigs(group string) ConfigSet {
	i, ok := slices.BinarySearchFunc(im.groupConfigs, group, compareConfigGroup)
	if !ok {
		return ConfigSet{}
	}
	return im.groupConfigs[i].ConfigSet
}

// ConfiguredGroups returns the values of all groups that have any, by name.
func (im *Image) ConfiguredGroups() []GroupConfigs { return im.groupConfigs }

// NextProducerID is the first producer id that no block holds yet.
func (im *Image) NextProducerID() int64 { return im.nextProducerID }

func compareBrokerID(b *Broker, id int32) int             { return cmp.Compare(b.ID, id) }
func compareConfigBroker(c BrokerConfigs, id int32) int   { return cmp.Compare(c.Broker, id) }
func compareConfigGroup(c GroupConfigs, group string) int { return strings.Compare(c.Group, group) }
func compareName(t *Topic, name string) int               { return strings.Compare(t.Name, name) }
func compareID(t *Topic, id UUID) int                     { return bytes.Compare(t.ID[:], id[:]) }
func compareTopicFolded(t *Topic, name string) int        { return compareFolded(t.Name, name) }
