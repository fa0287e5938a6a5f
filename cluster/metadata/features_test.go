package metadata

import (
	"fmt"
	"strings"
	"testing"
)

// TestFeatures: the defaults hold until a level is set; of two who set levels at a time one has to look again.
func TestFeatures(t *testing.T) {
	m := newCluster(t, 1)
	if got := m.Image().FeatureLevel(GroupVersion); got != 1 || m.Image().Features().Index != 0 {
		t.Errorf("at first %d", got)
	}
	mustApply(t, m, SetFeatures{Levels: map[string]int16{GroupVersion: 0}})
	if got := m.Image().FeatureLevel(GroupVersion); got != 0 || m.Image().Features().Index != m.Image().Index() {
		t.Errorf("set to 0, it is %d", got)
	}
	_, err := apply(t, m, SetFeatures{Expected: 0, Levels: map[string]int16{GroupVersion: 1}})
	wants[*ConfigChangedError](t, err)
	_, err = apply(t, m, SetFeatures{Expected: AnyIndex, Levels: map[string]int16{GroupVersion: -1}})
	wants[*InvalidFeatureError](t, err)
	_, err = apply(t, m, SetFeatures{Expected: AnyIndex, Levels: map[string]int16{strings.Repeat("f", 256): 1}})
	wants[*InvalidFeatureError](t, err)
	many := make(map[string]int16)
	for i := range MaxFeatures + 1 {
		many[fmt.Sprint(i)] = 1
	}
	_, err = apply(t, m, SetFeatures{Expected: AnyIndex, Levels: many})
	wants[*LimitError](t, err)
	mustApply(t, m, SetFeatures{Expected: m.Image().Features().Index})
	if got := m.Image().FeatureLevel(GroupVersion); got != 1 {
		t.Errorf("set no more, it is %d", got)
	}
}

// TestCheckFeature has a row for each rule; the default of group.version is 1, its highest level.
func TestCheckFeature(t *testing.T) {
	at1, at0 := NewMachine(), NewMachine()
	mustApply(t, at0, SetFeatures{Levels: map[string]int16{GroupVersion: 0}})
	for _, x := range []struct {
		m     *Machine
		name  string
		level int16
		kind  UpgradeKind
		ok    bool
	}{
		{at1, GroupVersion, 1, Upgrade, true}, // as it is
		{at1, GroupVersion, 1, SafeDowngrade, true},
		{at1, GroupVersion, 0, Upgrade, false},
		{at1, GroupVersion, 0, SafeDowngrade, true},
		{at1, GroupVersion, 0, UnsafeDowngrade, true},
		{at0, GroupVersion, 1, Upgrade, true},
		{at0, GroupVersion, 1, SafeDowngrade, false},
		{at0, GroupVersion, 1, UnsafeDowngrade, false},
		{at0, GroupVersion, 2, Upgrade, false},
		{at0, GroupVersion, -1, UnsafeDowngrade, false},
		{at0, GroupVersion, 1, 0, false},
		{at0, GroupVersion, 1, 4, false},
		{at0, "nope.version", 1, Upgrade, false},
	} {
		err := x.m.Image().CheckFeature(FeatureUpdate{Name: x.name, Level: x.level, Kind: x.kind})
		if x.ok && err != nil {
			t.Errorf("%s to %d by %d: %v", x.name, x.level, x.kind, err)
		} else if !x.ok {
			wants[*InvalidFeatureError](t, err)
		}
	}
}

func TestGroupConfigs(t *testing.T) {
	m := newCluster(t, 1)
	set := func(group, value string, expected uint64) (any, error) {
		return apply(t, m, SetGroupConfigs{Group: group, Expected: expected, Values: map[string]string{"k": value}})
	}
	first, err := set("b", "1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set("a", "2", 0); err != nil {
		t.Fatal(err)
	}
	_, err = set("b", "3", 0)
	wants[*ConfigChangedError](t, err)
	if _, err := set("b", "3", first.(ConfigSet).Index); err != nil {
		t.Fatal(err)
	}
	if got := m.Image().ConfiguredGroups(); len(got) != 2 || got[0].Group != "a" || got[1].Values["k"] != "3" {
		t.Errorf("configured are %+v", got)
	}
	old := m.Image()
	mustApply(t, m, SetGroupConfigs{Group: "b", Expected: AnyIndex})
	if got := m.Image().GroupConfigs("b"); got.Index != 0 || got.Values != nil || len(m.Image().ConfiguredGroups()) != 1 {
		t.Errorf("without values it is %+v", got)
	}
	if old.GroupConfigs("b").Values["k"] != "3" {
		t.Error("an older image has changed")
	}
	mustApply(t, m, SetGroupConfigs{Group: "never set", Expected: 0})
	for _, name := range []string{"", strings.Repeat("g", MaxGroupNameBytes+1)} {
		_, err := set(name, "1", AnyIndex)
		wants[*InvalidConfigError](t, err)
	}
	for i := range MaxConfiguredGroups - 1 {
		mustApply(t, m, SetGroupConfigs{Group: fmt.Sprint("many", i), Values: map[string]string{"k": "v"}})
	}
	_, err = set("one more", "1", 0)
	wants[*LimitError](t, err)
	if _, err := set("a", "4", AnyIndex); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
