package metadata

import "fmt"

// MaxTopicNameBytes is the longest topic name.
const MaxTopicNameBytes = 249

// CheckTopicName applies Kafka's rule: 1 to 249 of a-z, A-Z, 0-9, dot, underscore and dash, and
// neither "." nor "..". The error is an InvalidNameError.
func CheckTopicName(name string) error {
	switch {
	case name == "":
		return &InvalidNameError{Name: name, Reason: "it is empty"}
	case name == "." || name == "..":
		return &InvalidNameError{Name: name, Reason: "it must not be . or .."}
	case len(name) > MaxTopicNameBytes:
		return &InvalidNameError{Name: name[:MaxTopicNameBytes] + "...", Reason: fmt.Sprintf("it has %d characters, more than %d", len(name), MaxTopicNameBytes)}
	}
	for i := 0; i < len(name); i++ {
		if !nameByte(name[i]) {
			return &InvalidNameError{Name: name, Reason: "only a-z, A-Z, 0-9, '.', '_' and '-' are allowed"}
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// The topics that brokers keep state in, by Kafka's names.
const (
	OffsetsTopic      = "__consumer_offsets"
	TransactionsTopic = "__transaction_state"
)

// IsInternal tells the topics that brokers keep their own state in.
func IsInternal(name string) bool {
	return name == OffsetsTopic || name == TransactionsTopic
}

// compareFolded orders names with dots read as underscores: names that compare equal would share
// one metric name in Kafka's tools, which is why only one of them may exist.
func compareFolded(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if d := int(fold(a[i])) - int(fold(b[i])); d != 0 {
			return d
		}
	}
	return len(a) - len(b)
}

func fold(c byte) byte {
	if c == '.' {
		return '_'
	}
	return c
}
