package config

import (
	"errors"
	"fmt"
)

// Entry is one value as it stands in a source.
type Entry struct {
	Name  string
	Value string
	Where string // file:line, variable or flag, for messages
}

// Sources are the places that values come from; later fields win over earlier ones.
type Sources struct {
	Profile map[string]string // defaults of a mode, such as weir dev
	File    []Entry           // from ParseFile
	Env     []Entry           // from ParseEnviron
	Flags   []Entry           // --set and flags, in order: the last one of a name wins

	// Hostname is advertised for a listener on all interfaces without an address of its own.
	// When it is empty such a listener is refused.
	Hostname string
}

// DevProfile is what weir dev sets beneath all other sources.
func DevProfile() map[string]string {
	return map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4", "group.initial.rebalance.delay.ms": "0"}
}

// Load builds the broker's configuration. Warnings are one line per known key that has no effect
// here. The error joins everything that is wrong: UnknownKeyError, InvalidValueError, and what
// Validate finds.
func Load(src Sources) (b *Broker, warnings []string, err error) {
	static := map[string]Setting{}
	var errs []error
	add := func(origin Origin, entries []Entry) {
		for _, e := range entries {
			k, ok := brokerKey(e.Name)
			if !ok {
				err := unknownKey(e.Name, ScopeBroker)
				err.Where = e.Where
				errs = append(errs, err)
				continue
			}
			if err := k.check(e.Value); err != nil {
				errs = append(errs, at(err, e.Where))
				continue
			}
			if k.ByRequest {
				errs = append(errs, &NotAllowedError{Key: e.Name, Reason: "it is set by request, while the broker runs"})
				continue
			}
			static[e.Name] = Setting{Value: e.Value, Origin: origin, Where: e.Where}
		}
	}
	var profile []Entry
	for _, name := range sortedNames(src.Profile) {
		profile = append(profile, Entry{Name: name, Value: src.Profile[name]})
	}
	add(FromProfile, profile)
	add(FromFile, src.File)
	add(FromEnv, src.Env)
	add(FromFlag, src.Flags)
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	b, err = build(settings{static: static, hostname: src.Hostname})
	if err != nil {
		return nil, nil, err
	}
	return b, ignoredWarnings(static), nil
}

func at(err error, where string) error {
	var invalid *InvalidValueError
	if errors.As(err, &invalid) {
		invalid.Where = where
	}
	return err
}

func ignoredWarnings(static map[string]Setting) []string {
	values := map[string]string{}
	for name := range static {
		values[name] = ""
	}
	var out []string
	for _, name := range sortedNames(values) {
		k, _ := brokerKey(name)
		if k.Status != Supported && static[name].Origin != FromProfile {
			out = append(out, fmt.Sprintf("%s%s has no effect: %s", prefix(static[name].Where), name, k.Why))
		}
	}
	return out
}
