package broker_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/protocol"
)

const (
	sessionKey   = "consumer.session.timeout.ms"
	heartbeatKey = "consumer.heartbeat.interval.ms"
)

// TestGroupConfigs: the values of a group bound its members and nobody else's, from their next heartbeat on.
func TestGroupConfigs(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, snappyBeats(nil))
	c := dial(t, b.Addr())
	c.createTopic("t", 2, nil)
	group := kmsg.ConfigResourceTypeGroupConfig
	const set, remove = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete
	mine, other := newBeater(c, "mine", "m"), newBeater(c, "other", "o")
	if got := mine.join("t").HeartbeatIntervalMillis; got != 100 {
		t.Errorf("at first a heartbeat each %d ms", got)
	}
	other.join("t")
	if got := configValue(c, group, "mine", sessionKey); got != "45000" {
		t.Errorf("the session is %s ms at first", got)
	}
	for _, x := range []struct {
		name, key, value string
		want             protocol.ErrorCode
	}{
		{"mine", heartbeatKey, "9", protocol.CodeInvalidConfig}, // less than the broker allows
		{"mine", sessionKey, "60001", protocol.CodeInvalidConfig},
		{"mine", sessionKey, "100", protocol.CodeInvalidConfig}, // no longer than the interval
		{"mine", "share.session.timeout.ms", "45000", protocol.CodeInvalidConfig},
		{"mine", "retention.ms", "45000", protocol.CodeInvalidConfig},
		{"", sessionKey, "45000", protocol.CodeInvalidRequest},
		{strings.Repeat("g", 256), sessionKey, "45000", protocol.CodeInvalidRequest},
		{"mine", heartbeatKey, "70", 0},
		{"mine", sessionKey, "1500", 0},
		{"not there yet", sessionKey, "50000", 0},
	} {
		if got := incremental(c, group, x.name, x.key, set, x.value); got != x.want {
			t.Errorf("%s of %.20q to %s: %v, want %v", x.key, x.name, x.value, got, x.want)
		}
	}
	if got := mine.beat().HeartbeatIntervalMillis; got != 70 {
		t.Errorf("set to 70, the interval is %d", got)
	}
	if got := other.beat().HeartbeatIntervalMillis; got != 100 {
		t.Errorf("the interval of another group is %d", got)
	}
	eventually(t, "the member is gone", func() bool { return describeConsumers(c, "mine").State == "Empty" })
	if state := describeConsumers(c, "other").State; state == "Empty" { // it has the broker's 45 s
		t.Errorf("the other group is %s", state)
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, snappyBeats(nil))
	defer stop(t, b)
	c = dial(t, b.Addr())
	if got := configValue(c, group, "mine", sessionKey); got != "1500" {
		t.Errorf("after a restart the session is %s ms", got)
	}
	list := kmsg.NewPtrListConfigResourcesRequest()
	list.Version, list.ResourceTypes = 1, []int8{int8(group)}
	if got := ask[*kmsg.ListConfigResourcesResponse](c, list).ConfigResources; len(got) != 2 || got[0].Name != "mine" || got[1].Name != "not there yet" {
		t.Errorf("listed: %+v", got)
	}
	if got := incremental(c, group, "not there yet", sessionKey, remove, ""); got != 0 {
		t.Errorf("remove: %v", got)
	}
	if got := ask[*kmsg.ListConfigResourcesResponse](c, list).ConfigResources; len(got) != 1 {
		t.Errorf("listed after that: %+v", got)
	}
	full := kmsg.NewPtrAlterConfigsRequest()
	full.Version, full.ValidateOnly = 2, true
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = group, "mine"
	full.Resources = append(full.Resources, r)
	for _, want := range []int{1, 0} { // first tried out, then done
		if code := ask[*kmsg.AlterConfigsResponse](c, full).Resources[0].ErrorCode; code != 0 {
			t.Fatal(protocol.ErrorCode(code))
		}
		if got := ask[*kmsg.ListConfigResourcesResponse](c, list).ConfigResources; len(got) != want {
			t.Errorf("validate only is %v, listed: %+v", full.ValidateOnly, got)
		}
		full.ValidateOnly = false
	}
}

// TestGroupConfigsOfACluster: whichever broker takes them, the group's coordinator goes by them.
func TestGroupConfigsOfACluster(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string { return snappyBeats(nil) })
	for i, b := range brokers {
		value := []string{"46000", "47000", "48000"}[i]
		if got := incremental(dial(t, b.Addr()), kmsg.ConfigResourceTypeGroupConfig, "g", sessionKey, kmsg.IncrementalAlterConfigOpSet, value); got != 0 {
			t.Fatal(got)
		}
		eventually(t, "every broker has it", func() bool { return sessionsOf(t, brokers) == strings.Repeat(value+" ", 3) })
	}
}

// sessionsOf is what each broker takes for the session timeout of group g.
func sessionsOf(t *testing.T, brokers []*broker.Broker) string {
	t.Helper()
	var all strings.Builder
	for _, b := range brokers {
		all.WriteString(configValue(dial(t, b.Addr()), kmsg.ConfigResourceTypeGroupConfig, "g", sessionKey) + " ")
	}
	return all.String()
}
