package protocol

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Where Kafka and franz-go differ, Kafka's word counts.
var (
	renamedCodes   = map[ErrorCode]string{CodeNotLeaderOrFollower: "NOT_LEADER_FOR_PARTITION"}
	retriableCodes = map[ErrorCode]bool{CodeShareSessionNotFound: true, CodeInvalidShareSessionEpoch: true}
)

// Names and retriable flags are those of an independent table.
func TestCodesAreThoseOfKafka(t *testing.T) {
	for i := range codeTable {
		c := firstCode + ErrorCode(i)
		if c == CodeNone {
			continue
		}
		want := kerr.TypedErrorForCode(int16(c)) // UNKNOWN_SERVER_ERROR when it has none
		name := c.String()
		if renamed, ok := renamedCodes[c]; ok {
			name = renamed
		}
		if name != want.Message {
			t.Errorf("code %d is %s, want %s", int16(c), c, want.Message)
		}
		if c.Retriable() != want.Retriable && !retriableCodes[c] {
			t.Errorf("%s: retriable is %t", c, c.Retriable())
		}
		if c.Message() == "" || strings.HasSuffix(c.Message(), ".") {
			t.Errorf("%s has message %q", c, c.Message())
		}
	}
	if next := firstCode + ErrorCode(len(codeTable)); kerr.TypedErrorForCode(int16(next)) != kerr.UnknownServerError {
		t.Errorf("code %d is missing", next)
	}
}

func TestConstantsStandAtTheirNames(t *testing.T) {
	for c, want := range map[ErrorCode]string{
		CodeUnknownServerError: "UNKNOWN_SERVER_ERROR", CodeNone: "NONE",
		CodeUnknownTopicOrPartition: "UNKNOWN_TOPIC_OR_PARTITION", CodeUnknownTopicID: "UNKNOWN_TOPIC_ID",
		CodeInvalidTxnState: "INVALID_TXN_STATE", CodeControllerIDNotRegistered: "CONTROLLER_ID_NOT_REGISTERED",
		-2: "UNKNOWN_ERROR_CODE(-2)", 32767: "UNKNOWN_ERROR_CODE(32767)",
	} {
		if c.String() != want {
			t.Errorf("code %d is %s, want %s", int16(c), c, want)
		}
	}
	if ErrorCode(999).Retriable() || ErrorCode(999).Message() == "" {
		t.Error("an unknown code is not retriable and says that it is unknown")
	}
}
