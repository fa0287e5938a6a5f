//go:build !((linux && (amd64 || arm64 || 386 || arm)) || (darwin && (amd64 || arm64)))

package mmap

import "errors"

// newMapped has nothing to build on here: package gommap lacks the system.
func newMapped(uintptr, int64) (Region, error) { return nil, errors.ErrUnsupported }

func mapUnavailable(err error) bool { return errors.Is(err, errors.ErrUnsupported) }
