//go:build !linux

package floor

import (
	"io"
	"net"
	"os"
)

// Outside Linux the floor runs on what every system has. Its numbers are no floor there.

func preallocate(f *os.File, from, n int64) error { return f.Truncate(from + n) }

func datasync(f *os.File) error { return f.Sync() }

func sendRange(c *net.TCPConn, head []byte, file *os.File, from, n int64) error {
	if _, err := c.Write(head); err != nil {
		return err
	}
	_, err := io.Copy(c, io.NewSectionReader(file, from, n))
	return err
}
