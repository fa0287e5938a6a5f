package acl

import (
	"net/netip"
	"slices"

	"weir/cluster/metadata"
)

// Config is how a broker goes by ACLs.
type Config struct {
	SuperUsers    []Principal // they may do everything
	AllowEveryone bool        // where there is no ACL about a resource at all, everybody may do everything with it
}

// Table are the ACLs of a cluster, to look clients up in. It is immutable.
type Table struct {
	index         uint64
	superUsers    map[string]bool
	allowEveryone bool
	types         [types]resources
}

// resources are the ACLs about the resources of one type.
type resources struct {
	literal  map[string]subjects // also for all, by the wildcard
	prefixed map[string]subjects
	lengths  []int // of the prefixes, ascending, each once
}

// subjects are the ACLs of one name, by principal as they name it.
type subjects map[string][]rule

// rule is what a principal may and may not do from some host.
type rule struct {
	host            host
	allowed, denied Operations
}

// host is one address, a range of them, or all.
type host struct {
	all   bool
	among netip.Prefix
}

func (h host) has(a netip.Addr) bool { return h.all || h.among.Contains(a) }

// parseHost reads what an ACL says: *, an address, or a range of addresses (CIDR, KIP-1276).
func parseHost(s string) (h host, ok bool) {
	if s == wildcard {
		return host{all: true}, true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = plain(a)
		return host{among: netip.PrefixFrom(a, a.BitLen())}, true
	}
	p, err := netip.ParsePrefix(s)
	if a := p.Addr(); err == nil && a.Is4In6() { // a range of IPv6 has no address of IPv4
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-mappedBits)
	}
	return host{among: p.Masked()}, err == nil && p.IsValid()
}

// mappedBits are those before an address of IPv4 in one of IPv6 (RFC 4291, 2.5.5.2).
const mappedBits = 96

// plain is an address as it is compared: one of IPv4 as such, and without a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// NewTable makes the table. What another version may have stored and this one does not know is left out.
func NewTable(cfg Config, set metadata.ACLSet) *Table {
	t := &Table{index: set.Index, superUsers: make(map[string]bool), allowEveryone: cfg.AllowEveryone}
	for _, p := range cfg.SuperUsers {
		t.superUsers[p.String()] = true
	}
	for _, a := range set.ACLs {
		if h, ok := parseHost(a.Host); ok && Check(a) == nil {
			t.types[a.Resource].add(a, h)
		}
	}
	return t
}

func (r *resources) add(a metadata.ACL, h host) {
	if r.literal == nil {
		r.literal, r.prefixed = make(map[string]subjects), make(map[string]subjects)
	}
	names := r.literal
	if PatternType(a.Pattern) == Prefixed {
		names = r.prefixed
		if at, found := slices.BinarySearch(r.lengths, len(a.Name)); !found {
			r.lengths = slices.Insert(r.lengths, at, len(a.Name))
		}
	}
	if names[a.Name] == nil {
		names[a.Name] = make(subjects)
	}
	names[a.Name].add(a, h)
}

// add brings an ACL into the rule for its principal and host.
func (s subjects) add(a metadata.ACL, h host) {
	rules := s[a.Principal]
	at := slices.IndexFunc(rules, func(r rule) bool { return r.host == h })
	if at < 0 {
		at = len(rules)
		rules = append(rules, rule{host: h})
	}
	if op := Operation(a.Operation); Permission(a.Permission) == Allow {
		rules[at].allowed |= allowedBy(op)
	} else {
		rules[at].denied |= deniedBy(op)
	}
	s[a.Principal] = rules
}

// allowedBy are the operations that an ACL for op allows. Whoever may do more may look.
func allowedBy(op Operation) Operations {
	switch op {
	case All:
		return ^Operations(0)
	case Read, Write, Delete, Alter:
		return setOf(op, Describe)
	case AlterConfigs:
		return setOf(op, DescribeConfigs)
	}
	return setOf(op)
}

// deniedBy are those that an ACL against op denies: that alone.
func deniedBy(op Operation) Operations {
	if op == All {
		return ^Operations(0)
	}
	return setOf(op)
}

// Index is that of the ACLs the table was made of.
func (t *Table) Index() uint64 { return t.index }
