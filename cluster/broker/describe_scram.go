package broker

// DescribeUserScramCredentials (key 50), version 0 (KIP-554): no user has any, since SASL is not served. kafka-configs asks for
// them when it describes a user's quotas.
//
// Checked: a user is named once: DUPLICATE_RESOURCE. Every user named is RESOURCE_NOT_FOUND, and all of them are none.
// For who may describe the cluster: CLUSTER_AUTHORIZATION_FAILED.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/protocol"
)

func (b *Broker) describeScram(_ context.Context, c *call, req *kmsg.DescribeUserSCRAMCredentialsRequest) (*kmsg.DescribeUserSCRAMCredentialsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	if err := c.may(acl.Describe, acl.Cluster); err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	named := make(map[string]int, len(req.Users))
	for _, u := range req.Users {
		named[u.Name]++
	}
	for _, u := range req.Users {
		code := protocol.CodeResourceNotFound
		switch named[u.Name] {
		case 0:
			continue // answered
		case 1:
		default:
			code = protocol.CodeDuplicateResource
		}
		delete(named, u.Name)
		out := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		out.User = u.Name
		out.ErrorCode, out.ErrorMessage = codeAndMessage(code)
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}
