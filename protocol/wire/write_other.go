//go:build !linux

package wire

import (
	"net"
	"syscall"
)

// Elsewhere every connection is written through a buffer.
func rawConnOf(net.Conn) syscall.RawConn { return nil }

func (c *Conn) writeDirect(parts []Part, size uint32) error { return c.writeCopied(parts, size) }
