package acl

import "net/netip"

// Client is somebody who wants to do something.
type Client struct {
	Principal Principal
	address   netip.Addr
	name      string // the principal, as ACLs name it
}

// NewClient returns a client that comes from an address.
func NewClient(p Principal, address netip.Addr) *Client {
	return &Client{Principal: p, address: plain(address), name: p.String()}
}

// everybody is the principal of ACLs that are about all.
const everybody = "User:" + wildcard

// finding is what the ACLs about one resource say to one client.
type finding struct {
	some            bool // there are any, whomever they are about
	allowed, denied Operations
}

func (f *finding) add(s subjects, c *Client) {
	f.some = f.some || len(s) > 0
	f.addRules(s[c.name], c)
	if c.name != everybody {
		f.addRules(s[everybody], c)
	}
}

func (f *finding) addRules(rules []rule, c *Client) {
	for i := range rules {
		if r := &rules[i]; r.host.has(c.address) {
			f.allowed |= r.allowed
			f.denied |= r.denied
		}
	}
}

// find goes through the ACLs that are about a resource: by its name, by all, and by each length that a prefix has.
func (t *Table) find(c *Client, r Resource) (f finding) {
	of := &t.types[r.Type]
	f.add(of.literal[r.Name], c)
	if r.Name != wildcard {
		f.add(of.literal[wildcard], c)
	}
	for _, n := range of.lengths {
		if n > len(r.Name) {
			break
		}
		f.add(of.prefixed[r.Name[:n]], c)
	}
	return f
}

// Allows says whether the client may do that. What one ACL denies no other allows; what none allows is denied.
func (t *Table) Allows(c *Client, op Operation, r Resource) bool {
	return t.superUsers[c.name] || t.admits(t.find(c, r), op)
}

func (t *Table) admits(f finding, op Operation) bool {
	if !f.some {
		return t.allowEveryone
	}
	return f.allowed.has(op) && !f.denied.has(op)
}

// Allowed are the operations that Kafka knows for the type of the resource and the client may do, as a set of their numbers.
func (t *Table) Allowed(c *Client, r Resource) (allowed Operations) {
	f, super := t.find(c, r), t.superUsers[c.name]
	for _, op := range operations[r.Type] {
		if super || t.admits(f, op) {
			allowed |= setOf(op)
		}
	}
	return allowed
}

// Supported is Allowed for whoever may do everything.
func Supported(kind ResourceType) Operations { return setOf(operations[kind]...) }

// AllowsAny says whether there could be a resource of that type that the client may do op with (KIP-679).
func (t *Table) AllowsAny(c *Client, op Operation, kind ResourceType) bool {
	of := &t.types[kind]
	var all finding
	all.add(of.literal[wildcard], c)
	switch {
	case t.superUsers[c.name], t.allowEveryone && !all.some:
		return true // there are names that no ACL is about
	case all.denied.has(op):
		return false
	case all.allowed.has(op):
		return true // most names are not denied
	}
	for name := range of.literal {
		if t.admits(t.find(c, Resource{kind, name}), op) {
			return true
		}
	}
	for prefix := range of.prefixed {
		if t.admitsBeyond(c, op, kind, prefix) {
			return true
		}
	}
	return false
}

// admitsBeyond says whether op is allowed on most of the names that begin with a prefix: those that have no ACL of their own.
func (t *Table) admitsBeyond(c *Client, op Operation, kind ResourceType, prefix string) bool {
	of := &t.types[kind]
	var f finding
	f.add(of.literal[wildcard], c)
	for _, n := range of.lengths {
		if n > len(prefix) {
			break
		}
		f.add(of.prefixed[prefix[:n]], c)
	}
	return t.admits(f, op)
}
