package config

// groupKeys are what single groups of the consumer protocol may set (KIP-848). Kafka's keys of share and streams groups
// are not here, since there are no such groups.
var groupKeys = []Key{
	{Name: "consumer.heartbeat.interval.ms", Type: TypeInt, Scope: ScopeGroup, Default: "5000", Valid: between{1, maxInt}, From: []Source{{Name: "group.consumer.heartbeat.interval.ms"}}, Doc: "Milliseconds between two heartbeats of a member, within group.consumer.min.heartbeat.interval.ms and its maximum."},
	{Name: "consumer.session.timeout.ms", Type: TypeInt, Scope: ScopeGroup, Default: "45000", Valid: between{1, maxInt}, From: []Source{{Name: "group.consumer.session.timeout.ms"}}, Doc: "Milliseconds after which a member that is not heard from counts as gone, within group.consumer.min.session.timeout.ms and its maximum."},
}

// groupBounds are the broker keys between which the values of a group are to be.
var groupBounds = map[string]struct{ least, most string }{
	"consumer.heartbeat.interval.ms": {"group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	"consumer.session.timeout.ms":    {"group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
}
