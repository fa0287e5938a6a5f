package group

import "encoding/binary"

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

// subscription adds the topics of a consumer's metadata: version, then an array of names, then
// what only its assignors read.
func subscription(b []byte, topics map[string]bool) bool {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < -1 || int(n) > len(b)/2 {
		return false
	}
	for ; n > 0; n-- {
		if len(b) < 2 {
			return false
		}
		size := int(binary.BigEndian.Uint16(b))
		if size > len(b)-2 {
			return false
		}
		topics[string(b[2:2+size])] = true
		b = b[2+size:]
	}
	return true
}
