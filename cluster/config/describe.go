package config

import (
	"slices"
	"strings"
)

// Description is one key as DescribeConfigs shows it.
type Description struct {
	Name      string
	Value     string
	Null      bool // no value; also for sensitive keys, whose value is never shown
	Source    Origin
	ReadOnly  bool
	Sensitive bool
	Type      Type
	Doc       string
	Where     string    // file:line, variable or flag of the value, for --origin
	Synonyms  []Synonym // all values that could win, strongest first; the first one did
}

// Synonym is a value that a key has, or would have if the stronger ones were not set.
type Synonym struct {
	Name   string
	Value  string
	Null   bool
	Source Origin
}

// DescribeTopic lists the keys of a topic with these overrides on broker b, sorted by name. Keys
// that Kafka has removed appear only when set.
func DescribeTopic(overrides map[string]string, b *Broker) []Description {
	return describeOverrides(overrides, ScopeTopic, FromTopic, b)
}

// DescribeGroup lists the keys of a consumer group with these values on broker b, sorted by name.
func DescribeGroup(values map[string]string, b *Broker) []Description {
	return describeOverrides(values, ScopeGroup, FromGroup, b)
}

// DescribeCluster lists the values that are set for all brokers, sorted by name, without those that single brokers have instead.
func DescribeCluster(values map[string]string) []Description {
	out := make([]Description, 0, len(values))
	for _, name := range sortedNames(values) {
		if k, ok := brokerKey(name); ok {
			s := Setting{Value: values[name], Origin: FromCluster}
			out = append(out, k.describe(s, true, !k.Dynamic, []Synonym{{Name: name, Value: s.Value, Source: FromCluster}}))
		}
	}
	return out
}

// describeOverrides describes what takes its values from itself, by origin, and else from the broker.
func describeOverrides(values map[string]string, scope Scope, origin Origin, b *Broker) []Description {
	var out []Description
	for _, k := range Keys(scope) {
		value, set := values[k.Name]
		if k.Status == Removed && !set {
			continue
		}
		inherited := b.settings.synonyms(k.sources()...)
		if len(inherited) == 0 && !k.Null {
			inherited = []Synonym{{Name: k.Name, Value: k.Default, Source: FromDefault}}
		}
		s, ok := b.settings.inherited(k)
		if set {
			s, ok = Setting{Value: value, Origin: origin}, true
			inherited = append([]Synonym{{Name: k.Name, Value: value, Source: origin}}, inherited...)
		}
		out = append(out, k.describe(s, ok, false, inherited))
	}
	return out
}

// sources names the broker keys that the key takes its default from.
func (k *Key) sources() []string {
	names := make([]string, len(k.From))
	for i, from := range k.From {
		names[i] = from.Name
	}
	return names
}

// Describe lists the keys of the broker, sorted by name: all that have an effect, and those set
// without one.
func (b *Broker) Describe() []Description {
	var out []Description
	for _, k := range Keys(ScopeBroker) {
		if _, set := b.settings.explicit(k.Name); k.Status == Supported || set || !k.Null {
			out = append(out, b.describe(k))
		}
	}
	for _, name := range b.settings.openEnded() {
		k, _ := brokerKey(name)
		out = append(out, b.describe(k))
	}
	return sortedByName(out)
}

// describe shows among the synonyms of a key the coarser names of its setting, but none before its own.
func (b *Broker) describe(k *Key) Description {
	synonyms := b.settings.synonyms(coarser(k.Name)...)
	own := slices.IndexFunc(synonyms, func(s Synonym) bool { return s.Name == k.Name })
	if own < 0 {
		own = len(synonyms)
	}
	s, ok := b.settings.broker(k)
	return k.describe(s, ok, !k.Dynamic, synonyms[own:])
}

// coarser is the name of a broker key and those of the same setting in coarser units.
func coarser(name string) []string {
	for i := range topicKeys {
		names := topicKeys[i].sources()
		if at := slices.Index(names, name); at >= 0 {
			return names[at:]
		}
	}
	return []string{name}
}

func (k *Key) describe(s Setting, ok, readOnly bool, synonyms []Synonym) Description {
	d := Description{Name: k.Name, Value: s.Value, Null: !ok, Source: s.Origin, ReadOnly: readOnly, Sensitive: k.Sensitive,
		Type: k.Type, Doc: k.Documentation(), Where: s.Where, Synonyms: synonyms}
	if k.Sensitive {
		d.Value, d.Null = "", true
		for i := range d.Synonyms {
			d.Synonyms[i].Value, d.Synonyms[i].Null = "", true
		}
	}
	return d
}

func sortedByName(d []Description) []Description {
	slices.SortFunc(d, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return d
}
