package metadata

import "fmt"

// GroupVersion is the feature of the consumer protocol of groups (KIP-848), from level 1 on.
const GroupVersion = "group.version"

// TransactionVersion is that of transactions: at level 2 clients give each an epoch of its own, and need not announce its
// partitions (KIP-890). They go by the level, and the broker by the versions of their requests.
const TransactionVersion = "transaction.version"

// Feature is something that all brokers of a cluster do, or all leave, by a level that is agreed on (KIP-584).
type Feature struct {
	Name     string
	Min, Max int16 // the levels that this version of Weir knows, both inclusive
	Default  int16 // the level while nobody has set one
}

// featureTable is the one list of features. Levels that are 0 are off.
var featureTable = []Feature{
	{Name: GroupVersion, Max: 1, Default: 1},
	{Name: TransactionVersion, Max: 2, Default: 2},
}

// Features are all features that this version of Weir knows. They are shared and must not be changed.
func Features() []Feature { return featureTable }

// FeatureNamed finds a feature.
func FeatureNamed(name string) (Feature, bool) {
	for _, f := range featureTable {
		if f.Name == name {
			return f, true
		}
	}
	return Feature{}, false
}

// FeatureSet are the levels that have been set, and the index of the command that last changed them (0: never),
// for compare-and-set.
type FeatureSet struct {
	Levels map[string]int16
	Index  uint64
}

// Features returns the levels that have been set.
func (im *Image) Features() FeatureSet { return im.features }

// FeatureLevel is the level of a feature, its default while nobody has set one.
func (im *Image) FeatureLevel(name string) int16 {
	if level, set := im.features.Levels[name]; set {
		return level
	}
	f, _ := FeatureNamed(name)
	return f.Default
}

// UpgradeKind is what may become of a feature's level; the numbers are those of UpdateFeatures (KIP-778).
type UpgradeKind int8

const (
	Upgrade         UpgradeKind = 1
	SafeDowngrade   UpgradeKind = 2 // nothing that is kept gets lost
	UnsafeDowngrade UpgradeKind = 3
)

// FeatureUpdate is the wish for another level.
type FeatureUpdate struct {
	Name  string
	Level int16
	Kind  UpgradeKind
}

// CheckFeature says whether a level may be set, as this version of Weir sees it: InvalidFeatureError. No level
// of any feature has brokers keep what a lower one could not read, so both kinds of downgrade may do the same.
func (im *Image) CheckFeature(u FeatureUpdate) error {
	refuse := func(format string, args ...any) error {
		return &InvalidFeatureError{Name: u.Name, Level: u.Level, Reason: fmt.Sprintf(format, args...)}
	}
	f, known := FeatureNamed(u.Name)
	current := im.FeatureLevel(u.Name)
	switch {
	case u.Kind < Upgrade || u.Kind > UnsafeDowngrade:
		return refuse("there is no type of upgrade %d", u.Kind)
	case !known:
		return refuse("there is no such feature")
	case u.Level < f.Min || u.Level > f.Max:
		return refuse("levels are %d to %d", f.Min, f.Max)
	case u.Level < current && u.Kind == Upgrade:
		return refuse("it is at %d, and this is to be no downgrade", current)
	case u.Level > current && u.Kind != Upgrade:
		return refuse("it is at %d, and this is to be a downgrade", current)
	}
	return nil
}
