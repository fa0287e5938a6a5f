package metadata

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func aclOn(name, principal string) ACL {
	return ACL{Resource: 2, Pattern: 3, Name: name, Principal: principal, Host: "*", Operation: 3, Permission: 3}
}

func TestACLs(t *testing.T) {
	m := NewMachine()
	a, b, c := aclOn("a", "User:x"), aclOn("b", "User:x"), aclOn("b", "User:y")
	mustApply(t, m, AddACLs{ACLs: []ACL{c, a, c}})
	old := m.Image()
	mustApply(t, m, AddACLs{ACLs: []ACL{b, a}})
	if got := m.Image().ACLs(); !reflect.DeepEqual(got, ACLSet{ACLs: []ACL{a, b, c}, Index: m.Image().Index()}) {
		t.Errorf("got %+v", got)
	}
	changed := m.Image().Index()
	mustApply(t, m, AddACLs{ACLs: []ACL{a, b, c}})
	mustApply(t, m, RemoveACLs{ACLs: []ACL{aclOn("c", "User:x")}})
	if got := m.Image().ACLs().Index; got != changed {
		t.Errorf("what changes nothing has index %d, want %d", got, changed)
	}
	mustApply(t, m, RemoveACLs{ACLs: []ACL{a, c, aclOn("c", "User:x")}})
	if got := m.Image().ACLs(); !reflect.DeepEqual(got.ACLs, []ACL{b}) || got.Index != m.Image().Index() {
		t.Errorf("after removal %+v", got)
	}
	if got := old.ACLs().ACLs; !reflect.DeepEqual(got, []ACL{a, c}) {
		t.Errorf("an older image has changed: %+v", got)
	}
	mustApply(t, m, RemoveACLs{ACLs: []ACL{b}})
	if im, err := DecodeImage(m.Image().Encode()); err != nil || !reflect.DeepEqual(im, m.Image()) {
		t.Errorf("without ACLs it reads as %+v, %v", im, err)
	}
}

func TestACLsThatCannotBe(t *testing.T) {
	m := NewMachine()
	long := strings.Repeat("x", MaxACLStringBytes+1)
	bad := []ACL{aclOn("", "User:x"), aclOn(long, "User:x"), aclOn("a", ""), aclOn("a", long), {Name: "a", Principal: "User:x"}, {Name: "a", Principal: "User:x", Host: long}}
	errs := mustApply(t, m, AddACLs{ACLs: append(bad, aclOn("a", "User:x"))}).([]error)
	for _, err := range errs[:len(bad)] {
		wants[*InvalidACLError](t, err)
	}
	if errs[len(bad)] != nil || len(m.Image().ACLs().ACLs) != 1 {
		t.Errorf("the good one: %v", errs[len(bad)])
	}
	var many AddACLs
	for i := range MaxACLs {
		many.ACLs = append(many.ACLs, aclOn(fmt.Sprint(i), "User:x"))
	}
	errs = mustApply(t, m, many).([]error)
	wants[*LimitError](t, errs[MaxACLs-1])
	if errs[MaxACLs-2] != nil || len(m.Image().ACLs().ACLs) != MaxACLs {
		t.Errorf("%v, and %d ACLs", errs[MaxACLs-2], len(m.Image().ACLs().ACLs))
	}
	if errs := mustApply(t, m, AddACLs{ACLs: many.ACLs[:1]}).([]error); errs[0] != nil {
		t.Errorf("one that is there: %v", errs[0])
	}
}
