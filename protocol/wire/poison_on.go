//go:build race || invariants

package wire

// poison overwrites a released buffer, so that a test build shows who still
// reads it.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xDB
	}
}
