//go:build !invariants

package mmap

const invariants = false
