package floor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

func preallocate(f *os.File, from, n int64) error {
	if err := unix.Fallocate(int(f.Fd()), 0, from, n); err != nil {
		return fmt.Errorf("preallocate %s: %w", f.Name(), err)
	}
	return nil
}

func datasync(f *os.File) error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}

// sendRange writes head and then file[from, from+n) to c. The kernel holds head back until the first
// bytes of the file go with it.
func sendRange(c *net.TCPConn, head []byte, file *os.File, from, n int64) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	in := int(file.Fd())
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for len(head) > 0 {
			m, err := unix.SendmsgN(int(fd), head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			if again(err) {
				return false
			}
			if err != nil {
				failed = err
				return true
			}
			head = head[m:]
		}
		for n > 0 {
			m, err := unix.Sendfile(int(fd), in, &from, int(min(n, 1<<30)))
			if again(err) {
				return false
			}
			if err == nil && m == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				failed = err
				return true
			}
			n -= int64(m)
		}
		return true
	})
	return errors.Join(err, failed)
}

// again reports an error after which the call is made once more when the socket takes bytes.
func again(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)
}
