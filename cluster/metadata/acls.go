package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ACL lets clients do something, or forbids it. Its four bytes are Kafka's numbers, which the proposer checks (cluster/acl).
type ACL struct {
	Resource  byte   // the type of what it is about
	Pattern   byte   // how Name says which
	Name      string // a name, a prefix of names, or * for all
	Principal string // Type:name, where * as name is everybody
	Host      string // an address, a range of addresses, or *

	Operation  byte
	Permission byte
}

func (a ACL) compare(o ACL) int {
	return cmp.Or(cmp.Compare(a.Resource, o.Resource), cmp.Compare(a.Pattern, o.Pattern), strings.Compare(a.Name, o.Name),
		strings.Compare(a.Principal, o.Principal), strings.Compare(a.Host, o.Host),
		cmp.Compare(a.Operation, o.Operation), cmp.Compare(a.Permission, o.Permission))
}

func (a ACL) fault() string {
	for _, x := range []struct{ what, s string }{{"name", a.Name}, {"principal", a.Principal}, {"host", a.Host}} {
		if x.s == "" || len(x.s) > MaxACLStringBytes {
			return fmt.Sprintf("its %s has %d bytes, not 1 to %d", x.what, len(x.s), MaxACLStringBytes)
		}
	}
	return ""
}

// ACLSet are all ACLs, those of one resource together, and the index of the command that last changed them (0: never).
type ACLSet struct {
	ACLs  []ACL
	Index uint64
}

// ACLs returns who may do what.
func (im *Image) ACLs() ACLSet { return im.acls }

// Caps on ACLs.
const (
	MaxACLs           = 10_000
	MaxACLStringBytes = 1_024 // of a name, a principal, a host; a distinguished name can be long
)

// AddACLs adds ACLs; each succeeds or fails alone, and does nothing if it is there. The result is []error in the order of
// ACLs: InvalidACLError, LimitError.
type AddACLs struct{ ACLs []ACL }

// RemoveACLs removes ACLs; one that is not there is no error. No result.
type RemoveACLs struct{ ACLs []ACL }

func (c AddACLs) apply(d *draft) (any, error) {
	errs := make([]error, len(c.ACLs))
	added := make(map[ACL]bool)
	for i, a := range c.ACLs {
		_, known := slices.BinarySearchFunc(d.acls.ACLs, a, ACL.compare)
		reason := a.fault()
		switch n := len(d.acls.ACLs) + len(added); {
		case reason != "":
			errs[i] = &InvalidACLError{Reason: reason}
		case known || added[a]:
		case n >= MaxACLs:
			errs[i] = &LimitError{What: "ACLs", Got: n + 1, Want: MaxACLs}
		default:
			added[a] = true
		}
	}
	if len(added) > 0 {
		d.setACLs(slices.AppendSeq(slices.Clone(d.acls.ACLs), maps.Keys(added)))
	}
	return errs, nil
}

func (c RemoveACLs) apply(d *draft) (any, error) {
	doomed := make(map[ACL]bool, len(c.ACLs))
	for _, a := range c.ACLs {
		doomed[a] = true
	}
	left := slices.DeleteFunc(slices.Clone(d.acls.ACLs), func(a ACL) bool { return doomed[a] })
	if len(left) < len(d.acls.ACLs) {
		d.setACLs(left)
	}
	return nil, nil
}

// setACLs takes ACLs in any order, each once.
func (d *draft) setACLs(acls []ACL) {
	if len(acls) == 0 {
		acls = nil
	}
	slices.SortFunc(acls, ACL.compare)
	d.acls = ACLSet{ACLs: acls, Index: d.index}
}

func (AddACLs) kind() byte    { return kindAddACLs }
func (RemoveACLs) kind() byte { return kindRemoveACLs }

func (c AddACLs) encode(e *encoder)    { e.acls(c.ACLs) }
func (c RemoveACLs) encode(e *encoder) { e.acls(c.ACLs) }

func (e *encoder) acls(acls []ACL) {
	list(e, acls, func(a ACL) {
		e.byte(a.Resource)
		e.byte(a.Pattern)
		e.str(a.Name)
		e.str(a.Principal)
		e.str(a.Host)
		e.byte(a.Operation)
		e.byte(a.Permission)
	})
}

func (d *decoder) acls() []ACL {
	return items(d, 7, func() ACL {
		return ACL{Resource: d.byte(), Pattern: d.byte(), Name: d.str(), Principal: d.str(), Host: d.str(),
			Operation: d.byte(), Permission: d.byte()}
	})
}
