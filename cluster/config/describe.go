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

// describeOverrides describes what takes its values from itself, by origin, and else from the broker.
func describeOverrides(values map[string]string, scope Scope, origin Origin, b *Broker) []Description {
	var out []Description
	for _, k := range Keys(scope) {
		value, set := values[k.Name]
		if k.Status == Removed && !set {
			continue
		}
		var synonyms []Synonym
		if set {
			synonyms = append(synonyms, Synonym{Name: k.Name, Value: value, Source: origin})
		}
		for _, from := range k.From {
			for _, s := range b.settings.layers(from.Name) {
				synonyms = append(synonyms, Synonym{Name: from.Name, Value: s.Value, Source: s.Origin})
			}
		}
		synonyms = append(synonyms, k.defaultSynonym()...)
		s, ok := b.settings.inherited(k)
		if set {
			s, ok = Setting{Value: value, Origin: origin}, true
		}
		out = append(out, k.describe(s, ok, false, synonyms))
	}
	return out
}

// Describe lists the keys of the broker, sorted by name: all that have an effect, and those set
// without one.
func (b *Broker) Describe() []Description {
	var out []Description
	for _, k := range Keys(ScopeBroker) {
		layers := b.settings.layers(k.Name)
		if k.Status != Supported && len(layers) == 0 && k.Null {
			continue
		}
		out = append(out, b.describe(k, layers))
	}
	for _, name := range b.settings.openEnded() {
		k, _ := brokerKey(name)
		out = append(out, b.describe(k, b.settings.layers(name)))
	}
	return sortedByName(out)
}

func (b *Broker) describe(k *Key, layers []Setting) Description {
	var synonyms []Synonym
	for _, s := range layers {
		synonyms = append(synonyms, Synonym{Name: k.Name, Value: s.Value, Source: s.Origin})
	}
	s, ok := b.settings.broker(k)
	return k.describe(s, ok, !k.Dynamic, append(synonyms, k.defaultSynonym()...))
}

func (k *Key) defaultSynonym() []Synonym {
	if k.Null {
		return nil
	}
	return []Synonym{{Name: k.Name, Value: k.Default, Source: FromDefault}}
}

func (k *Key) describe(s Setting, ok, readOnly bool, synonyms []Synonym) Description {
	d := Description{Name: k.Name, Value: s.Value, Null: !ok, Source: s.Origin, ReadOnly: readOnly, Sensitive: k.Sensitive,
		Type: k.Type, Doc: k.Doc, Where: s.Where, Synonyms: synonyms}
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
