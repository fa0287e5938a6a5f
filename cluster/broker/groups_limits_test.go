package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

// TestGroupBounds: at each bound, and one more.
func TestGroupBounds(t *testing.T) {
	settings := map[string]string{"group.max.size": "2"}
	for k, v := range snappyGroups {
		settings[k] = v
	}
	b := brokertest.Start(t, settings)
	c := dial(t, b.Addr())
	joinCode := func(change func(*kmsg.JoinGroupRequest)) protocol.ErrorCode {
		t.Helper()
		m := newMember(c, "g")
		req := m.joinRequest(9)
		change(req)
		return protocol.ErrorCode(ask[*kmsg.JoinGroupResponse](c, req).ErrorCode)
	}
	required := protocol.CodeMemberIDRequired // it would be let in
	protocols := func(count, bytes int) func(*kmsg.JoinGroupRequest) {
		return func(req *kmsg.JoinGroupRequest) {
			req.Group, req.Protocols = fmt.Sprint("with ", count, " of ", bytes), nil
			for i := range count {
				p := kmsg.NewJoinGroupRequestProtocol()
				p.Name, p.Metadata = fmt.Sprint("p", i), make([]byte, bytes)
				req.Protocols = append(req.Protocols, p)
			}
		}
	}
	for _, x := range []struct {
		name   string
		change func(*kmsg.JoinGroupRequest)
		want   protocol.ErrorCode
	}{
		{"a name of 255 bytes", func(r *kmsg.JoinGroupRequest) { r.Group = strings.Repeat("g", 255) }, required},
		{"a name of 256 bytes", func(r *kmsg.JoinGroupRequest) { r.Group = strings.Repeat("g", 256) }, protocol.CodeInvalidGroupID},
		{"no name", func(r *kmsg.JoinGroupRequest) { r.Group = "" }, protocol.CodeInvalidGroupID},
		{"a protocol of 64 KiB", protocols(1, 64<<10), required},
		{"one more byte", protocols(1, 64<<10+1), protocol.CodeInvalidRequest},
		{"three of 64 KiB", protocols(3, 64<<10), required},
		{"256 KiB and their names", protocols(4, 64<<10), protocol.CodeInvalidRequest},
		{"the longest session", func(r *kmsg.JoinGroupRequest) { r.Group, r.SessionTimeoutMillis = "long", 1_800_000 }, required},
		{"a longer session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 }, protocol.CodeInvalidSessionTimeout},
		{"no session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 0 }, protocol.CodeInvalidSessionTimeout},
		{"an instance id of 256 bytes", func(r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr(strings.Repeat("i", 256)) }, protocol.CodeInvalidRequest},
		{"no protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }, protocol.CodeInconsistentGroupProtocol},
		{"the first id of a group of two", func(r *kmsg.JoinGroupRequest) { r.Group = "two" }, required},
		{"the second", func(r *kmsg.JoinGroupRequest) { r.Group = "two" }, required},
		{"the third", func(r *kmsg.JoinGroupRequest) { r.Group = "two" }, protocol.CodeGroupMaxSizeReached},
	} {
		if got := joinCode(x.change); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
}

// TestHostileMetadata: metadata and assignments are the members' own business; what makes no sense
// to the broker goes through it unchanged, and a restart too.
func TestHostileMetadata(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, snappyGroups)
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	m := newMember(c, "g")
	garbage := "\x00\x01\x7f\xff\xff\xff\x00"
	join := m.joinRequest(5)
	join.Protocols[0].Metadata = []byte(garbage)
	m.joined(ask[*kmsg.JoinGroupResponse](c, join))
	join.MemberID = m.id
	if resp := m.joined(ask[*kmsg.JoinGroupResponse](c, join)); string(resp.Members[0].ProtocolMetadata) != garbage {
		t.Errorf("joined: %+v", resp)
	}
	if code, assignment := m.sync(5, m.id, garbage, "nobody", "x"); code != 0 || assignment != garbage {
		t.Errorf("synced: %v %q", code, assignment)
	}
	if code := m.commit(5); code != 0 {
		t.Errorf("commit: %v", code)
	}
	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = "g"
	topic := kmsg.NewOffsetDeleteRequestTopic()
	topic.Topic, topic.Partitions = "t", []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
	del.Topics = append(del.Topics, topic)
	if resp := ask[*kmsg.OffsetDeleteResponse](c, del); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("delete offsets of who knows what is subscribed to: %+v", resp)
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, snappyGroups)
	defer stop(t, b)
	m.rawClient = dial(t, b.Addr())
	if code, assignment := m.sync(5); code != 0 || assignment != garbage {
		t.Errorf("synced after a restart: %v %q", code, assignment)
	}
}
