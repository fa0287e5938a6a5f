package config

import "strconv"

// Origin says where a value came from. Greater wins.
type Origin uint8

const (
	FromDefault Origin = iota
	FromProfile        // defaults of a mode such as weir dev
	FromFile
	FromEnv
	FromFlag
	FromCluster // set by request for all brokers
	FromBroker  // set by request for one broker
	FromTopic   // set by request for one topic
	FromGroup   // set by request for one consumer group
)

// String is the word that --origin prints.
func (o Origin) String() string {
	return [...]string{"default", "profile", "file", "env", "flag", "cluster", "broker", "topic", "group"}[o]
}

// ConfigSource is the number that DescribeConfigs uses for the origin (KIP-226).
func (o Origin) ConfigSource() int8 {
	switch o {
	case FromTopic:
		return 1
	case FromBroker:
		return 2
	case FromCluster:
		return 3
	case FromGroup:
		return 8
	case FromDefault:
		return 5
	}
	return 4
}

// Setting is a value and where it came from. Where is a file:line or the name of a variable or a
// flag, for messages; it may be empty.
type Setting struct {
	Value  string
	Origin Origin
	Where  string
}

// settings are the layers a broker's values come from, weakest last: this broker's own dynamic
// values, the cluster's, what the process was started with.
type settings struct {
	node    map[string]string
	cluster map[string]string
	static  map[string]Setting

	hostname string // advertised for a listener on all interfaces
}

// synonyms returns every value that one of the broker keys named has, the strongest layer first as Kafka does, and
// within a layer in the order of names.
func (s settings) synonyms(names ...string) []Synonym {
	var out []Synonym
	add := func(name, value string, from Origin) {
		out = append(out, Synonym{Name: name, Value: value, Source: from})
	}
	for _, name := range names {
		if v, ok := s.node[name]; ok {
			add(name, v, FromBroker)
		}
	}
	for _, name := range names {
		if v, ok := s.cluster[name]; ok {
			add(name, v, FromCluster)
		}
	}
	for _, name := range names {
		if v, ok := s.static[name]; ok {
			add(name, v.Value, v.Origin)
		}
	}
	for _, name := range names {
		if k, ok := byName[name]; ok && !k.Null {
			add(name, k.Default, FromDefault)
		}
	}
	return out
}

// explicit returns the winning explicit value of the key named.
func (s settings) explicit(name string) (Setting, bool) {
	if v, ok := s.node[name]; ok {
		return Setting{Value: v, Origin: FromBroker}, true
	}
	if v, ok := s.cluster[name]; ok {
		return Setting{Value: v, Origin: FromCluster}, true
	}
	v, ok := s.static[name]
	return v, ok
}

// broker returns the value of a broker key; ok is false when it is null.
func (s settings) broker(k *Key) (v Setting, ok bool) {
	if v, ok := s.explicit(k.Name); ok {
		return v, true
	}
	return Setting{Value: k.Default}, !k.Null
}

// inherited returns the value a key of topics or groups has when they do not set it.
func (s settings) inherited(k *Key) (v Setting, ok bool) {
	for _, from := range k.From {
		if v, ok := s.explicit(from.Name); ok {
			v.Value = from.convert(v.Value)
			return v, true
		}
	}
	return Setting{Value: k.Default}, !k.Null
}

// convert brings a value into the unit of the key that takes it. Negative values mean "never" in
// every unit; what does not fit is cut to the largest value.
func (s Source) convert(value string) string {
	if s.Factor <= 1 {
		return value
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return value // was checked when it was set
	}
	if n < 0 {
		return "-1"
	}
	if n > maxLong/s.Factor {
		return noLimit
	}
	return strconv.FormatInt(n*s.Factor, 10)
}

// openEnded returns the static settings whose keys are not in the table but belong to a family
// of names, such as ssl.*.
func (s settings) openEnded() []string {
	var out []string
	for name := range s.static {
		if _, ok := byName[name]; !ok {
			out = append(out, name)
		}
	}
	return out
}
