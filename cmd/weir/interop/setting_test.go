//go:build interop

package interop

import (
	"os"
	"strconv"
	"testing"
)

// setting reads a size from the environment.
func setting(t *testing.T, name string, fallback int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number from 1 on", name, text)
	}
	return n
}
