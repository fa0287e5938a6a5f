//go:build race || invariants

package wire

// poison overwrites a released buffer, so that a test build shows who still
// reads it.
func poison(b []byte) {
	b[0] = 0xDB
	for done := 1; done < len(b); done *= 2 {
		copy(b[done:], b[:done])
	}
}
