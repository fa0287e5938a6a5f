package offheap

import (
	"errors"
	"math"
	"syscall"
	"testing"
)

// TestSliceTooLarge: what the system does not have is an error, and no end of the process.
func TestSliceTooLarge(t *testing.T) {
	if _, _, err := Slice[uint64](math.MaxInt / 8); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("all of the address space: %v", err)
	}
}
