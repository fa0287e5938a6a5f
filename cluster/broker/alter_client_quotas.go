package broker

// AlterClientQuotas (key 49), versions 0-1 (KIP-546): quotas of users, client ids, and client ids of users; each entry
// succeeds or fails alone, whole.
//
// Checked, INVALID_REQUEST: the types of the entity, none twice, no empty name, of 255 bytes at most; the quota, by its name,
// and a number above 0, for bytes a whole one. More than 10,000 entities with quotas: POLICY_VIOLATION.
// For who may alter the cluster's configurations: CLUSTER_AUTHORIZATION_FAILED.
// Added by version: 1 flexible.
// Left out: quotas of addresses (connection_creation_rate), controller_mutation_rate: INVALID_REQUEST, since nothing would
// come of them. So is request_percentage where the system does not tell the time of a thread.

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/metadata"
	"weir/cluster/quota"
)

// Types of entities, by Kafka's names.
const (
	entityUser     = "user"
	entityClientID = "client-id"
)

func (b *Broker) alterClientQuotas(ctx context.Context, c *call, req *kmsg.AlterClientQuotasRequest) (*kmsg.AlterClientQuotasResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	errs := make([]error, len(req.Entries))
	refused := c.may(acl.AlterConfigs, acl.Cluster)
	var changes []metadata.QuotaChange
	var places []int // in errs, of the changes
	for i := range req.Entries {
		change, err := quotaChange(&req.Entries[i])
		if refused != nil {
			err = refused
		}
		if errs[i] = err; err == nil {
			changes = append(changes, change)
			places = append(places, i)
		}
	}
	if len(changes) > 0 {
		results, err := b.node.AlterQuotas(ctx, changes, req.ValidateOnly)
		for i, place := range places {
			if errs[place] = err; err == nil {
				errs[place] = results[i]
			}
		}
	}
	for i, in := range req.Entries {
		out := kmsg.NewAlterClientQuotasResponseEntry()
		out.ErrorCode, out.ErrorMessage = codeAndMessage(errs[i])
		for _, e := range in.Entity {
			entity := kmsg.NewAlterClientQuotasResponseEntryEntity()
			entity.Type, entity.Name = e.Type, e.Name
			out.Entity = append(out.Entity, entity)
		}
		resp.Entries = append(resp.Entries, out)
	}
	return resp, nil
}

func quotaChange(in *kmsg.AlterClientQuotasRequestEntry) (metadata.QuotaChange, error) {
	change := metadata.QuotaChange{Values: make(map[string]float64, len(in.Ops))}
	named := make(map[string]bool)
	for _, e := range in.Entity {
		name := metadata.QuotaName{Kind: metadata.QuotaDefault}
		if e.Name != nil {
			name = metadata.QuotaName{Kind: metadata.QuotaNamed, Name: *e.Name}
		}
		switch {
		case named[e.Type]:
			return change, invalidRequest("the type %q is named twice", e.Type)
		case e.Type == entityUser:
			change.Entity.User = name
		case e.Type == entityClientID:
			change.Entity.ClientID = name
		default:
			return change, invalidRequest("quotas are of a %s or a %s, not of %q", entityUser, entityClientID, e.Type)
		}
		named[e.Type] = true
	}
	for _, op := range in.Ops {
		if err := checkQuota(op); err != nil {
			return change, err
		}
		change.Values[op.Key] = 0
		if !op.Remove {
			change.Values[op.Key] = op.Value
		}
	}
	return change, nil
}

func checkQuota(op kmsg.AlterClientQuotasRequestEntryOp) error {
	kind, known := quota.Lookup(op.Key)
	switch {
	case !known:
		return invalidRequest("there is no quota %q; there are %v", op.Key, quota.Kinds())
	case op.Remove:
		return nil
	case kind == quota.Request && !hasThreadTime:
		return invalidRequest("%s needs the time that a thread has used, which this system does not tell", op.Key)
	case !(op.Value > 0) || math.IsInf(op.Value, 1):
		return invalidRequest("%s cannot be %g: it is above 0, and not endless", op.Key, op.Value)
	case kind != quota.Request && (op.Value != math.Trunc(op.Value) || op.Value >= math.MaxInt64):
		return invalidRequest("%s cannot be %s: it is a whole number of 64 bits", op.Key, fmt.Sprint(op.Value))
	}
	return nil
}
