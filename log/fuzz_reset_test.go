package log

import (
	"bytes"
	"testing"
)

// FuzzReset: what decodes is possible, and encodes to the same bytes.
func FuzzReset(f *testing.F) {
	f.Add(reset{offset: 7, raftIndex: 3, epochBefore: -1}.encode())
	f.Add(reset{offset: 1 << 40, raftIndex: 1 << 50, epochBefore: 9}.encode())
	f.Add([]byte(resetMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeReset(b)
		if err != nil {
			return
		}
		again := r.encode()
		again[6], again[7] = b[6], b[7] // reserved, under the CRC
		if r.sane() != nil || !bytes.Equal(again[:28], b[:28]) {
			t.Fatalf("%+v from %x", r, b)
		}
	})
}
