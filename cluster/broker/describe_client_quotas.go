package broker

// DescribeClientQuotas (key 48), versions 0-1 (KIP-546): the quotas of the entities that a filter takes. A component of the
// filter takes one name, the default, or both any name and the default; strict takes only entities of exactly the types
// that the filter has. A filter without components takes all, or, strict, none.
//
// Checked: a type once, with a name where one is asked for and only there: INVALID_REQUEST; the type is user, client-id or
// ip, of which there are no quotas, and which goes with no other: UNSUPPORTED_VERSION, INVALID_REQUEST.
// For who may describe the cluster's configurations: CLUSTER_AUTHORIZATION_FAILED.
// Added by version: 1 flexible.

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/protocol"
)

// entityIP is a type of Kafka's that is known and has no quotas here.
const entityIP = "ip"

// Ways to match an entity's name.
const (
	matchExact   kmsg.QuotasMatchType = 0
	matchDefault kmsg.QuotasMatchType = 1
	matchAny     kmsg.QuotasMatchType = 2
)

func (b *Broker) describeClientQuotas(_ context.Context, c *call, req *kmsg.DescribeClientQuotasRequest) (*kmsg.DescribeClientQuotasResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	err := c.may(acl.DescribeConfigs, acl.Cluster)
	if err == nil {
		err = checkQuotaFilter(req.Components)
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{} // null is for errors
	for _, q := range b.node.Image().Quotas().Clients {
		if takesEntity(req, q.Entity) {
			resp.Entries = append(resp.Entries, quotaEntry(q))
		}
	}
	return resp, nil
}

func checkQuotaFilter(components []kmsg.DescribeClientQuotasRequestComponent) error {
	named := make(map[string]bool)
	for _, c := range components {
		switch {
		case c.EntityType == "":
			return invalidRequest("a type of entity is empty")
		case named[c.EntityType]:
			return invalidRequest("the type %q is named twice", c.EntityType)
		case c.EntityType != entityUser && c.EntityType != entityClientID && c.EntityType != entityIP:
			return protocol.CodeUnsupportedVersion
		case c.MatchType < matchExact || c.MatchType > matchAny:
			return invalidRequest("there is no match type %d", c.MatchType)
		case (c.MatchType == matchExact) != (c.Match != nil):
			return invalidRequest("a name is missing, or there should be none, to match a %s", c.EntityType)
		}
		named[c.EntityType] = true
	}
	if named[entityIP] && len(components) > 1 {
		return invalidRequest("the type %s goes with no other", entityIP)
	}
	return nil
}

func takesEntity(req *kmsg.DescribeClientQuotasRequest, e metadata.QuotaEntity) bool {
	types := 0
	for _, n := range []metadata.QuotaName{e.User, e.ClientID} {
		if n.Kind != metadata.QuotaAny {
			types++
		}
	}
	if req.Strict && types != len(req.Components) {
		return false
	}
	for _, c := range req.Components {
		name := metadata.QuotaName{} // of an address
		switch c.EntityType {
		case entityUser:
			name = e.User
		case entityClientID:
			name = e.ClientID
		}
		switch {
		case name.Kind == metadata.QuotaAny,
			c.MatchType == matchDefault && name.Kind != metadata.QuotaDefault,
			c.MatchType == matchExact && (name.Kind != metadata.QuotaNamed || name.Name != *c.Match):
			return false
		}
	}
	return true
}

func quotaEntry(q metadata.ClientQuota) kmsg.DescribeClientQuotasResponseEntry {
	out := kmsg.NewDescribeClientQuotasResponseEntry()
	add := func(kind string, n metadata.QuotaName) {
		if n.Kind != metadata.QuotaAny {
			e := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			e.Type, e.Name = kind, nullable(n.Name, n.Kind == metadata.QuotaDefault)
			out.Entity = append(out.Entity, e)
		}
	}
	add(entityUser, q.Entity.User)
	add(entityClientID, q.Entity.ClientID)
	for _, key := range slices.Sorted(maps.Keys(q.Values)) {
		v := kmsg.NewDescribeClientQuotasResponseEntryValue()
		v.Key, v.Value = key, q.Values[key]
		out.Values = append(out.Values, v)
	}
	return out
}
