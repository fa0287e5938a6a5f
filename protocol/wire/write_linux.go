package wire

import (
	"encoding/binary"
	"net"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxIovecs is how many pieces one sendmsg carries.
	maxIovecs = 64

	// smallRangeBytes: up to here a file range is cheaper to read and to send
	// with its neighbours than to hand to sendfile (BenchmarkRangeSize).
	smallRangeBytes = 16 << 10

	// maxSendfileBytes is what one call is asked for, so that the end of a
	// connection is noticed in the middle of a long range.
	maxSendfileBytes = 4 << 20
)

// rawConnOf returns the way to the descriptor of nc, nil if it has none that
// takes sendmsg and sendfile.
func rawConnOf(nc net.Conn) syscall.RawConn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// directWriter writes one response to a socket: byte parts and small file
// ranges gathered into sendmsg, large ranges by sendfile. It is a state machine
// that runs inside RawConn.Write, which parks it while the socket is full.
type directWriter struct {
	conn *Conn
	step func(fd uintptr) bool // advance, bound once
	err  error

	parts []Part    // not begun
	file  FileRange // rest of the part that was begun
	left  int64     // bytes of both

	message     unix.Msghdr
	iovecs      [maxIovecs]unix.Iovec
	first, last int // iovecs not yet sent
	used        int // bytes of scratch in iovecs
	scratch     *buffer
	prefix      [sizePrefixBytes]byte
}

var directWriters = sync.Pool{New: func() any {
	d := new(directWriter)
	d.step = d.advance
	return d
}}

func (c *Conn) writeDirect(parts []Part, size uint32) error {
	d := directWriters.Get().(*directWriter)
	d.conn, d.parts, d.left = c, parts, int64(size)
	binary.BigEndian.PutUint32(d.prefix[:], size)
	d.push(d.prefix[:])
	d.fill()
	err := c.raw.Write(d.step)
	if err == nil {
		err = d.err
	}
	if d.scratch != nil {
		putBuffer(d.scratch)
	}
	*d = directWriter{step: d.step}
	directWriters.Put(d)
	return err
}

// advance sends until the socket is full (false) or all is sent or an error
// ends it (true).
func (d *directWriter) advance(fd uintptr) bool {
	for d.err == nil {
		switch {
		case d.conn.gone.Load():
			d.err = d.conn.endReason()
		case d.first < d.last:
			if !d.sendGathered(int(fd)) {
				return false
			}
		case d.file.isLarge():
			if !d.sendFile(int(fd)) {
				return false
			}
		case d.left == 0:
			return true
		default:
			d.first, d.last, d.used = 0, 0, 0
			d.fill()
		}
	}
	return true
}

// isLarge reports whether the range is for sendfile.
func (f *FileRange) isLarge() bool { return f.HasFd && f.Length > smallRangeBytes }

// fill gathers pieces up to the next large range.
func (d *directWriter) fill() {
	for d.last < maxIovecs && d.err == nil {
		switch {
		case d.file.isLarge():
			return
		case d.file.Length > 0:
			if d.scratch == nil {
				d.scratch = getBuffer(copyBufferBytes)
			}
			room := d.scratch.b[d.used:]
			if len(room) == 0 {
				return
			}
			n, err := d.file.read(room)
			d.push(room[:n])
			d.used, d.left, d.err = d.used+n, d.left-int64(n), err
		case len(d.parts) > 0:
			part := &d.parts[0]
			d.parts, d.file = d.parts[1:], part.File
			d.push(part.Bytes)
			d.left -= int64(len(part.Bytes))
		default:
			return
		}
	}
}

func (d *directWriter) push(b []byte) {
	if len(b) == 0 {
		return
	}
	d.iovecs[d.last].Base = unsafe.SliceData(b)
	d.iovecs[d.last].SetLen(len(b))
	d.last++
}

// sendGathered sends what it can of the iovecs and reports whether the socket
// may take more. While more follows it asks the kernel not to send a small
// packet, so that the head of a response leaves with its records.
func (d *directWriter) sendGathered(fd int) bool {
	flags := unix.MSG_NOSIGNAL
	if d.left > 0 {
		flags |= unix.MSG_MORE
	}
	d.message.Iov = &d.iovecs[d.first]
	d.message.SetIovlen(d.last - d.first)
	r, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.message)), uintptr(flags))
	if errno != 0 {
		return d.retry(errno)
	}
	n := int(r)
	d.conn.progressed(n)
	for n > 0 {
		v := &d.iovecs[d.first]
		have := int(v.Len)
		if n < have {
			v.Base = (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n))
			v.SetLen(have - n)
			return true
		}
		n -= have
		d.first++
	}
	return true
}

// sendFile sends what it can of the large range and reports whether the socket
// may take more.
func (d *directWriter) sendFile(fd int) bool {
	n, err := unix.Sendfile(fd, int(d.file.Fd), &d.file.Position, int(min(d.file.Length, maxSendfileBytes)))
	switch {
	case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP:
		d.file.HasFd = false // this file system cannot: copy
		return true
	case err != nil:
		return d.retry(err.(unix.Errno))
	case n == 0:
		d.err = &ShortFileError{Position: d.file.Position, MissedBytes: d.file.Length}
		return true
	}
	d.file.Length -= int64(n) // sendfile moved the position itself
	d.left -= int64(n)
	d.conn.progressed(n)
	return true
}

// retry reports whether to go on after errno, which may set the error.
func (d *directWriter) retry(errno unix.Errno) bool {
	switch errno {
	case unix.EAGAIN:
		return false
	case unix.EINTR:
		return true
	}
	d.err = errno
	return true
}
