package config

import (
	"errors"
	"testing"
	"time"
)

func TestGroupValues(t *testing.T) {
	const session, interval = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
	b, err := New(map[string]string{"group.consumer.session.timeout.ms": "50000", "group.consumer.min.heartbeat.interval.ms": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		values map[string]string
		want   any // the error
	}{
		{nil, nil},
		{map[string]string{session: "60000", interval: "15000"}, nil},
		{map[string]string{session: "45000", interval: "1000"}, nil},
		{map[string]string{session: "44999"}, new(*InvalidValueError)},
		{map[string]string{session: "60001"}, new(*InvalidValueError)},
		{map[string]string{interval: "999"}, new(*InvalidValueError)},
		{map[string]string{interval: "15001"}, new(*InvalidValueError)},
		{map[string]string{interval: "soon"}, new(*InvalidValueError)},
		{map[string]string{"share.session.timeout.ms": "45000"}, new(*UnknownKeyError)},
		{map[string]string{"group.consumer.session.timeout.ms": "45000"}, new(*UnknownKeyError)},
		{map[string]string{"retention.ms": "45000"}, new(*UnknownKeyError)},
	} {
		if err := ValidateGroup(x.values, b); (x.want == nil) != (err == nil) || x.want != nil && !errors.As(err, x.want) {
			t.Errorf("%v: %v, want %T", x.values, err, x.want)
		}
	}
	near, err := New(map[string]string{"group.consumer.max.heartbeat.interval.ms": "60000", "group.consumer.min.session.timeout.ms": "10000"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ValidateGroup(map[string]string{session: "20000", interval: "20000"}, near); !errors.As(err, new(*InvalidValueError)) {
		t.Errorf("a session as long as an interval: %v", err)
	}
	for _, x := range []struct {
		values map[string]string
		want   Group
	}{
		{nil, Group{HeartbeatInterval: 5 * time.Second, SessionTimeout: 50 * time.Second}},
		{map[string]string{interval: "1500"}, Group{HeartbeatInterval: 1500 * time.Millisecond, SessionTimeout: 50 * time.Second}},
		{map[string]string{session: "90000"}, Group{HeartbeatInterval: 5 * time.Second, SessionTimeout: time.Minute}}, // set when the bounds were others
	} {
		if got := ResolveGroup(x.values, b); got != x.want {
			t.Errorf("%v: %v, want %v", x.values, got, x.want)
		}
	}
}

func TestAlterAndDescribeGroup(t *testing.T) {
	b := DefaultBroker()
	values, err := AlterGroup(nil, []Op{{Name: "consumer.session.timeout.ms", Value: "60000"}}, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AlterGroup(values, []Op{{Name: "consumer.session.timeout.ms", Kind: OpAppend, Value: "1"}}, b); !errors.As(err, new(*NotAllowedError)) {
		t.Errorf("append: %v", err)
	}
	if _, err := AlterGroup(values, []Op{{Name: "consumer.session.timeout.ms", Value: "1"}}, b); !errors.As(err, new(*InvalidValueError)) {
		t.Errorf("out of bounds: %v", err)
	}
	described := DescribeGroup(values, b)
	if len(described) != 2 {
		t.Fatalf("%+v", described)
	}
	interval, session := described[0], described[1]
	if interval.Value != "5000" || interval.Source != FromDefault || session.Value != "60000" || session.Source.ConfigSource() != 8 || session.ReadOnly {
		t.Errorf("%+v", described)
	}
	if n := len(session.Synonyms); n != 2 || session.Synonyms[0].Source != FromGroup {
		t.Errorf("synonyms: %+v", session.Synonyms)
	}
	if values, err = AlterGroup(values, []Op{{Name: "consumer.session.timeout.ms", Kind: OpDelete}}, b); err != nil || len(values) != 0 {
		t.Errorf("deleted: %v, %v", values, err)
	}
}
