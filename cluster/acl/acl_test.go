package acl

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weir/cluster/metadata"
)

// entry reads an ACL as "allow|deny PRINCIPAL HOST OPERATION topic:NAME", where a name that ends in ... is a prefix.
func entry(t testing.TB, text string) metadata.ACL {
	t.Helper()
	f := strings.Fields(text)
	kind, name, _ := strings.Cut(f[4], ":")
	a := metadata.ACL{
		Resource: map[string]byte{"topic": byte(TypeTopic), "group": byte(TypeGroup), "cluster": byte(TypeCluster)}[kind], Pattern: byte(Literal), Name: name,
		Principal: f[1], Host: f[2], Permission: map[string]byte{"allow": byte(Allow), "deny": byte(Deny)}[f[0]],
		Operation: map[string]byte{"all": byte(All), "read": byte(Read), "write": byte(Write), "describe": byte(Describe), "alterconfigs": byte(AlterConfigs), "delete": byte(Delete)}[f[3]],
	}
	if prefix, ok := strings.CutSuffix(name, "..."); ok {
		a.Name, a.Pattern = prefix, byte(Prefixed)
	}
	if err := Check(a); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return a
}

func tableOf(t testing.TB, cfg Config, acls ...string) *Table {
	t.Helper()
	set := metadata.ACLSet{Index: 7}
	for _, text := range acls {
		set.ACLs = append(set.ACLs, entry(t, text))
	}
	return NewTable(cfg, set)
}

func alice(address string) *Client {
	return NewClient(Principal{"User", "alice"}, netip.MustParseAddr(address))
}

// TestAllows has a sentence for each rule.
func TestAllows(t *testing.T) {
	for _, x := range []struct {
		rule string
		acls []string
		op   Operation
		on   Resource
		want bool
	}{
		{"nothing is allowed without an ACL", nil, Read, Topic("t"), false},
		{"a literal name is that name", []string{"allow User:alice * read topic:t"}, Read, Topic("t"), true},
		{"a literal name is no other", []string{"allow User:alice * read topic:t"}, Read, Topic("tt"), false},
		{"a literal name is none of another type", []string{"allow User:alice * read topic:t"}, Read, Group("t"), false},
		{"a wildcard is every name", []string{"allow User:alice * read topic:*"}, Read, Topic("t"), true},
		{"a prefix is every name that begins with it", []string{"allow User:alice * read topic:or..."}, Read, Topic("orders"), true},
		{"a prefix is itself", []string{"allow User:alice * read topic:or..."}, Read, Topic("or"), true},
		{"a prefix is no shorter name", []string{"allow User:alice * read topic:or..."}, Read, Topic("o"), false},
		{"a prefix of * is no wildcard", []string{"allow User:alice * read topic:*..."}, Read, Topic("t"), false},
		{"another principal", []string{"allow User:bob * read topic:t"}, Read, Topic("t"), false},
		{"another type of principal", []string{"allow Group:alice * read topic:t"}, Read, Topic("t"), false},
		{"everybody", []string{"allow User:* * read topic:t"}, Read, Topic("t"), true},
		{"this address", []string{"allow User:alice 10.0.0.7 read topic:t"}, Read, Topic("t"), true},
		{"another address", []string{"allow User:alice 10.0.0.8 read topic:t"}, Read, Topic("t"), false},
		{"this range", []string{"allow User:alice 10.0.0.0/29 read topic:t"}, Read, Topic("t"), true},
		{"a range by one of its addresses", []string{"allow User:alice 10.0.0.1/29 read topic:t"}, Read, Topic("t"), true},
		{"another range", []string{"allow User:alice 10.0.0.8/29 read topic:t"}, Read, Topic("t"), false},
		{"an address of IPv6 that is one of IPv4", []string{"allow User:alice ::ffff:10.0.0.7 read topic:t"}, Read, Topic("t"), true},
		{"a range of IPv6 that is one of IPv4", []string{"allow User:alice ::ffff:10.0.0.0/104 read topic:t"}, Read, Topic("t"), true},
		{"another one", []string{"allow User:alice ::ffff:11.0.0.0/104 read topic:t"}, Read, Topic("t"), false},
		{"one operation is no other", []string{"allow User:alice * read topic:t"}, Write, Topic("t"), false},
		{"all are each", []string{"allow User:alice * all topic:t"}, AlterConfigs, Topic("t"), true},
		{"who reads may describe", []string{"allow User:alice * read topic:t"}, Describe, Topic("t"), true},
		{"who deletes may describe", []string{"allow User:alice * delete topic:t"}, Describe, Topic("t"), true},
		{"who alters the configuration may not describe", []string{"allow User:alice * alterconfigs topic:t"}, Describe, Topic("t"), false},
		{"but see it", []string{"allow User:alice * alterconfigs topic:t"}, DescribeConfigs, Topic("t"), true},
		{"a denial wins", []string{"allow User:alice * all topic:t", "deny User:alice * read topic:t"}, Read, Topic("t"), false},
		{"a denial of all wins over a name", []string{"allow User:alice * read topic:t", "deny User:* * read topic:*"}, Read, Topic("t"), false},
		{"a denial by a prefix wins over a name", []string{"allow User:alice * read topic:tt", "deny User:alice * all topic:t..."}, Read, Topic("tt"), false},
		{"a denial elsewhere does not count", []string{"allow User:alice * read topic:t", "deny User:alice 10.0.0.8 read topic:t"}, Read, Topic("t"), true},
		{"a denial of reading does not deny describing", []string{"allow User:alice * read topic:t", "deny User:alice * read topic:t"}, Describe, Topic("t"), true},
	} {
		if got := tableOf(t, Config{}, x.acls...).Allows(alice("10.0.0.7"), x.op, x.on); got != x.want {
			t.Errorf("%s: %t", x.rule, got)
		}
	}
}

func TestSuperUsersAndEverybody(t *testing.T) {
	super := tableOf(t, Config{SuperUsers: []Principal{{"User", "alice"}}}, "deny User:* * all topic:*")
	bob := NewClient(Principal{"User", "bob"}, netip.MustParseAddr("::1"))
	if !super.Allows(alice("::1"), Write, Topic("t")) || !super.AllowsAny(alice("::1"), Write, TypeTopic) || super.Allows(bob, Write, Topic("t")) {
		t.Error("a super user may do everything, and nobody else")
	}
	if got := super.Allowed(alice("::1"), Cluster); got != Supported(TypeCluster) {
		t.Errorf("a super user may %b", got)
	}
	open := tableOf(t, Config{AllowEveryone: true}, "allow User:bob * read topic:t", "allow User:bob * read topic:secret...")
	for name, want := range map[string]bool{"t": false, "tt": true, "secret": false, "secrets": false} {
		if got := open.Allows(alice("::1"), Write, Topic(name)); got != want {
			t.Errorf("with everybody allowed where there are no ACLs, %s: %t", name, got)
		}
	}
	if !open.AllowsAny(alice("::1"), Write, TypeTopic) {
		t.Error("there are topics without ACLs")
	}
	if got, want := open.Allowed(bob, Topic("t")), setOf(Read, Describe); got != want {
		t.Errorf("bob may %b, want %b", got, want)
	}
}

// naive is Allows by the text of the rules: one ACL after the other.
func naive(cfg Config, acls []metadata.ACL, c *Client, op Operation, r Resource) bool {
	if slices.Contains(cfg.SuperUsers, c.Principal) {
		return true
	}
	some, allowed := false, false
	for _, a := range acls {
		about := a.Name == r.Name || a.Name == "*"
		if a.Pattern == byte(Prefixed) {
			about = strings.HasPrefix(r.Name, a.Name)
		}
		if a.Resource != byte(r.Type) || !about {
			continue
		}
		some = true
		if a.Principal != c.Principal.String() && a.Principal != "User:*" {
			continue
		}
		if a.Host != "*" && a.Host != c.address.String() {
			if p, err := netip.ParsePrefix(a.Host); err != nil || !p.Contains(c.address) {
				continue
			}
		}
		says, allows := Operation(a.Operation), a.Permission == byte(Allow)
		implied := op == Describe && slices.Contains([]Operation{Read, Write, Delete, Alter}, says) || op == DescribeConfigs && says == AlterConfigs
		switch {
		case says != op && says != All && !(allows && implied):
		case !allows:
			return false
		default:
			allowed = true
		}
	}
	return allowed || !some && cfg.AllowEveryone
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// TestAgainstTheRules compares tables of random ACLs with naive, over few names so that they meet. AllowsAny is compared with all
// names that could make a difference, and one that no ACL speaks of beyond each of them.
func TestAgainstTheRules(t *testing.T) {
	names := []string{"a", "ab", "abc", "b", "ba", "*", "*a"}
	for _, n := range slices.Clone(names) {
		names = append(names, n+"~")
	}
	names = append(names, "~")
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 3000 {
		cfg := Config{AllowEveryone: r.IntN(2) == 0}
		if r.IntN(4) == 0 {
			cfg.SuperUsers = []Principal{{"User", "bob"}}
		}
		var acls []metadata.ACL
		for range r.IntN(7) {
			acls = append(acls, metadata.ACL{
				Resource: byte(pick(r, TypeTopic, TypeTopic, TypeGroup)), Pattern: byte(pick(r, Literal, Prefixed)), Name: pick(r, names[:7]...),
				Principal: pick(r, "User:alice", "User:bob", "User:*", "Other:alice"), Host: pick(r, "*", "10.0.0.7", "10.0.0.0/24", "10.0.0.8", "::1"),
				Operation: byte(pick(r, All, Read, Write, Describe, AlterConfigs, DescribeConfigs)), Permission: byte(pick(r, Allow, Allow, Deny)),
			})
		}
		table := NewTable(cfg, metadata.ACLSet{ACLs: acls})
		for _, who := range []string{"alice", "bob"} {
			for _, from := range []string{"10.0.0.7", "10.0.0.9", "::1"} {
				c := NewClient(Principal{"User", who}, netip.MustParseAddr(from))
				for _, op := range []Operation{Read, Write, Describe, AlterConfigs, DescribeConfigs} {
					anyTopic := false
					for _, name := range names {
						want := naive(cfg, acls, c, op, Topic(name))
						anyTopic = anyTopic || want
						got := table.Allows(c, op, Topic(name))
						if got != want || table.Allowed(c, Topic(name)).has(op) != want {
							t.Fatalf("seed %d round %d: %s from %s may %d %s: %t, want %t by %+v", seed, round, who, from, op, name, got, want, acls)
						}
					}
					if got := table.AllowsAny(c, op, TypeTopic); got != anyTopic {
						t.Fatalf("seed %d round %d: %s from %s may %d some topic: %t, want %t by %+v", seed, round, who, from, op, got, anyTopic, acls)
					}
				}
			}
		}
	}
}

func TestCheck(t *testing.T) {
	good := entry(t, "allow User:alice * read topic:t")
	for what, change := range map[string]func(*metadata.ACL){
		"any resource":       func(a *metadata.ACL) { a.Resource = anything },
		"unknown resource":   func(a *metadata.ACL) { a.Resource = byte(types) },
		"negative resource":  func(a *metadata.ACL) { a.Resource = 255 },
		"match":              func(a *metadata.ACL) { a.Pattern = byte(Match) },
		"another cluster":    func(a *metadata.ACL) { a.Resource = byte(TypeCluster) },
		"any operation":      func(a *metadata.ACL) { a.Operation = anything },
		"unknown operation":  func(a *metadata.ACL) { a.Operation = 16 },
		"any permission":     func(a *metadata.ACL) { a.Permission = anything },
		"no type":            func(a *metadata.ACL) { a.Principal = "alice" },
		"no name":            func(a *metadata.ACL) { a.Principal = "User:" },
		"name of a host":     func(a *metadata.ACL) { a.Host = "example.org" },
		"no host":            func(a *metadata.ACL) { a.Host = "" },
		"range of 33 bits":   func(a *metadata.ACL) { a.Host = "10.0.0.0/33" },
		"range of both IPs":  func(a *metadata.ACL) { a.Host = "::ffff:0.0.0.0/95" },
		"range of addresses": func(a *metadata.ACL) { a.Host = "10.0.0.1-10.0.0.9" },
	} {
		a := good
		if change(&a); Check(a) == nil {
			t.Errorf("%s: taken", what)
		}
		if NewTable(Config{}, metadata.ACLSet{ACLs: []metadata.ACL{a}}).Allows(alice("10.0.0.1"), Read, Topic("t")) {
			t.Errorf("%s: it allows something", what)
		}
	}
}

// TestFilter has a row for each way to say which ACLs are meant.
func TestFilter(t *testing.T) {
	acls := []string{
		"allow User:alice * read topic:orders", "deny User:alice 10.0.0.7 write topic:orders", "allow User:* * all topic:*",
		"allow User:bob * read topic:ord...", "allow User:bob * read group:orders", "allow User:bob * read topic:orders.eu...",
	}
	str := func(s string) *string { return &s }
	all := Filter{Resource: anything, Pattern: AnyPattern, Operation: anything, Permission: anything}
	for _, x := range []struct {
		what   string
		change func(*Filter)
		want   string // numbers of acls
	}{
		{"all", func(*Filter) {}, "[0 1 2 3 4 5]"},
		{"a type", func(f *Filter) { f.Resource = TypeGroup }, "[4]"},
		{"any pattern of a name", func(f *Filter) { f.Name = str("orders") }, "[0 1 4]"},
		{"any pattern of a prefix", func(f *Filter) { f.Name = str("ord") }, "[3]"},
		{"literal", func(f *Filter) { f.Pattern = Literal }, "[0 1 2 4]"},
		{"literal of a name", func(f *Filter) { f.Pattern, f.Name = Literal, str("orders") }, "[0 1 4]"},
		{"literal of a prefix", func(f *Filter) { f.Pattern, f.Name = Literal, str("ord") }, "[]"},
		{"literal of the wildcard", func(f *Filter) { f.Pattern, f.Name = Literal, str("*") }, "[2]"},
		{"prefixed", func(f *Filter) { f.Pattern = Prefixed }, "[3 5]"},
		{"prefixed of a name", func(f *Filter) { f.Pattern, f.Name = Prefixed, str("ord") }, "[3]"},
		{"match", func(f *Filter) { f.Pattern, f.Name, f.Resource = Match, str("orders"), TypeTopic }, "[0 1 2 3]"},
		{"match of another name", func(f *Filter) { f.Pattern, f.Name = Match, str("orders.eu") }, "[2 3 5]"},
		{"match without a name", func(f *Filter) { f.Pattern = Match }, "[0 1 2 3 4 5]"},
		{"a principal, as such", func(f *Filter) { f.Principal = str("User:alice") }, "[0 1]"},
		{"a host, as such", func(f *Filter) { f.Host = str("10.0.0.7") }, "[1]"},
		{"an operation, as such", func(f *Filter) { f.Operation = Read }, "[0 3 4 5]"},
		{"a permission", func(f *Filter) { f.Permission = Deny }, "[1]"},
	} {
		f := all
		x.change(&f)
		if err := f.Check(); err != nil {
			t.Errorf("%s: %v", x.what, err)
		}
		taken := []int{}
		for i, text := range acls {
			if f.Takes(entry(t, text)) {
				taken = append(taken, i)
			}
		}
		if got := fmt.Sprint(taken); got != x.want {
			t.Errorf("%s: %s, want %s", x.what, got, x.want)
		}
	}
	for what, change := range map[string]func(*Filter){
		"type 0": func(f *Filter) { f.Resource = 0 }, "type 8": func(f *Filter) { f.Resource = types }, "type -1": func(f *Filter) { f.Resource = -1 },
		"pattern 0": func(f *Filter) { f.Pattern = 0 }, "pattern 5": func(f *Filter) { f.Pattern = 5 },
		"operation 0": func(f *Filter) { f.Operation = 0 }, "operation 16": func(f *Filter) { f.Operation = 16 },
		"permission 0": func(f *Filter) { f.Permission = 0 }, "permission 4": func(f *Filter) { f.Permission = 4 },
	} {
		f := all
		if change(&f); f.Check() == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestPrincipals(t *testing.T) {
	for text, want := range map[string]Principal{"User:a": {"User", "a"}, "User:CN=a:b": {"User", "CN=a:b"}, "Other:*": {"Other", "*"}} {
		if got, err := ParsePrincipal(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "a", ":a", "User:", ":"} {
		if got, err := ParsePrincipal(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestAllowsAllocatesNothing: it is on the way of every Produce and Fetch.
func TestAllowsAllocatesNothing(t *testing.T) {
	table := tableOf(t, Config{}, "allow User:alice * read topic:orders", "deny User:* 10.1.0.0/16 all topic:*", "allow User:alice * read topic:or...")
	c, on := alice("10.0.0.7"), Topic("orders")
	if n := testing.AllocsPerRun(100, func() { table.Allows(c, Read, on) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkAllows asks a table of 10,000 ACLs, half of them by prefixes of 20 lengths.
func BenchmarkAllows(b *testing.B) {
	var set metadata.ACLSet
	for i := range 10_000 {
		name := fmt.Sprintf("topic-%04d-%s", i/4, strings.Repeat("x", i%20))
		set.ACLs = append(set.ACLs, metadata.ACL{
			Resource: byte(TypeTopic), Pattern: byte(Literal) + byte(i%2), Name: name, Principal: "User:alice", Host: "*", Operation: byte(Read), Permission: byte(Allow),
		})
	}
	table, c := NewTable(Config{}, set), alice("10.0.0.7")
	on := Topic("topic-0001-xxxxxxxxxxxxxxxxxxxxxxxxxxxx")
	b.ReportAllocs()
	for b.Loop() {
		table.Allows(c, Read, on)
	}
}
