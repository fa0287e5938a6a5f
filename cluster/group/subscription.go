package group

// ConsumerType is the protocol type of consumers; others' metadata are not read.
const ConsumerType = "consumer"

// Subscribed is the topics that the members of the present generation subscribe to. known is
// false when that cannot be told: it is no group of consumers, or a subscription does not parse.
func (g *Classic) Subscribed() (topics map[string]bool, known bool) {
	if g.protocolType != ConsumerType || g.protocol == "" {
		return nil, false
	}
	topics = make(map[string]bool)
	for _, m := range g.members {
		if !subscription(m.metadata(g.protocol), topics) {
			return nil, false
		}
	}
	return topics, true
}

// subscription adds the topics of a consumer's metadata; what follows only its assignors read.
func subscription(b []byte, topics map[string]bool) bool {
	d := embedded{b: b}
	version, names := d.topics()
	if d.failed || version < 0 {
		return false
	}
	for _, name := range names {
		topics[name] = true
	}
	return true
}
