package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// A request as franz-go frames it, but for the size prefix.
func frame(req kmsg.Request, correlationID int32, clientID *string) []byte {
	formatter := kmsg.NewRequestFormatter()
	if clientID != nil {
		formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID(*clientID))
	}
	return formatter.AppendRequest(nil, req, correlationID)[4:]
}

func TestHeadersOfFranzGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		api, version, req := drawRequest(t)
		var id *string
		if rapid.Bool().Draw(t, "client id") {
			id = kmsg.StringPtr(rapid.StringN(0, 30, 100).Draw(t, "id"))
		}
		correlation := rapid.Int32().Draw(t, "correlation")
		h, body, err := ParseRequestHeader(frame(req, correlation, id))
		want := RequestHeader{Key: api.Key, Version: version, CorrelationID: correlation}
		if id != nil {
			want.ClientID = *id
		}
		if err != nil || h != want {
			t.Fatalf("got %+v, %v, want %+v", h, err, want)
		}
		if !bytes.Equal(body, req.AppendTo(nil)) {
			t.Fatal("the body does not start behind the header")
		}
	})
}

func header(key, version int16, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	return append(b, rest...)
}

func TestHeadersThatAreRefused(t *testing.T) {
	var malformed *MalformedError
	var unknown *UnknownAPIError
	var version *UnsupportedVersionError
	for name, c := range map[string]struct {
		frame []byte
		want  any
	}{
		"nothing":                     {nil, &malformed},
		"half a correlation id":       {header(KeyMetadata, 1)[:6], &malformed},
		"no client id":                {header(KeyMetadata, 1), &malformed},
		"client id longer than frame": {header(KeyMetadata, 1, 0, 5, 'a'), &malformed},
		"client id of length -2":      {header(KeyMetadata, 1, 0xff, 0xfe), &malformed},
		"no tags":                     {header(KeyMetadata, 9, 0, 0), &malformed},
		"tag count":                   {header(KeyMetadata, 9, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), &malformed},
		"tag longer than frame":       {header(KeyMetadata, 9, 0, 0, 1, 5, 9, 0), &malformed},
		"tag length cut off":          {header(KeyMetadata, 9, 0, 0, 1, 5, 0x80), &malformed},
		"unknown key":                 {header(4, 0, 0, 0), &unknown},
		"negative key":                {header(-1, 0, 0, 0), &unknown},
		"version above":               {header(KeyMetadata, 14, 0, 0), &version},
		"negative version":            {header(KeyMetadata, -1, 0, 0), &version},
		"produce below its floor":     {header(KeyProduce, 2, 0, 0), &version},
		"ApiVersions above":           {header(KeyApiVersions, 99), &version},
	} {
		h, _, err := ParseRequestHeader(c.frame)
		if !errors.As(err, c.want) {
			t.Errorf("%s: got %T %v", name, err, err)
		}
		if len(c.frame) >= requestPrefixBytes && h.CorrelationID != 7 {
			t.Errorf("%s: the answer needs the correlation id, got %d", name, h.CorrelationID)
		}
	}
}

func TestNullClientIDAndTagsOfTheHeader(t *testing.T) {
	h, body, err := ParseRequestHeader(header(KeyMetadata, 9, 0xff, 0xff, 1, 5, 2, 'x', 'y', 'b'))
	if err != nil || h.ClientID != "" || string(body) != "b" {
		t.Errorf("%+v, %q, %v", h, body, err)
	}
}

func TestErrorTexts(t *testing.T) {
	api, _ := Lookup(KeyProduce)
	for err, want := range map[error]string{
		&UnknownAPIError{Key: 4}:                       "api key 4",
		&UnsupportedVersionError{API: api, Version: 2}: "Produce version 2 is not served, want 3 to 13",
		malformedf("%d bytes", 3):                      "3 bytes",
		CodeNotLeaderOrFollower:                        "NOT_LEADER_OR_FOLLOWER: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

// Every response header is what franz-go expects: tags where the version is
// flexible, but never for ApiVersions.
func TestResponseHeaders(t *testing.T) {
	for _, api := range apiTable {
		for version := api.Floor; version <= api.Max; version++ {
			h := RequestHeader{Key: api.Key, Version: version, CorrelationID: 0x01020304}
			req := kmsg.RequestForKey(api.Key)
			req.SetVersion(version)
			resp := req.ResponseKind()
			want := []byte{1, 2, 3, 4}
			if resp.IsFlexible() && api.Key != KeyApiVersions {
				want = append(want, 0)
			}
			if got := AppendResponseHeader(nil, h); !bytes.Equal(got, want) {
				t.Errorf("%s version %d: % x, want % x", api.Name, version, got, want)
			}
			want = resp.AppendTo(append([]byte("x"), want...))
			if got := AppendResponse([]byte("x"), h, resp); !bytes.Equal(got, want) {
				t.Errorf("%s version %d: response is % x, want % x", api.Name, version, got, want)
			}
		}
	}
}

// The answer to a version of ApiVersions that is not known is of version 0 in
// header and body (KIP-511).
func TestAnswerToAnUnknownApiVersions(t *testing.T) {
	h, _, err := ParseRequestHeader(header(KeyApiVersions, 99, 1, 2, 3))
	var unsupported *UnsupportedVersionError
	if !errors.As(err, &unsupported) || unsupported.API.Max != 5 {
		t.Fatal(err)
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(CodeUnsupportedVersion)
	if got, want := AppendResponse(nil, h, resp), []byte{0, 0, 0, 7, 0, 35, 0, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}

func FuzzParseRequestHeader(f *testing.F) {
	f.Add(header(KeyMetadata, 9, 0, 1, 'c', 1, 5, 1, 'x', 'b'))
	f.Add(header(KeyProduce, 3, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := ParseRequestHeader(b)
		if err != nil {
			return
		}
		if len(body)+len(h.ClientID)+requestPrefixBytes > len(b) || !bytes.HasSuffix(b, body) {
			t.Fatalf("%+v and a body of %d bytes out of %d", h, len(body), len(b))
		}
	})
}
