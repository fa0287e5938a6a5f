package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// DecodeRequest decodes a body that ParseRequestHeader returned. It fails with a
// *MalformedError when the body is not the message that h announces, holds null
// where the protocol forbids it, or would decode to far more than its own size.
// Bytes behind the message are ignored, as Kafka does.
//
// Strings are copied. Byte fields alias body and live as long as the frame: the
// records of Produce, which are many and large, and values of unknown tags.
func DecodeRequest(h RequestHeader, body []byte) (kmsg.Request, error) {
	size, err := checkBody(h.Key, h.Version, body)
	if err != nil {
		return nil, err
	}
	req := kmsg.RequestForKey(h.Key)
	req.SetVersion(h.Version)
	if err := req.ReadFrom(body[:size]); err != nil {
		return nil, malformedf("%s version %d: %v", kmsg.NameForKey(h.Key), h.Version, err)
	}
	return req, nil
}
