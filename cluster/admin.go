package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"time"

	"weir/cluster/config"
	"weir/cluster/metadata"
)

// internalReplicas is how many replicas the broker's own topics get where
// there are brokers enough.
const internalReplicas = 3

// internalSegmentBytes keeps the segments of the broker's own topics small:
// what does not count any more is dropped by whole segments.
const internalSegmentBytes = "4194304"

// TopicSpec is a topic to create. Partitions and Replicas of -1 stand for the
// broker's defaults; both are -1 when Assignment names the replicas.
type TopicSpec struct {
	Name       string
	Partitions int
	Replicas   int
	Assignment [][]int32 // by partition, the preferred leader first
	Configs    map[string]string
}

// CreateTopics creates topics, each for itself, and returns what became of
// each in the order of specs. When it returns their partitions are open.
// validateOnly goes through all checks and creates nothing. The error is one
// of all: the controller was not reached.
func (n *Node) CreateTopics(ctx context.Context, specs []TopicSpec, validateOnly bool) ([]metadata.TopicResult, error) {
	results := make([]metadata.TopicResult, len(specs))
	limit := n.Config().Creation.MaxPartitions
	cmd := metadata.CreateTopics{NowMillis: time.Now().UnixMilli(), MaxPartitions: int32(limit)}
	room := limit - n.Image().PartitionCount()
	var places []int // in results, of the topics in cmd
	for i, s := range specs {
		t, err := n.newTopic(s, room)
		if err != nil {
			results[i].Err = err
			continue
		}
		room -= len(t.Assignment)
		cmd.Topics = append(cmd.Topics, t)
		places = append(places, i)
	}
	if len(cmd.Topics) == 0 {
		return results, nil
	}
	result, err := n.run(ctx, cmd, validateOnly)
	if err != nil {
		return nil, err
	}
	for i, r := range result.([]metadata.TopicResult) {
		results[places[i]] = r
		if r.Topic != nil && !validateOnly {
			n.awaitElections(ctx, r.Topic.ID)
		}
	}
	return results, nil
}

// electionTimeout bounds how long the creation of partitions waits for their leaders.
const electionTimeout = 5 * time.Second

// awaitElections gives new partitions time to find their leaders, so that whoever made
// them is not refused at first. That they do not is no failure of the creation.
func (n *Node) awaitElections(ctx context.Context, id metadata.UUID) {
	ctx, cancel := context.WithTimeout(ctx, electionTimeout)
	defer cancel()
	if err := n.awaitLeaders(ctx, id); err != nil {
		n.logger.Warn("new partitions have no leader yet", "topic", n.nameOf(id), "err", err)
	}
}

func (n *Node) nameOf(id metadata.UUID) string {
	if t := n.TopicByID(id); t != nil {
		return t.Name
	}
	return ""
}

// newTopic completes a spec with an id and a placement. room is how many
// partitions there may still be: looked at here as well as by the controller,
// since a short request can ask for the placement of any number.
func (n *Node) newTopic(s TopicSpec, room int) (metadata.NewTopic, error) {
	t := metadata.NewTopic{Name: s.Name, Configs: s.Configs, Assignment: s.Assignment}
	rand.Read(t.ID[:])
	if err := metadata.CheckTopicName(s.Name); err != nil {
		return t, err
	}
	if _, exists := n.Image().Topic(s.Name); exists {
		return t, &metadata.TopicExistsError{Name: s.Name} // before what is wrong with the rest, as Kafka
	}
	if err := config.ValidateTopic(s.Configs); err != nil {
		return t, err
	}
	if t.Assignment != nil {
		return t, n.refuseUnusableIn(n.Image(), 0, t.Assignment)
	}
	partitions, replicas := s.Partitions, s.Replicas
	if partitions == -1 {
		partitions = int(n.Config().Creation.NumPartitions)
	}
	if replicas == -1 {
		replicas = int(n.Config().Creation.DefaultReplicationFactor)
	}
	if partitions > room {
		return t, &metadata.LimitError{What: "partitions in the cluster", Got: partitions, Want: max(room, 0)}
	}
	var err error
	t.Assignment, err = n.Image().Place(t.ID, partitions, replicas, n.lowDisks()...)
	return t, err
}

// run applies a command, or only tries it out.
func (n *Node) run(ctx context.Context, cmd metadata.Command, validateOnly bool) (any, error) {
	if !validateOnly {
		return n.Propose(ctx, cmd)
	}
	im := n.meta().Image()
	_, result, err := im.Apply(im.Index()+1, cmd)
	return result, err
}

// EnsureTopic returns the topic of that name and creates it with the broker's
// defaults when there is none. created tells whether this call did.
func (n *Node) EnsureTopic(ctx context.Context, name string) (t *Topic, created bool, err error) {
	return n.ensure(ctx, TopicSpec{Name: name, Partitions: -1, Replicas: -1})
}

// EnsureInternalTopic is EnsureTopic for a topic that the broker itself keeps
// state in.
func (n *Node) EnsureInternalTopic(ctx context.Context, name string) (*Topic, error) {
	partitions := n.Config().Groups.OffsetsPartitions
	if name == metadata.TransactionsTopic {
		partitions = n.Config().Producers.TransactionStatePartitions
	}
	t, _, err := n.ensure(ctx, TopicSpec{
		Name:       name,
		Partitions: int(partitions),
		Replicas:   min(internalReplicas, len(n.Image().UsableBrokers())),
		Configs: map[string]string{
			"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": internalSegmentBytes,
		},
	})
	return t, err
}

func (n *Node) ensure(ctx context.Context, s TopicSpec) (*Topic, bool, error) {
	if t := n.Topic(s.Name); t != nil {
		return t, false, nil
	}
	results, err := n.CreateTopics(ctx, []TopicSpec{s}, false)
	if err != nil {
		return nil, false, err
	}
	var exists *metadata.TopicExistsError
	if err := results[0].Err; err != nil && !errors.As(err, &exists) {
		return nil, false, err
	}
	if t := n.Topic(s.Name); t != nil {
		return t, results[0].Err == nil, nil
	}
	return nil, false, &metadata.UnknownTopicError{} // created and deleted again meanwhile
}

// DeleteTopics deletes topics by id, each for itself. When it returns their
// data are gone.
func (n *Node) DeleteTopics(ctx context.Context, ids [][16]byte) ([]metadata.TopicResult, error) {
	result, err := n.Propose(ctx, metadata.DeleteTopics{IDs: ids})
	if err != nil {
		return nil, err
	}
	return result.([]metadata.TopicResult), nil
}

// AddPartitions grows a topic to total partitions. assignment names the
// replicas of the new ones, or is nil.
func (n *Node) AddPartitions(ctx context.Context, t *Topic, total int, assignment [][]int32, validateOnly bool) error {
	mt, ok := n.Image().TopicByID(t.ID)
	if !ok {
		return &metadata.UnknownTopicError{ID: t.ID}
	}
	current := len(mt.Partitions)
	if total <= current {
		return &metadata.InvalidPartitionsError{Reason: "a topic can only grow"}
	}
	if limit := n.Config().Creation.MaxPartitions; total > limit {
		return &metadata.LimitError{What: "partitions", Got: total, Want: limit}
	}
	if assignment == nil {
		var err error
		if assignment, err = n.Image().Place(t.ID, total-current, len(mt.Partitions[0].Goal()), n.lowDisks()...); err != nil {
			return err
		}
	} else if len(assignment) != total-current {
		return &metadata.InvalidAssignmentError{Partition: current, Reason: "one list of replicas is needed for each new partition"}
	} else if err := n.refuseUnusableIn(n.Image(), current, assignment); err != nil {
		return err
	}
	result, err := n.run(ctx, metadata.CreatePartitions{
		Topics:        []metadata.NewPartitions{{ID: t.ID, Current: int32(current), Assignment: assignment}},
		MaxPartitions: int32(n.Config().Creation.MaxPartitions),
	}, validateOnly)
	if err != nil {
		return err
	}
	if err := result.([]metadata.TopicResult)[0].Err; err != nil {
		return err
	}
	if !validateOnly {
		n.awaitElections(ctx, t.ID)
	}
	return nil
}

// AlterTopicConfigs replaces a topic's overrides by what change makes of them.
// Should somebody else change them meanwhile, change is asked again.
func (n *Node) AlterTopicConfigs(ctx context.Context, t *Topic, validateOnly bool, change func(old map[string]string) (map[string]string, error)) error {
	for {
		mt, ok := n.meta().Image().TopicByID(t.ID)
		if !ok {
			return &metadata.UnknownTopicError{ID: t.ID}
		}
		values, err := change(mt.Configs.Values)
		if err != nil {
			return err
		}
		if err := config.ValidateTopic(values); err != nil {
			return err
		}
		result, err := n.run(ctx, metadata.SetTopicConfigs{
			Changes: []metadata.TopicConfigs{{ID: t.ID, Expected: mt.Configs.Index, Values: values}},
		}, validateOnly)
		if err != nil {
			return err
		}
		if err = result.([]metadata.TopicResult)[0].Err; !isConfigChanged(err) {
			return err
		}
	}
}

// brokerValues are the dynamic values of one broker. Whether it is drained is among them,
// though the controller keeps it with the broker, where placement looks.
func brokerValues(im *metadata.Image, id int32) map[string]string {
	values := im.BrokerConfigs(id).Values
	if isDrained(im, id) {
		values = maps.Clone(values)
		if values == nil {
			values = make(map[string]string)
		}
		values[config.BrokerDrained] = "true"
	}
	return values
}

func isDrained(im *metadata.Image, id int32) bool {
	b, ok := im.Broker(id)
	return ok && b.Draining
}

// PerBrokerError says that a key is of single brokers, and cannot be set for all. The words are Kafka's.
type PerBrokerError struct{ Key string }

func (e *PerBrokerError) Error() string {
	return "Cannot update these configs at default cluster level, broker id must be specified: [" + e.Key + "]"
}

// AlterBrokerConfigs is AlterTopicConfigs for the dynamic values of one broker
// or, with metadata.AllBrokers, of all.
func (n *Node) AlterBrokerConfigs(ctx context.Context, broker int32, validateOnly bool, change func(old map[string]string) (map[string]string, error)) error {
	for {
		im := n.meta().Image()
		set, old := im.ClusterConfigs(), im.ClusterConfigs().Values
		if broker != metadata.AllBrokers {
			set, old = im.BrokerConfigs(broker), brokerValues(im, broker)
		}
		values, err := change(old)
		if err != nil {
			return err
		}
		if err := config.ValidateBroker(values); err != nil {
			return err
		}
		value, given := values[config.BrokerDrained]
		if given && broker == metadata.AllBrokers {
			return &PerBrokerError{Key: config.BrokerDrained}
		}
		if err := n.fits(im, broker, values); err != nil {
			return err
		}
		values = maps.Clone(values)
		delete(values, config.BrokerDrained)
		_, err = n.run(ctx, metadata.SetBrokerConfigs{Broker: broker, Expected: set.Index, Values: values}, validateOnly)
		if drain := strings.EqualFold(value, "true"); err == nil && drain != isDrained(im, broker) {
			_, err = n.run(ctx, metadata.DrainBroker{ID: broker, Drain: drain}, validateOnly)
		}
		if !isConfigChanged(err) {
			return err
		}
	}
}

// fits says whether new dynamic values go with what this broker was started with. What others were started with is not
// known here: what does not go with that is not in force there, and they say so.
func (n *Node) fits(im *metadata.Image, broker int32, values map[string]string) error {
	all, own := im.ClusterConfigs().Values, brokerValues(im, n.ID())
	switch broker {
	case metadata.AllBrokers:
		all = values
	case n.ID():
		own = values
	default:
		return nil
	}
	_, err := n.static.With(all, own)
	return err
}

// AlterGroupConfigs is AlterTopicConfigs for the values of a consumer group, which need not exist.
func (n *Node) AlterGroupConfigs(ctx context.Context, group string, validateOnly bool, change func(old map[string]string) (map[string]string, error)) error {
	for {
		set := n.meta().Image().GroupConfigs(group)
		values, err := change(set.Values)
		if err != nil {
			return err
		}
		if err := config.ValidateGroup(values, n.Config()); err != nil {
			return err
		}
		_, err = n.run(ctx, metadata.SetGroupConfigs{Group: group, Expected: set.Index, Values: values}, validateOnly)
		if !isConfigChanged(err) {
			return err
		}
	}
}

// GroupConfig is what a group of the consumer protocol runs with now.
func (n *Node) GroupConfig(group string) config.Group {
	return config.ResolveGroup(n.Image().GroupConfigs(group).Values, n.Config())
}

func isConfigChanged(err error) bool {
	var changed *metadata.ConfigChangedError
	return errors.As(err, &changed)
}
