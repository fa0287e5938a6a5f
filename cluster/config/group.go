package config

import (
	"errors"
	"fmt"
	"time"
)

// Group holds the values that one group of the consumer protocol runs with.
type Group struct {
	HeartbeatInterval time.Duration
	SessionTimeout    time.Duration
}

// ResolveGroup returns what a group with these values runs with on broker b. They must have passed ValidateGroup; as
// the bounds may have changed since, they are brought between them.
func ResolveGroup(values map[string]string, b *Broker) Group {
	cfg := &b.Groups.Consumer
	inherited := Group{HeartbeatInterval: cfg.HeartbeatInterval, SessionTimeout: cfg.SessionTimeout}
	if len(values) == 0 {
		return inherited
	}
	r := groupReader(values, b)
	bounded := func(name string) time.Duration {
		return r.within(name, groupBounds[name].least, groupBounds[name].most)
	}
	g := Group{HeartbeatInterval: bounded("consumer.heartbeat.interval.ms"), SessionTimeout: bounded("consumer.session.timeout.ms")}
	if r.err != nil {
		return inherited
	}
	return g
}

func groupReader(values map[string]string, b *Broker) *reader {
	return &reader{value: func(k *Key) (Setting, bool) {
		if k.Scope&ScopeBroker != 0 {
			return b.settings.broker(k)
		}
		if v, ok := values[k.Name]; ok {
			return Setting{Value: v, Origin: FromGroup}, true
		}
		return b.settings.inherited(k)
	}}
}

// AlterGroup applies incremental changes to the values of a group, as AlterTopic does to those of a topic.
func AlterGroup(values map[string]string, ops []Op, b *Broker) (map[string]string, error) {
	out, err := alter(values, ops, ScopeGroup, func(k *Key) string {
		s, _ := b.settings.inherited(k)
		return s.Value
	})
	if err != nil {
		return nil, err
	}
	return out, ValidateGroup(out, b)
}

// ValidateGroup checks the values of a group: every key known (else UnknownKeyError), every value allowed and within
// the bounds of broker b, and the session longer than the interval of heartbeats (else InvalidValueError).
func ValidateGroup(values map[string]string, b *Broker) error {
	var errs []error
	r := groupReader(values, b)
	for _, name := range sortedNames(values) {
		k, ok := groupKey(name)
		if !ok {
			errs = append(errs, unknownKey(name, ScopeGroup))
			continue
		}
		if err := k.check(values[name]); err != nil {
			errs = append(errs, err)
			continue
		}
		bounds := groupBounds[name]
		if low, high := r.long(bounds.least), r.long(bounds.most); r.long(name) < low || r.long(name) > high {
			errs = append(errs, &InvalidValueError{Key: name, Value: values[name], Allowed: fmt.Sprintf("%d to %d, as %s and %s have it", low, high, bounds.least, bounds.most)})
		}
	}
	if len(errs) > 0 || len(values) == 0 {
		return errors.Join(errs...)
	}
	const session, interval = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
	if r.long(session) <= r.long(interval) {
		return &InvalidValueError{Key: session, Value: fmt.Sprint(r.long(session)), Allowed: fmt.Sprintf("more than %s, %d", interval, r.long(interval))}
	}
	return r.err
}
