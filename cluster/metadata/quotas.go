package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// QuotaNameKind says which users, or client ids, a QuotaEntity names. The numbers are stored.
type QuotaNameKind byte

const (
	QuotaAny     QuotaNameKind = 0 // all of them together: nothing is said of it
	QuotaDefault QuotaNameKind = 1 // each that no other quota names
	QuotaNamed   QuotaNameKind = 2 // the one of that name
)

// QuotaName is the user or the client id of a QuotaEntity.
type QuotaName struct {
	Kind QuotaNameKind
	Name string // not empty, and only where Kind is QuotaNamed
}

func (n QuotaName) compare(o QuotaName) int {
	return cmp.Or(cmp.Compare(n.Kind, o.Kind), strings.Compare(n.Name, o.Name))
}

func (n QuotaName) fault() string {
	switch {
	case n.Kind > QuotaNamed:
		return "there is no such kind of name"
	case (n.Kind == QuotaNamed) != (n.Name != ""):
		return "a name is missing, or there should be none"
	case len(n.Name) > MaxQuotaNameBytes:
		return fmt.Sprintf("a name has %d bytes, more than %d", len(n.Name), MaxQuotaNameBytes)
	}
	return ""
}

// QuotaEntity is whom quotas are for: users, client ids, or client ids of users. It says something of at least one.
type QuotaEntity struct{ User, ClientID QuotaName }

func (e QuotaEntity) compare(o QuotaEntity) int {
	return cmp.Or(e.User.compare(o.User), e.ClientID.compare(o.ClientID))
}

func (e QuotaEntity) fault() string {
	if e == (QuotaEntity{}) {
		return "neither a user nor a client id is named"
	}
	return cmp.Or(e.User.fault(), e.ClientID.fault())
}

// ClientQuota are the quotas of one entity, by Kafka's names, each above 0.
type ClientQuota struct {
	Entity QuotaEntity
	Values map[string]float64
}

// QuotaSet are all quotas in the order of their entities, and the index of the command that last changed them (0: never).
type QuotaSet struct {
	Clients []ClientQuota
	Index   uint64
}

// Quotas returns the quotas of clients.
func (im *Image) Quotas() QuotaSet { return im.quotas }

// Caps on quotas.
const (
	MaxQuotaEntities  = 10_000
	MaxQuotaNameBytes = 255
	MaxQuotaValues    = 16 // of one entity
)

// AlterQuotas changes quotas of clients; each change succeeds or fails alone. The result is []error in the order of
// Changes: InvalidQuotaError, LimitError.
type AlterQuotas struct{ Changes []QuotaChange }

// QuotaChange sets those quotas of an entity that it names, and removes those that it names with 0. What it does not name
// stays. An entity without quotas is forgotten.
type QuotaChange struct {
	Entity QuotaEntity
	Values map[string]float64
}

func (c AlterQuotas) apply(d *draft) (any, error) {
	errs := make([]error, len(c.Changes))
	for i, change := range c.Changes {
		errs[i] = d.alterQuota(change)
	}
	return errs, nil
}

func (d *draft) alterQuota(c QuotaChange) error {
	if reason := c.fault(); reason != "" {
		return &InvalidQuotaError{Reason: reason}
	}
	i, known := slices.BinarySearchFunc(d.quotas.Clients, c.Entity, compareQuotaEntity)
	values := make(map[string]float64, len(c.Values))
	if known {
		maps.Copy(values, d.quotas.Clients[i].Values)
	}
	maps.Copy(values, c.Values)
	maps.DeleteFunc(values, func(_ string, v float64) bool { return v == 0 })
	switch {
	case len(values) > MaxQuotaValues:
		return &LimitError{What: "quotas of one entity", Got: len(values), Want: MaxQuotaValues}
	case !known && len(values) > 0 && len(d.quotas.Clients) >= MaxQuotaEntities:
		return &LimitError{What: "entities with quotas", Got: len(d.quotas.Clients) + 1, Want: MaxQuotaEntities}
	case known && maps.Equal(values, d.quotas.Clients[i].Values), !known && len(values) == 0:
		return nil // as it is
	}
	d.ownQuotas()
	switch {
	case len(values) == 0:
		d.quotas.Clients = slices.Delete(d.quotas.Clients, i, i+1)
	case known:
		d.quotas.Clients[i].Values = values
	default:
		d.quotas.Clients = slices.Insert(d.quotas.Clients, i, ClientQuota{Entity: c.Entity, Values: values})
	}
	return nil
}

func (d *draft) ownQuotas() {
	d.quotas.Index = d.index
	if !d.ownsQuotas {
		d.quotas.Clients, d.ownsQuotas = slices.Clone(d.quotas.Clients), true
	}
}

func (c QuotaChange) fault() string {
	if reason := c.Entity.fault(); reason != "" {
		return reason
	}
	for _, key := range slices.Sorted(maps.Keys(c.Values)) { // every node says the same
		if key == "" || len(key) > MaxQuotaNameBytes {
			return fmt.Sprintf("the name of a quota has 1 to %d bytes", MaxQuotaNameBytes)
		}
		if !isQuota(c.Values[key]) {
			return fmt.Sprintf("quota %q cannot be %g", key, c.Values[key])
		}
	}
	return ""
}

// isQuota takes 0, for none, and finite numbers above it.
func isQuota(v float64) bool { return v >= 0 && !math.Signbit(v) && !math.IsInf(v, 1) }

func compareQuotaEntity(q ClientQuota, e QuotaEntity) int { return q.Entity.compare(e) }
