package metadata

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func quotaOf(user, client string) QuotaEntity {
	name := func(s string) QuotaName {
		switch s {
		case "":
			return QuotaName{}
		case "*":
			return QuotaName{Kind: QuotaDefault}
		}
		return QuotaName{Kind: QuotaNamed, Name: s}
	}
	return QuotaEntity{User: name(user), ClientID: name(client)}
}

// alterQuota applies one change and returns its own error. It is not encoded, since what cannot be has no encoding.
func alterQuota(t *testing.T, m *Machine, e QuotaEntity, values map[string]float64) error {
	t.Helper()
	result, err := m.Apply(m.Image().Index()+1, AlterQuotas{Changes: []QuotaChange{{Entity: e, Values: values}}})
	if err != nil {
		t.Fatal(err)
	}
	return result.([]error)[0]
}

func TestQuotas(t *testing.T) {
	m := NewMachine()
	set := func(user, client string, values map[string]float64) {
		t.Helper()
		if err := alterQuota(t, m, quotaOf(user, client), values); err != nil {
			t.Fatal(err)
		}
	}
	set("u", "c", map[string]float64{"a": 1, "b": 2})
	set("", "*", map[string]float64{"a": 3})
	set("*", "c", map[string]float64{"a": 4})
	old := m.Image()
	set("u", "c", map[string]float64{"a": 0, "c": 0.25})
	set("*", "c", map[string]float64{"a": 0, "never": 0})
	changed := m.Image().Index()
	set("x", "", map[string]float64{"a": 0})
	set("u", "c", map[string]float64{"b": 2})
	want := QuotaSet{Index: changed, Clients: []ClientQuota{
		{quotaOf("", "*"), map[string]float64{"a": 3}}, {quotaOf("u", "c"), map[string]float64{"b": 2, "c": 0.25}},
	}}
	if got := m.Image().Quotas(); !reflect.DeepEqual(got, want) {
		t.Errorf("quotas are %+v, want %+v", got, want)
	}
	if got := old.Quotas().Clients; len(got) != 3 || len(got[2].Values) != 2 || got[2].Values["a"] != 1 {
		t.Errorf("an older image has changed: %+v", got)
	}
}

func TestQuotasThatCannotBe(t *testing.T) {
	m := NewMachine()
	one := map[string]float64{"a": 1}
	for _, x := range []struct {
		what   string
		entity QuotaEntity
		values map[string]float64
	}{
		{"of nobody", QuotaEntity{}, one},
		{"no name", QuotaEntity{User: QuotaName{Kind: QuotaNamed}}, one},
		{"a name of the default", QuotaEntity{User: QuotaName{Kind: QuotaDefault, Name: "x"}}, one},
		{"strange kind", QuotaEntity{User: QuotaName{Kind: 3}}, one},
		{"long name", quotaOf("u", strings.Repeat("c", MaxQuotaNameBytes+1)), one},
		{"no key", quotaOf("u", ""), map[string]float64{"": 1}},
		{"long key", quotaOf("u", ""), map[string]float64{strings.Repeat("k", MaxQuotaNameBytes+1): 1}},
		{"below 0", quotaOf("u", ""), map[string]float64{"a": -1}},
		{"endless", quotaOf("u", ""), map[string]float64{"a": math.Inf(1)}},
		{"no number", quotaOf("u", ""), map[string]float64{"a": math.NaN()}},
		{"-0", quotaOf("u", ""), map[string]float64{"a": math.Copysign(0, -1)}},
	} {
		if err := alterQuota(t, m, x.entity, x.values); err == nil {
			t.Errorf("%s: taken", x.what)
		} else {
			wants[*InvalidQuotaError](t, err)
		}
	}
	many := make(map[string]float64)
	for i := range MaxQuotaValues + 1 {
		many[fmt.Sprint(i)] = 1
	}
	wants[*LimitError](t, alterQuota(t, m, quotaOf("u", ""), many))
	var c AlterQuotas
	for i := range MaxQuotaEntities {
		c.Changes = append(c.Changes, QuotaChange{quotaOf("", fmt.Sprint(i)), one})
	}
	mustApply(t, m, c)
	wants[*LimitError](t, alterQuota(t, m, quotaOf("one more", ""), one))
	if err := alterQuota(t, m, quotaOf("", "7"), map[string]float64{"a": 2}); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if n := len(m.Image().Quotas().Clients); n != MaxQuotaEntities {
		t.Errorf("%d entities", n)
	}
}
