package acl

import (
	"fmt"
	"strings"

	"weir/cluster/metadata"
)

// Check says what is wrong with an ACL that is to be added.
func Check(a metadata.ACL) error {
	kind, pattern := ResourceType(a.Resource), PatternType(a.Pattern)
	_, hostOK := parseHost(a.Host)
	_, principalErr := ParsePrincipal(a.Principal)
	switch {
	case !kind.known():
		return fmt.Errorf("no ACL is about resources of type %d", a.Resource)
	case pattern != Literal && pattern != Prefixed:
		return fmt.Errorf("pattern type %d is none of an ACL: it is literal or prefixed", a.Pattern)
	case kind == TypeCluster && a.Name != ClusterName:
		return fmt.Errorf("the cluster's name is %s, not %q", ClusterName, a.Name)
	case !Operation(a.Operation).known():
		return fmt.Errorf("no ACL is about operation %d", a.Operation)
	case Permission(a.Permission) != Allow && Permission(a.Permission) != Deny:
		return fmt.Errorf("an ACL allows or denies, and nothing by %d", a.Permission)
	case principalErr != nil:
		return principalErr
	case !hostOK:
		return fmt.Errorf("%q is no address, no range of addresses, and not %s: names of hosts are not looked up", a.Host, wildcard)
	}
	return nil
}

// Filter takes ACLs (KIP-140). A number of 1 takes all, and so does nil.
type Filter struct {
	Resource              ResourceType
	Pattern               PatternType
	Name, Principal, Host *string
	Operation             Operation
	Permission            Permission
}

// Check says what is wrong with a filter.
func (f Filter) Check() error {
	switch {
	case f.Resource != anything && !f.Resource.known():
		return fmt.Errorf("there is no resource type %d", f.Resource)
	case f.Pattern < AnyPattern || f.Pattern > Prefixed:
		return fmt.Errorf("there is no pattern type %d", f.Pattern)
	case f.Operation != anything && !f.Operation.known():
		return fmt.Errorf("there is no operation %d", f.Operation)
	case f.Permission < anything || f.Permission > Allow:
		return fmt.Errorf("there is no permission %d", f.Permission)
	}
	return nil
}

// Takes says whether the filter takes an ACL.
func (f Filter) Takes(a metadata.ACL) bool {
	return (f.Resource == anything || f.Resource == ResourceType(a.Resource)) && f.takesName(a) &&
		(f.Principal == nil || *f.Principal == a.Principal) && (f.Host == nil || *f.Host == a.Host) &&
		(f.Operation == anything || f.Operation == Operation(a.Operation)) &&
		(f.Permission == anything || f.Permission == Permission(a.Permission))
}

// takesName compares patterns: names as such, but for Match, which is about the resource of that name.
func (f Filter) takesName(a metadata.ACL) bool {
	pattern := PatternType(a.Pattern)
	switch {
	case f.Pattern == Match && f.Name != nil && pattern == Literal:
		return a.Name == *f.Name || a.Name == wildcard
	case f.Pattern == Match && f.Name != nil:
		return strings.HasPrefix(*f.Name, a.Name)
	case f.Pattern == Literal || f.Pattern == Prefixed:
		return f.Pattern == pattern && (f.Name == nil || *f.Name == a.Name)
	}
	return f.Name == nil || *f.Name == a.Name
}
