package config

import "testing"

func TestDefaultBrokerIsComplete(t *testing.T) {
	b := DefaultBroker()
	if b.NodeID != 1 || b.DataDir != "weir-data" || b.Topic.RetentionMillis != 604800000 || b.Topic.MaxMessageBytes != 1048588 {
		t.Fatalf("%+v", b)
	}
}
