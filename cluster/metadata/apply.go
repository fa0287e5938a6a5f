package metadata

import (
	"fmt"
	"slices"
)

// Apply returns the image after command c at that index of the controller's log, and the command's
// result. A refused command gives one of the errors of this package and an image that differs only
// in its index: the refusal is as much a part of history as a change is. To try a command without
// doing it, apply it at Index()+1 and drop the image.
//
// The image keeps slices and maps of c, which must not be changed afterwards. An index that is
// not after the image's own panics: going on would make nodes differ.
func (im *Image) Apply(index uint64, c Command) (next *Image, result any, err error) {
	if index <= im.index {
		panic(fmt.Sprintf("metadata: command at index %d after index %d", index, im.index))
	}
	d := &draft{Image: *im}
	d.index = index
	if result, err = c.apply(d); err != nil {
		same := *im
		same.index = index
		return &same, nil, err
	}
	return &d.Image, result, nil
}

// draft is the image that a command is making. Its slices are the old image's until they are
// changed for the first time.
type draft struct {
	Image
	ownsTopics  bool
	ownTopic    map[*Topic]bool // topics whose partitions no other image has
	ownsBrokers bool
	ownsConfigs bool
	ownsQuotas  bool
}

func (d *draft) ownTopics() {
	if d.ownsTopics {
		return
	}
	d.ownsTopics = true
	d.byName, d.byID, d.byFolded = slices.Clone(d.byName), slices.Clone(d.byID), slices.Clone(d.byFolded)
}

func (d *draft) insertTopic(t *Topic) {
	d.ownTopics()
	d.byName = insert(d.byName, t.Name, t, compareName)
	d.byID = insert(d.byID, t.ID, t, compareID)
	d.byFolded = insert(d.byFolded, t.Name, t, compareTopicFolded)
	d.partitions += len(t.Partitions)
}

func (d *draft) removeTopic(t *Topic) {
	d.ownTopics()
	d.byName = remove(d.byName, t.Name, compareName)
	d.byID = remove(d.byID, t.ID, compareID)
	d.byFolded = remove(d.byFolded, t.Name, compareTopicFolded)
	d.partitions -= len(t.Partitions)
}

// replaceTopic puts t in the place of the topic with its id and name.
func (d *draft) replaceTopic(t *Topic) {
	d.ownTopics()
	old, _ := d.TopicByID(t.ID)
	d.partitions += len(t.Partitions) - len(old.Partitions)
	replace(d.byName, t.Name, t, compareName)
	replace(d.byID, t.ID, t, compareID)
	replace(d.byFolded, t.Name, t, compareTopicFolded)
}

func (d *draft) setBroker(b *Broker) {
	if !d.ownsBrokers {
		d.brokers, d.ownsBrokers = slices.Clone(d.brokers), true
	}
	if _, ok := d.Broker(b.ID); ok {
		replace(d.brokers, b.ID, b, compareBrokerID)
		return
	}
	d.brokers = insert(d.brokers, b.ID, b, compareBrokerID)
}

func (d *draft) removeBroker(id int32) {
	d.brokers = remove(slices.Clone(d.brokers), id, compareBrokerID)
	d.brokerConfigs = slices.DeleteFunc(slices.Clone(d.brokerConfigs), func(c BrokerConfigs) bool { return c.Broker == id })
}

func (d *draft) setBrokerConfigs(c BrokerConfigs) {
	if !d.ownsConfigs {
		d.brokerConfigs, d.ownsConfigs = slices.Clone(d.brokerConfigs), true
	}
	i, ok := slices.BinarySearchFunc(d.brokerConfigs, c.Broker, compareConfigBroker)
	if ok {
		d.brokerConfigs[i] = c
		return
	}
	d.brokerConfigs = slices.Insert(d.brokerConfigs, i, c)
}

func insert[T, K any](s []T, key K, v T, compare func(T, K) int) []T {
	i, _ := slices.BinarySearchFunc(s, key, compare)
	return slices.Insert(s, i, v)
}

func remove[T, K any](s []T, key K, compare func(T, K) int) []T {
	if i, ok := slices.BinarySearchFunc(s, key, compare); ok {
		return slices.Delete(s, i, i+1)
	}
	return s
}

func replace[T, K any](s []T, key K, v T, compare func(T, K) int) {
	if i, ok := slices.BinarySearchFunc(s, key, compare); ok {
		s[i] = v
	}
}
