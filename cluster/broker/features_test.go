package broker_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/cluster/metadata"
	"weir/protocol"
)

// features are what a broker says of group.version: its finalized level, 0 for none, and how many features it supports.
func features(c *rawClient, version int16) (level int16, supported int, epoch int64) {
	c.t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "x", "1"
	resp := ask[*kmsg.ApiVersionsResponse](c, req)
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "group.version" {
			level = f.MaxVersionLevel
		}
	}
	return level, len(resp.SupportedFeatures), resp.FinalizedFeaturesEpoch
}

func updateRequest(version int16, name string, level int16, kind int8) *kmsg.UpdateFeaturesRequest {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.Version, req.TimeoutMillis = version, 10_000
	u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	u.Feature, u.MaxVersionLevel, u.UpgradeType, u.AllowDowngrade = name, level, kind, kind > 1
	req.FeatureUpdates = append(req.FeatureUpdates, u)
	return req
}

func updated(c *rawClient, req *kmsg.UpdateFeaturesRequest) protocol.ErrorCode {
	c.t.Helper()
	resp := ask[*kmsg.UpdateFeaturesResponse](c, req)
	for _, r := range resp.Results {
		if r.ErrorCode != resp.ErrorCode {
			c.t.Errorf("of all it says %v, of %s %v", protocol.ErrorCode(resp.ErrorCode), r.Feature, protocol.ErrorCode(r.ErrorCode))
		}
	}
	if want := len(req.FeatureUpdates); req.Version < 2 && len(resp.Results) != want && resp.ErrorCode == 0 {
		c.t.Errorf("%d results, want %d", len(resp.Results), want)
	}
	return protocol.ErrorCode(resp.ErrorCode)
}

// Types of upgrade, by their numbers on the wire.
const (
	upgrade         = 1
	safeDowngrade   = 2
	unsafeDowngrade = 3
)

// TestUpdateFeatures: levels go down only when that is said, are told by ApiVersions, and are there after a restart.
func TestUpdateFeatures(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.StartIn(t, dir, nil)
	c := dial(t, b.Addr())
	for version, want := range map[int16]int{3: 0, 4: len(metadata.Features())} {
		if level, supported, epoch := features(c, version); level != 1 || supported != want || epoch < 0 {
			t.Errorf("v%d: finalized at %d, epoch %d, %d supported", version, level, epoch, supported)
		}
	}
	validate := updateRequest(1, "group.version", 0, safeDowngrade)
	validate.ValidateOnly = true
	twice := updateRequest(2, "group.version", 1, upgrade)
	twice.FeatureUpdates = append(twice.FeatureUpdates, twice.FeatureUpdates[0])
	half := updateRequest(2, "group.version", 0, unsafeDowngrade)
	half.FeatureUpdates = append(half.FeatureUpdates, updateRequest(2, "nope.version", 1, upgrade).FeatureUpdates...)
	many := updateRequest(1, "group.version", 1, upgrade)
	for i := range 101 {
		many.FeatureUpdates = append(many.FeatureUpdates, updateRequest(1, fmt.Sprint(i), 1, upgrade).FeatureUpdates...)
	}
	none := updateRequest(1, "", 0, upgrade)
	none.FeatureUpdates = nil
	_, _, before := features(c, 4)
	for _, x := range []struct {
		what  string
		req   *kmsg.UpdateFeaturesRequest
		want  protocol.ErrorCode
		level int16 // after that
	}{
		{"nothing", none, 0, 1},
		{"as it is", updateRequest(2, "group.version", 1, upgrade), 0, 1},
		{"down by an upgrade", updateRequest(1, "group.version", 0, upgrade), protocol.CodeInvalidUpdateVersion, 1},
		{"down by an upgrade of version 0", updateRequest(0, "group.version", 0, upgrade), protocol.CodeInvalidUpdateVersion, 1},
		{"unknown", updateRequest(1, "nope.version", 1, upgrade), protocol.CodeInvalidUpdateVersion, 1},
		{"too high", updateRequest(1, "group.version", 2, upgrade), protocol.CodeInvalidUpdateVersion, 1},
		{"too low", updateRequest(1, "group.version", -1, unsafeDowngrade), protocol.CodeInvalidUpdateVersion, 1},
		{"no type of upgrade", updateRequest(1, "group.version", 1, 7), protocol.CodeInvalidUpdateVersion, 1},
		{"twice", twice, protocol.CodeInvalidRequest, 1},
		{"too many", many, protocol.CodeInvalidRequest, 1},
		{"one good, one not", half, protocol.CodeInvalidUpdateVersion, 1},
		{"only validated", validate, 0, 1},
		{"down", updateRequest(1, "group.version", 0, safeDowngrade), 0, 0},
		{"up by a downgrade", updateRequest(1, "group.version", 1, safeDowngrade), protocol.CodeInvalidUpdateVersion, 0},
		{"up", updateRequest(2, "group.version", 1, upgrade), 0, 1},
		{"down by version 0", updateRequest(0, "group.version", 0, safeDowngrade), 0, 0},
	} {
		if got := updated(c, x.req); got != x.want {
			t.Errorf("%s: %v, want %v", x.what, got, x.want)
		}
		if level, _, _ := features(c, 4); level != x.level {
			t.Errorf("%s: level %d, want %d", x.what, level, x.level)
		}
	}
	stop(t, b)
	b = brokertest.StartIn(t, dir, nil)
	defer stop(t, b)
	c = dial(t, b.Addr())
	if level, supported, after := features(c, 4); level != 0 || supported != len(metadata.Features()) || after <= before {
		t.Errorf("after a restart: level %d, %d supported, epoch %d, which was %d", level, supported, after, before)
	}
}

// TestGroupVersion: at level 0 the consumer protocol is refused, and the classic one is not.
func TestGroupVersion(t *testing.T) {
	b := brokertest.Start(t, snappyBeats(nil))
	c := dial(t, b.Addr())
	c.createTopic("t", 1, nil)
	m := newBeater(c, "g", "m")
	m.join("t")
	if got := updated(c, updateRequest(1, "group.version", 0, unsafeDowngrade)); got != 0 {
		t.Fatal(got)
	}
	if got := protocol.ErrorCode(m.beat().ErrorCode); got != protocol.CodeUnsupportedVersion {
		t.Errorf("a heartbeat of a member: %v", got)
	}
	newcomer := newBeater(c, "h", "n")
	if got := protocol.ErrorCode(newcomer.join("t").ErrorCode); got != protocol.CodeUnsupportedVersion {
		t.Errorf("a newcomer: %v", got)
	}
	if got := protocol.ErrorCode(describeConsumers(c, "g").ErrorCode); got != protocol.CodeUnsupportedVersion {
		t.Errorf("describe: %v", got)
	}
	stable(t, c, "classic")
	if got := updated(c, updateRequest(1, "group.version", 1, upgrade)); got != 0 {
		t.Fatal(got)
	}
	if got := protocol.ErrorCode(newcomer.join("t").ErrorCode); got != 0 {
		t.Errorf("a newcomer when it is back: %v", got)
	}
}

// TestFeaturesOfACluster: a level is set by any broker, and all of them have it.
func TestFeaturesOfACluster(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	req := updateRequest(2, "group.version", 0, safeDowngrade)
	resp, err := req.RequestWith(t.Context(), newClient(t, []*broker.Broker{brokers[2]}))
	if err != nil || resp.ErrorCode != 0 || resp.Version != 2 {
		t.Fatalf("%+v, %v", resp, err)
	}
	for _, b := range brokers {
		brokertest.Eventually(t, "the level is everywhere", func() bool {
			level, _, _ := features(dial(t, b.Addr()), 4)
			return level == 0
		})
	}
}
