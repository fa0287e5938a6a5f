package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// OpKind is what an incremental change does; the numbers are IncrementalAlterConfigs' (KIP-339).
type OpKind int8

const (
	OpSet      OpKind = 0
	OpDelete   OpKind = 1 // back to the default
	OpAppend   OpKind = 2 // lists only: elements that are already there are not added twice
	OpSubtract OpKind = 3 // lists only
)

// Op is one incremental change. A null value in the request must be refused by the caller.
type Op struct {
	Name  string
	Kind  OpKind
	Value string // unused by OpDelete
}

// AlterTopic applies incremental changes to the overrides of a topic and returns the new
// overrides, already valid; the given ones are left alone. APPEND and SUBTRACT on a key that the
// topic does not set start from the value it inherits, as Kafka does. Errors are UnknownKeyError,
// InvalidValueError and NotAllowedError.
func AlterTopic(overrides map[string]string, ops []Op, b *Broker) (map[string]string, error) {
	out, err := alter(overrides, ops, ScopeTopic, func(k *Key) string {
		s, _ := b.settings.inherited(k)
		return s.Value
	})
	if err != nil {
		return nil, err
	}
	return out, ValidateTopic(out)
}

// AlterBroker applies incremental changes to the dynamic values of one broker or of all, as With
// takes them, and returns the new values, already valid.
func AlterBroker(dynamic map[string]string, ops []Op, b *Broker) (map[string]string, error) {
	out, err := alter(dynamic, ops, ScopeBroker, func(k *Key) string {
		s, _ := b.settings.broker(k)
		return s.Value
	})
	if err != nil {
		return nil, err
	}
	return out, ValidateBroker(out)
}

// ValidateBroker checks dynamic values for brokers: every key known (else UnknownKeyError), none that takes effect at
// start only (else ReadOnlyError), every value allowed (else InvalidValueError). All errors are joined.
func ValidateBroker(dynamic map[string]string) error {
	var errs []error
	var readOnly []string
	for _, name := range sortedNames(dynamic) {
		k, ok := brokerKey(name)
		switch {
		case !ok:
			errs = append(errs, unknownKey(name, ScopeBroker))
		case !k.Dynamic && k.Status == Supported:
			readOnly = append(readOnly, name)
		default:
			if err := k.check(dynamic[name]); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(readOnly) > 0 {
		errs = append(errs, &ReadOnlyError{Keys: readOnly})
	}
	return errors.Join(errs...)
}

func alter(values map[string]string, ops []Op, scope Scope, inherited func(*Key) string) (map[string]string, error) {
	out := maps.Clone(values)
	if out == nil {
		out = map[string]string{}
	}
	seen := map[string]bool{}
	for _, op := range ops {
		if seen[op.Name] {
			return nil, &NotAllowedError{Key: op.Name, Reason: "it appears twice in one request"}
		}
		seen[op.Name] = true
		k, ok := keyOf(scope, op.Name)
		if !ok {
			return nil, unknownKey(op.Name, scope)
		}
		if err := k.apply(out, op, inherited); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keyOf returns the key of that name if it may be set in scope.
func keyOf(scope Scope, name string) (*Key, bool) {
	switch scope {
	case ScopeTopic:
		return topicKey(name)
	case ScopeGroup:
		return groupKey(name)
	}
	return brokerKey(name)
}

func (k *Key) apply(values map[string]string, op Op, inherited func(*Key) string) error {
	switch op.Kind {
	case OpSet:
		values[k.Name] = op.Value
		return nil
	case OpDelete:
		delete(values, k.Name)
		return nil
	case OpAppend, OpSubtract:
	default:
		return &NotAllowedError{Key: k.Name, Reason: "the operation is not SET, DELETE, APPEND or SUBTRACT"}
	}
	if k.Type != TypeList {
		return &NotAllowedError{Key: k.Name, Reason: "APPEND and SUBTRACT take list keys only, and this is a " + k.Type.String()}
	}
	current, ok := values[k.Name]
	if !ok {
		current = inherited(k)
	}
	elements := splitList(current)
	for _, e := range splitList(op.Value) {
		present := slices.Contains(elements, e)
		if op.Kind == OpAppend && !present {
			elements = append(elements, e)
		}
		if op.Kind == OpSubtract && present {
			elements = slices.DeleteFunc(elements, func(x string) bool { return x == e })
		}
	}
	values[k.Name] = strings.Join(elements, ",")
	return nil
}
