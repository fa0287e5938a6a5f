package metadata

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Caps on a registration.
const (
	MaxEndpoints      = 32
	MaxHostBytes      = 255
	MaxInternalBytes  = MaxHostBytes + len("[]:65535")
	MaxClusterIDBytes = 100
)

// MaxProducerIDBlock is the largest block of producer ids.
const MaxProducerIDBlock = 1_000_000

func (c SetClusterID) apply(d *draft) (any, error) {
	if d.clusterID != "" {
		if d.clusterID != c.ID {
			return nil, &ClusterIDError{Got: c.ID, Want: d.clusterID}
		}
		return nil, nil
	}
	if !validClusterID(c.ID) {
		return nil, &ClusterIDError{Got: c.ID, Want: fmt.Sprintf("1 to %d printable characters without spaces", MaxClusterIDBytes)}
	}
	d.clusterID = c.ID
	return nil, nil
}

func validClusterID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= MaxClusterIDBytes
}

func (c RegisterBroker) apply(d *draft) (any, error) {
	if reason := c.fault(); reason != "" {
		return nil, &InvalidBrokerError{ID: c.ID, Reason: reason}
	}
	b := &Broker{ID: c.ID, Directory: c.Directory, Epoch: d.index, Rack: c.Rack, Endpoints: c.Endpoints, Internal: c.Internal}
	if old, ok := d.Broker(c.ID); ok {
		if old.Directory != c.Directory && !old.Fenced {
			return nil, &BrokerIDTakenError{ID: c.ID}
		}
		b.Draining = old.Draining
	}
	d.setBroker(b)
	return b, nil
}

func (c RegisterBroker) fault() string {
	switch {
	case c.ID < 0:
		return "the id is negative"
	case c.Directory == UUID{}:
		return "the data directory has no id"
	case len(c.Rack) > MaxHostBytes:
		return "the rack's name is too long"
	case len(c.Internal) > MaxInternalBytes:
		return "the internal address is too long"
	case len(c.Endpoints) == 0 || len(c.Endpoints) > MaxEndpoints:
		return fmt.Sprintf("%d endpoints, want 1 to %d", len(c.Endpoints), MaxEndpoints)
	}
	for i, e := range c.Endpoints {
		if e.Host == "" || len(e.Host) > MaxHostBytes || e.Listener == "" || len(e.Listener) > MaxHostBytes {
			return fmt.Sprintf("endpoint %d needs a listener name and a host of at most %d bytes", i, MaxHostBytes)
		}
		if slices.ContainsFunc(c.Endpoints[:i], func(o Endpoint) bool { return o.Listener == e.Listener }) {
			return fmt.Sprintf("listener %s appears twice", e.Listener)
		}
	}
	return ""
}

func (c UnregisterBroker) apply(d *draft) (any, error) {
	if _, ok := d.Broker(c.ID); !ok {
		return nil, &UnknownBrokerError{ID: c.ID}
	}
	if held := d.PartitionsOf(c.ID); len(held) > 0 {
		return nil, &BrokerInUseError{ID: c.ID, Replicas: len(held)}
	}
	d.removeBroker(c.ID)
	return nil, nil
}

func (c FenceBrokers) apply(d *draft) (any, error) {
	results := make([]error, len(c.Brokers))
	for i, b := range c.Brokers {
		results[i] = d.fence(b, true)
	}
	return results, nil
}

func (c UnfenceBroker) apply(d *draft) (any, error) { return nil, d.fence(BrokerEpoch(c), false) }

func (d *draft) fence(e BrokerEpoch, fenced bool) error {
	old, ok := d.Broker(e.ID)
	if !ok {
		return &UnknownBrokerError{ID: e.ID}
	}
	if old.Epoch != e.Epoch {
		return &StaleBrokerEpochError{ID: e.ID, Got: e.Epoch, Current: old.Epoch}
	}
	if old.Fenced != fenced {
		b := *old
		b.Fenced = fenced
		d.setBroker(&b)
	}
	return nil
}

func (c DrainBroker) apply(d *draft) (any, error) {
	old, ok := d.Broker(c.ID)
	if !ok {
		return nil, &UnknownBrokerError{ID: c.ID}
	}
	if old.Draining != c.Drain {
		b := *old
		b.Draining = c.Drain
		d.setBroker(&b)
	}
	return nil, nil
}

func (c SetBrokerConfigs) apply(d *draft) (any, error) {
	if c.Broker == AllBrokers {
		set, err := d.newConfigSet(d.clusterConfigs, c.Expected, c.Values)
		if err != nil {
			return nil, err
		}
		d.clusterConfigs = set
		return set, nil
	}
	if _, ok := d.Broker(c.Broker); !ok {
		return nil, &UnknownBrokerError{ID: c.Broker}
	}
	set, err := d.newConfigSet(d.BrokerConfigs(c.Broker), c.Expected, c.Values)
	if err != nil {
		return nil, err
	}
	d.setBrokerConfigs(BrokerConfigs{Broker: c.Broker, ConfigSet: set})
	return set, nil
}

// Caps on what groups and features are kept.
const (
	MaxConfiguredGroups = 10_000
	MaxGroupNameBytes   = 255
	MaxFeatures         = 100
)

func (c SetGroupConfigs) apply(d *draft) (any, error) {
	if c.Group == "" || len(c.Group) > MaxGroupNameBytes {
		return nil, &InvalidConfigError{Key: c.Group, Reason: fmt.Sprintf("the name of a group has 1 to %d bytes", MaxGroupNameBytes)}
	}
	set, err := d.newConfigSet(d.GroupConfigs(c.Group), c.Expected, c.Values)
	if err != nil {
		return nil, err
	}
	i, known := slices.BinarySearchFunc(d.groupConfigs, c.Group, compareConfigGroup)
	if !known && len(d.groupConfigs) >= MaxConfiguredGroups {
		return nil, &LimitError{What: "groups with a configuration", Got: len(d.groupConfigs) + 1, Want: MaxConfiguredGroups}
	}
	d.groupConfigs = slices.Clone(d.groupConfigs)
	if known {
		d.groupConfigs = slices.Delete(d.groupConfigs, i, i+1)
	}
	if len(set.Values) == 0 {
		return ConfigSet{}, nil
	}
	d.groupConfigs = slices.Insert(d.groupConfigs, i, GroupConfigs{Group: c.Group, ConfigSet: set})
	return set, nil
}

func (c SetFeatures) apply(d *draft) (any, error) {
	if c.Expected != AnyIndex && c.Expected != d.features.Index {
		return nil, &ConfigChangedError{Expected: c.Expected, Current: d.features.Index}
	}
	if len(c.Levels) > MaxFeatures {
		return nil, &LimitError{What: "features", Got: len(c.Levels), Want: MaxFeatures}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Levels)) { // every node says the same
		if name == "" || len(name) > MaxHostBytes || c.Levels[name] < 0 {
			return nil, &InvalidFeatureError{Name: name, Level: c.Levels[name], Reason: "no feature has such a name or level"}
		}
	}
	d.features = FeatureSet{Levels: c.Levels, Index: d.index}
	if len(c.Levels) == 0 {
		d.features.Levels = nil
	}
	return nil, nil
}

func (c AllocateProducerIDs) apply(d *draft) (any, error) {
	if _, ok := d.Broker(c.Broker); !ok {
		return nil, &UnknownBrokerError{ID: c.Broker}
	}
	if c.Count < 1 || c.Count > MaxProducerIDBlock {
		return nil, &ProducerIDError{Reason: fmt.Sprintf("a block has 1 to %d, not %d", MaxProducerIDBlock, c.Count)}
	}
	if d.nextProducerID > math.MaxInt64-int64(c.Count) {
		return nil, &ProducerIDError{Reason: "all have been used"}
	}
	block := ProducerIDBlock{First: d.nextProducerID, Count: c.Count}
	d.nextProducerID += int64(c.Count)
	return block, nil
}
