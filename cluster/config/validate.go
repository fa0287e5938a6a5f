package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Validator checks a value that has already been parsed by the key's type. String describes
// what is allowed, in words that fit behind "allowed: ".
type Validator interface {
	check(value string) bool
	String() string
}

// check tests value by the key's type and validator.
func (k *Key) check(value string) error {
	if k.Status == Removed {
		return nil
	}
	if !k.Type.parses(value) {
		return &InvalidValueError{Key: k.Name, Value: k.shown(value), Allowed: k.Type.String() + ", " + k.Allowed()}
	}
	if k.Valid != nil && !k.Valid.check(strings.TrimSpace(value)) {
		return &InvalidValueError{Key: k.Name, Value: k.shown(value), Allowed: k.Allowed()}
	}
	return nil
}

// shown hides what must not appear in messages.
func (k *Key) shown(value string) string {
	if k.Sensitive {
		return "(hidden)"
	}
	return value
}

func (t Type) parses(value string) bool {
	value = strings.TrimSpace(value)
	switch t {
	case TypeBool:
		_, ok := parseBool(value)
		return ok
	case TypeInt:
		_, err := strconv.ParseInt(value, 10, 32)
		return err == nil
	case TypeLong:
		_, err := strconv.ParseInt(value, 10, 64)
		return err == nil
	case TypeDouble:
		f, err := strconv.ParseFloat(value, 64)
		return err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return true
}

// parseBool takes true and false in any case, as Kafka does, and nothing else.
func parseBool(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// splitList cuts a list value at commas; empty elements are dropped.
func splitList(s string) []string {
	var out []string
	for e := range strings.SplitSeq(s, ",") {
		if e = strings.TrimSpace(e); e != "" {
			out = append(out, e)
		}
	}
	return out
}

// between allows min ≤ value ≤ max.
type between struct{ min, max int64 }

func atLeast(min int64) Validator { return between{min, math.MaxInt64} }

func (b between) check(value string) bool {
	n, err := strconv.ParseInt(value, 10, 64)
	return err == nil && b.min <= n && n <= b.max
}

func (b between) String() string {
	if b.max == math.MaxInt64 {
		return fmt.Sprintf("at least %d", b.min)
	}
	return fmt.Sprintf("%d to %d", b.min, b.max)
}

// either allows one value outside a range, such as gzip's -1.
type either struct {
	one  int64
	rest between
}

func (e either) check(value string) bool {
	return value == strconv.FormatInt(e.one, 10) || e.rest.check(value)
}

func (e either) String() string { return fmt.Sprintf("%d, or %s", e.one, e.rest) }

// ratio allows min ≤ value ≤ max for doubles.
type ratio struct{ min, max float64 }

func (r ratio) check(value string) bool {
	f, err := strconv.ParseFloat(value, 64)
	return err == nil && r.min <= f && f <= r.max
}

func (r ratio) String() string { return fmt.Sprintf("%g to %g", r.min, r.max) }

// oneOf allows the listed words.
type oneOf []string

func (o oneOf) check(value string) bool { return slices.Contains(o, value) }
func (o oneOf) String() string          { return "one of " + strings.Join(o, ", ") }

// subsetOf allows a list of the listed words, with at least one element and none twice.
type subsetOf []string

func (o subsetOf) check(value string) bool {
	elements := splitList(value)
	seen := map[string]bool{}
	for _, e := range elements {
		if !slices.Contains(o, e) || seen[e] {
			return false
		}
		seen[e] = true
	}
	return len(elements) > 0
}

func (o subsetOf) String() string { return "a list of " + strings.Join(o, ", ") }

// notServed refuses every value but the default, and says that the feature is missing.
type notServed struct{ only, feature string }

func (n notServed) check(value string) bool { return strings.EqualFold(value, n.only) }
func (n notServed) String() string {
	return fmt.Sprintf("%s (%s is not served yet)", n.only, n.feature)
}

// throttledReplicas is Kafka's list of partition:broker pairs, or *.
type throttledReplicas struct{}

func (throttledReplicas) check(value string) bool {
	if value == "*" {
		return true
	}
	for _, e := range splitList(value) {
		p, b, ok := strings.Cut(e, ":")
		if !ok || !TypeInt.parses(p) || !TypeInt.parses(b) {
			return false
		}
	}
	return true
}

func (throttledReplicas) String() string { return "a list of partition:broker pairs, or *" }

// Kafka's two ways to choose the replica that a consumer reads from. What stands before the
// names, a package, is not looked at: plugins of managed services have others.
const (
	rackAwareSelector = "RackAwareReplicaSelector"
	leaderSelector    = "LeaderSelector"
)

func isRackAware(class string) bool { return strings.HasSuffix(class, rackAwareSelector) }

// replicaSelector takes the two selectors that are built in.
type replicaSelector struct{}

func (replicaSelector) check(value string) bool {
	return value == "" || isRackAware(value) || strings.HasSuffix(value, leaderSelector)
}

func (replicaSelector) String() string {
	return "org.apache.kafka.common.replica." + rackAwareSelector + ", or empty for the leader (other classes cannot be loaded)"
}

// standardAuthorizer is Kafka's, the one that is built in.
const standardAuthorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"

// authorizer takes that, or none. Whoever asks for another one is not to run without.
type authorizer struct{}

func (authorizer) check(value string) bool { return value == "" || value == standardAuthorizer }
func (authorizer) String() string {
	return standardAuthorizer + ", or empty for none (other classes cannot be loaded)"
}

// principals takes a list of Type:name.
type principals struct{}

func (principals) check(value string) bool {
	for _, p := range splitPrincipals(value) {
		if kind, name, ok := strings.Cut(p, ":"); !ok || kind == "" || name == "" {
			return false
		}
	}
	return true
}

func (principals) String() string { return "principals such as User:alice, with ; between them" }

// splitPrincipals cuts at semicolons, since names may hold commas; empty elements are dropped.
func splitPrincipals(s string) []string {
	var out []string
	for p := range strings.SplitSeq(s, ";") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}
