package config

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var errUnicodeEscape = errors.New(`malformed \uXXXX escape`)

// unicodeEscape reads the four digits behind \u, and the second half of a surrogate pair when
// there is one. n counts the bytes read.
func unicodeEscape(s string) (r rune, n int, err error) {
	first, ok := fourDigits(s)
	if !ok {
		return 0, 0, errUnicodeEscape
	}
	if !utf16.IsSurrogate(first) {
		return first, 4, nil
	}
	if rest, found := strings.CutPrefix(s[4:], `\u`); found {
		if second, ok := fourDigits(rest); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r, 10, nil
			}
		}
	}
	return 0, 0, errUnicodeEscape
}

func fourDigits(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}
