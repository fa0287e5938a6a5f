package protocol

import "fmt"

// ErrorCode is an error code of the Kafka protocol. As an error it says its
// name and what it means.
type ErrorCode int16

func (c ErrorCode) info() (codeInfo, bool) {
	i := int(c) - int(firstCode)
	if i < 0 || i >= len(codeTable) {
		return codeInfo{}, false
	}
	return codeTable[i], true
}

// String is the code's name in Kafka, such as UNKNOWN_TOPIC_OR_PARTITION.
func (c ErrorCode) String() string {
	if info, ok := c.info(); ok {
		return info.name
	}
	return fmt.Sprintf("UNKNOWN_ERROR_CODE(%d)", int16(c))
}

// Message says in a few words what the code means.
func (c ErrorCode) Message() string {
	if info, ok := c.info(); ok {
		return info.message
	}
	return "the code is not known here"
}

func (c ErrorCode) Error() string { return c.String() + ": " + c.Message() }

// Retriable reports whether clients repeat a request that got this code.
func (c ErrorCode) Retriable() bool {
	info, _ := c.info()
	return info.retriable
}
