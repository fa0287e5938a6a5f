// Package quota limits what clients take of a broker: bytes that they produce and fetch, and time of its processors
// (KIP-13, KIP-124). It is pure: the time is handed in.
package quota

import "weir/cluster/metadata"

// Kind is what a quota limits.
type Kind int

const (
	Produce Kind = iota // bytes of Produce requests a second
	Fetch               // bytes of records fetched a second
	Request             // time of a processor that requests take, in hundredths of one processor
	kinds
)

// keys are Kafka's names of the kinds.
var keys = [kinds]string{"producer_byte_rate", "consumer_byte_rate", "request_percentage"}

// Kinds lists all.
func Kinds() []Kind { return []Kind{Produce, Fetch, Request} }

// String is Kafka's name of the quota.
func (k Kind) String() string { return keys[k] }

// Lookup finds the kind of that name.
func Lookup(key string) (Kind, bool) {
	for k, name := range keys {
		if name == key {
			return Kind(k), true
		}
	}
	return 0, false
}

// Limits are the quotas of a cluster, as a table to look clients up in. It is immutable.
type Limits struct {
	index uint64
	rates [kinds]map[metadata.QuotaEntity]float64
	used  [kinds][len(precedence)]bool // there are entities of that form
}

// form is the form of an entity.
type form struct{ user, client metadata.QuotaNameKind }

// precedence is Kafka's: of the entities that a client belongs to, the first that has a quota counts.
var precedence = [...]form{
	{metadata.QuotaNamed, metadata.QuotaNamed},
	{metadata.QuotaNamed, metadata.QuotaDefault},
	{metadata.QuotaNamed, metadata.QuotaAny},
	{metadata.QuotaDefault, metadata.QuotaNamed},
	{metadata.QuotaDefault, metadata.QuotaDefault},
	{metadata.QuotaDefault, metadata.QuotaAny},
	{metadata.QuotaAny, metadata.QuotaNamed},
	{metadata.QuotaAny, metadata.QuotaDefault},
}

// NewLimits makes the table. Quotas of other kinds, which another version may know, are left out.
func NewLimits(set metadata.QuotaSet) *Limits {
	l := &Limits{index: set.Index}
	for k := range kinds {
		l.rates[k] = make(map[metadata.QuotaEntity]float64)
		for _, q := range set.Clients {
			if rate, ok := q.Values[keys[k]]; ok {
				l.rates[k][q.Entity] = rate
			}
		}
		for i, f := range precedence {
			for e := range l.rates[k] {
				l.used[k][i] = l.used[k][i] || e.User.Kind == f.user && e.ClientID.Kind == f.client
			}
		}
	}
	return l
}

// Index is that of the set of quotas the table was made of.
func (l *Limits) Index() uint64 { return l.index }

// Client is what limits one client.
type Client struct {
	rates   [kinds]float64 // a second, in the unit of the kind; 0: no limit
	holders [kinds]holder
}

// holder is who shares a limit: all clients of a user, a client id whoever uses it, or a client id of a user.
type holder struct {
	kind         Kind
	user, client metadata.QuotaName
}

// Client finds what limits the client of that user and client id, nil for nothing. A client id is told from others by its
// first metadata.MaxQuotaNameBytes.
func (l *Limits) Client(user, clientID string) *Client {
	clientID = clientID[:min(len(clientID), metadata.MaxQuotaNameBytes)]
	var c *Client
	for k := range kinds {
		rate, h := l.find(k, user, clientID)
		if rate == 0 {
			continue
		}
		if c == nil {
			c = &Client{}
		}
		c.rates[k], c.holders[k] = rate, h
	}
	return c
}

func (l *Limits) find(k Kind, user, clientID string) (rate float64, h holder) {
	for i, f := range precedence {
		if !l.used[k][i] {
			continue
		}
		e := metadata.QuotaEntity{User: nameOf(f.user, user), ClientID: nameOf(f.client, clientID)}
		if rate, ok := l.rates[k][e]; ok {
			return rate, holder{k, held(f.user, user), held(f.client, clientID)}
		}
	}
	return 0, holder{}
}

// nameOf is how an entity of that kind of name names it.
func nameOf(kind metadata.QuotaNameKind, name string) metadata.QuotaName {
	if kind != metadata.QuotaNamed {
		name = ""
	}
	return metadata.QuotaName{Kind: kind, Name: name}
}

// held is how a holder names it: by the default each has a limit of its own.
func held(kind metadata.QuotaNameKind, name string) metadata.QuotaName {
	if kind == metadata.QuotaAny {
		return metadata.QuotaName{}
	}
	return metadata.QuotaName{Kind: metadata.QuotaNamed, Name: name}
}

// Limited says whether the client has a quota of that kind.
func (c *Client) Limited(k Kind) bool { return c.rates[k] > 0 }
