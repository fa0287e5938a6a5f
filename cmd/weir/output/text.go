package output

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Text shows bytes to a person: as they are when they are printable text, else quoted with escapes, so
// that a record can neither break a line nor drive a terminal. null and empty are <null> and "".
func Text(b []byte) string {
	switch {
	case b == nil:
		return "<null>"
	case len(b) == 0:
		return `""`
	case printable(b):
		return string(b)
	}
	return strconv.Quote(string(b))
}

func printable(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			return false
		}
		b = b[n:]
	}
	return true
}
