package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// TestNobodyHasScramCredentials: describing the quotas of users, kafka-configs asks for these as well.
func TestNobodyHasScramCredentials(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := dial(t, b.Addr())
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	if resp := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](c, req); resp.ErrorCode != 0 || len(resp.Results) != 0 {
		t.Errorf("of all: %+v", resp)
	}
	for _, name := range []string{"alice", "bob", "bob"} {
		req.Users = append(req.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: name})
	}
	resp := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](c, req)
	if resp.ErrorCode != 0 || len(resp.Results) != 2 {
		t.Fatalf("of alice, bob, and bob: %+v", resp)
	}
	for i, want := range []struct {
		user string
		code protocol.ErrorCode
	}{{"alice", protocol.CodeResourceNotFound}, {"bob", protocol.CodeDuplicateResource}} {
		got := resp.Results[i]
		if got.User != want.user || protocol.ErrorCode(got.ErrorCode) != want.code || got.ErrorMessage == nil || len(got.CredentialInfos) != 0 {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
