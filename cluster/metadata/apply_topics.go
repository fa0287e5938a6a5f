package metadata

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// Caps on what one configuration map may hold, whatever the keys are.
const (
	MaxConfigEntries    = 128
	MaxConfigNameBytes  = 255
	MaxConfigValueBytes = 32 << 10
)

func (c CreateTopics) apply(d *draft) (any, error) {
	results := make([]TopicResult, len(c.Topics))
	for i, t := range c.Topics {
		results[i].Topic, results[i].Err = d.createTopic(t, c)
	}
	return results, nil
}

func (d *draft) createTopic(t NewTopic, c CreateTopics) (*Topic, error) {
	if err := CheckTopicName(t.Name); err != nil {
		return nil, err
	}
	if i, ok := slices.BinarySearchFunc(d.byFolded, t.Name, compareTopicFolded); ok {
		if other := d.byFolded[i].Name; other != t.Name {
			return nil, &NameCollisionError{Name: t.Name, Other: other}
		}
		return nil, &TopicExistsError{Name: t.Name}
	}
	if t.ID == (UUID{}) {
		return nil, &InvalidTopicIDError{Name: t.Name}
	}
	if other, ok := d.TopicByID(t.ID); ok {
		return nil, &TopicExistsError{Name: other.Name}
	}
	if err := checkConfigs(t.Configs); err != nil {
		return nil, err
	}
	if len(t.Assignment) == 0 {
		return nil, &InvalidPartitionsError{Reason: "a topic needs at least one"}
	}
	if err := d.checkAssignment(t.Assignment, 0, len(t.Assignment[0])); err != nil {
		return nil, err
	}
	if err := d.checkRoom(len(t.Assignment), c.MaxPartitions); err != nil {
		return nil, err
	}
	topic := &Topic{ID: t.ID, Name: t.Name, CreatedIndex: d.index, CreatedMillis: c.NowMillis,
		Configs: ConfigSet{Values: orNil(t.Configs), Index: d.index}, Partitions: d.newPartitions(t.Assignment)}
	d.insertTopic(topic)
	return topic, nil
}

// checkAssignment checks the replicas of new partitions, the first of which is number first.
func (d *draft) checkAssignment(assignment [][]int32, first, factor int) error {
	if factor < 1 {
		return &InvalidReplicationFactorError{Factor: factor, Brokers: len(d.brokers), Usable: len(d.UsableBrokers())}
	}
	for i, replicas := range assignment {
		if len(replicas) != factor {
			return &InvalidAssignmentError{Partition: first + i, Reason: fmt.Sprintf("%d replicas where the others have %d", len(replicas), factor)}
		}
		if err := d.checkReplicas(first+i, replicas); err != nil {
			return err
		}
	}
	return nil
}

// checkReplicas wants registered brokers, each once.
func (d *draft) checkReplicas(partition int, replicas []int32) error {
	for i, id := range replicas {
		if _, ok := d.Broker(id); !ok {
			return &InvalidAssignmentError{Partition: partition, Reason: fmt.Sprintf("broker %d is not registered", id)}
		}
		if slices.Contains(replicas[:i], id) {
			return &InvalidAssignmentError{Partition: partition, Reason: fmt.Sprintf("broker %d twice", id)}
		}
	}
	return nil
}

func (d *draft) checkRoom(more int, limit int32) error {
	if total := d.partitions + more; total > int(limit) {
		return &LimitError{What: "partitions in the cluster", Got: total, Want: int(limit)}
	}
	return nil
}

func (c DeleteTopics) apply(d *draft) (any, error) {
	results := make([]TopicResult, len(c.IDs))
	for i, id := range c.IDs {
		t, ok := d.TopicByID(id)
		if !ok {
			results[i].Err = &UnknownTopicError{ID: id}
			continue
		}
		d.removeTopic(t)
		results[i].Topic = t
	}
	return results, nil
}

func (c CreatePartitions) apply(d *draft) (any, error) {
	results := make([]TopicResult, len(c.Topics))
	for i, t := range c.Topics {
		results[i].Topic, results[i].Err = d.addPartitions(t, c.MaxPartitions)
	}
	return results, nil
}

func (d *draft) addPartitions(p NewPartitions, limit int32) (*Topic, error) {
	old, ok := d.TopicByID(p.ID)
	if !ok {
		return nil, &UnknownTopicError{ID: p.ID}
	}
	current := len(old.Partitions)
	if int(p.Current) != current {
		return nil, &InvalidPartitionsError{Reason: fmt.Sprintf("the topic has %d by now, not %d", current, p.Current)}
	}
	if len(p.Assignment) == 0 {
		return nil, &InvalidPartitionsError{Reason: fmt.Sprintf("the topic has %d already", current)}
	}
	if err := d.checkAssignment(p.Assignment, current, len(old.Partitions[0].Goal())); err != nil {
		return nil, err
	}
	if err := d.checkRoom(len(p.Assignment), limit); err != nil {
		return nil, err
	}
	t := *old
	t.Partitions = slices.Concat(old.Partitions, d.newPartitions(p.Assignment))
	d.replaceTopic(&t)
	return &t, nil
}

func (c SetTopicConfigs) apply(d *draft) (any, error) {
	results := make([]TopicResult, len(c.Changes))
	for i, change := range c.Changes {
		results[i].Topic, results[i].Err = d.setTopicConfigs(change)
	}
	return results, nil
}

func (d *draft) setTopicConfigs(c TopicConfigs) (*Topic, error) {
	old, ok := d.TopicByID(c.ID)
	if !ok {
		return nil, &UnknownTopicError{ID: c.ID}
	}
	set, err := d.newConfigSet(old.Configs, c.Expected, c.Values)
	if err != nil {
		return nil, err
	}
	t := *old
	t.Configs = set
	d.replaceTopic(&t)
	return &t, nil
}

// newConfigSet is what replaces old, if old is still the one that values were computed from.
func (d *draft) newConfigSet(old ConfigSet, expected uint64, values map[string]string) (ConfigSet, error) {
	if expected != AnyIndex && expected != old.Index {
		return ConfigSet{}, &ConfigChangedError{Expected: expected, Current: old.Index}
	}
	if err := checkConfigs(values); err != nil {
		return ConfigSet{}, err
	}
	return ConfigSet{Values: orNil(values), Index: d.index}, nil
}

func checkConfigs(values map[string]string) error {
	if len(values) > MaxConfigEntries {
		return &LimitError{What: "configuration entries", Got: len(values), Want: MaxConfigEntries}
	}
	worst, reason := "", ""
	for k, v := range values {
		r := configFault(k, v)
		if r != "" && (reason == "" || k < worst) { // the least key, so that every node says the same
			worst, reason = k, r
		}
	}
	if reason != "" {
		return &InvalidConfigError{Key: worst, Reason: reason}
	}
	return nil
}

func configFault(key, value string) string {
	switch {
	case key == "" || len(key) > MaxConfigNameBytes || !utf8.ValidString(key):
		return fmt.Sprintf("the key must have 1 to %d bytes of text", MaxConfigNameBytes)
	case len(value) > MaxConfigValueBytes || !utf8.ValidString(value):
		return fmt.Sprintf("the value must have at most %d bytes of text", MaxConfigValueBytes)
	}
	return ""
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}
