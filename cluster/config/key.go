// Package config holds every configuration key that Weir knows, the sources a value can come
// from, and the typed structs that the rest of the broker reads.
//
// Names, units and meanings are Kafka's, so that a server.properties, a Connect worker or a
// Terraform file works as it is. The package is pure: it reads no file, no clock and no
// environment except through what the caller hands to Load.
package config

import "strings"

// Type is the kind of value a key takes; the numbers are those of DescribeConfigs (KIP-226,
// KIP-569).
type Type int8

const (
	TypeBool     Type = 1
	TypeString   Type = 2
	TypeInt      Type = 3 // 32 bit
	TypeLong     Type = 5 // 64 bit
	TypeDouble   Type = 6
	TypeList     Type = 7 // comma separated
	TypePassword Type = 9
)

// String returns the word used in messages.
func (t Type) String() string {
	switch t {
	case TypeBool:
		return "boolean"
	case TypeInt:
		return "int"
	case TypeLong:
		return "long"
	case TypeDouble:
		return "double"
	case TypeList:
		return "list"
	case TypePassword:
		return "password"
	}
	return "string"
}

// Scope says where a key may be set.
type Scope uint8

const (
	ScopeBroker Scope = 1 << iota
	ScopeTopic
	ScopeGroup
	ScopeBoth = ScopeBroker | ScopeTopic
)

// Status says what setting a key does.
type Status uint8

const (
	// Supported keys have an effect.
	Supported Status = iota
	// Ignored keys are Kafka's, are accepted and described, and change nothing here.
	Ignored
	// Removed keys were dropped by Kafka 4.0; old tools still send them. They are accepted, and
	// described only where somebody set them.
	Removed
)

// A Source is a broker key from which a key of topics or groups takes its default, or an older, coarser name
// of the same broker setting: value × Factor is the value in the unit of the key that names it.
type Source struct {
	Name   string
	Factor int64
}

// Key describes one configuration key.
type Key struct {
	Name      string
	Type      Type
	Scope     Scope
	Status    Status
	Default   string
	Null      bool // there is no default: the value is null until set
	Valid     Validator
	Doc       string // one line; units in words; see Documentation
	Sensitive bool
	Dynamic   bool     // a broker key that may be changed while the broker runs
	ByRequest bool     // a broker key that is set in no other way, and for one broker only
	From      []Source // for keys of topics and groups: where the default comes from, finest first
	Why       string   // for ignored keys: why they mean nothing here
}

// Allowed describes the values that the key takes, for messages.
func (k *Key) Allowed() string {
	if k.Valid == nil {
		return "any " + k.Type.String()
	}
	return k.Valid.String()
}

// Documentation is what a user is told of the key: what it means, and that it has no effect here where it has none.
func (k *Key) Documentation() string {
	if k.Status == Supported {
		return k.Doc
	}
	return k.Doc + " Accepted without effect: " + k.Why + "."
}

// Lookup returns the key of that name. The result is shared and must not be changed.
func Lookup(name string) (*Key, bool) {
	k, ok := byName[name]
	return k, ok
}

// Keys returns all keys that may be set in scope, sorted by name. The elements are shared and
// must not be changed.
func Keys(scope Scope) []*Key {
	var out []*Key
	for _, k := range sorted {
		if k.Scope&scope != 0 {
			out = append(out, k)
		}
	}
	return out
}

// topicKey returns the key of that name if topics take it.
func topicKey(name string) (*Key, bool) {
	k, ok := byName[name]
	return k, ok && k.Scope&ScopeTopic != 0
}

// groupKey returns the key of that name if groups take it.
func groupKey(name string) (*Key, bool) {
	k, ok := byName[name]
	return k, ok && k.Scope&ScopeGroup != 0
}

// brokerKey returns the key of that name if brokers take it. Names of an open-ended family, such
// as ssl.*, get a key made for them.
func brokerKey(name string) (*Key, bool) {
	if k, ok := byName[name]; ok {
		return k, k.Scope&ScopeBroker != 0
	}
	for _, p := range ignoredPrefixes {
		if strings.HasPrefix(name, p.prefix) {
			return &Key{Name: name, Type: TypeString, Scope: ScopeBroker, Status: Ignored, Null: true, Doc: "Kafka's own.", Sensitive: isSecretName(name), Why: p.why}, true
		}
	}
	return nil, false
}

// isSecretName tells names whose values must never be shown, also among keys that are ignored.
func isSecretName(name string) bool {
	return strings.Contains(name, "password") || strings.Contains(name, "secret") || strings.Contains(name, "jaas") ||
		strings.Contains(name, "master.key") || strings.Contains(name, "keystore.key")
}
