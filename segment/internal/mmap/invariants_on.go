//go:build invariants

package mmap

const invariants = true
