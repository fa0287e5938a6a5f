package wire

import (
	"encoding/binary"
	"io"
	"math"
	"time"
)

// copyBufferBytes is the unit in which file parts are copied that sendfile
// cannot take, or that are not worth it.
const copyBufferBytes = 64 << 10

// answer awaits reply, from begun on, writes it, and releases its parts and r,
// whatever happens to the connection meanwhile.
func (c *Conn) answer(r *Request, reply Reply, begun time.Duration) {
	response, err := c.await(reply)
	awaited := c.srv.clock.exact()
	ended, sent := awaited, err == nil && !response.Silent && !c.gone.Load()
	if sent {
		err = c.write(response.Parts)
		ended = c.srv.clock.exact()
	}
	c.srv.stats.count(r.Header.Key, r.timing, begun, awaited, ended, sent)
	for i := range response.Parts {
		if release := response.Parts[i].Release; release != nil {
			c.release(release)
		}
	}
	r.Release()
	if err != nil {
		c.fail(err)
	}
}

func (c *Conn) await(reply Reply) (response Response, err error) {
	defer c.recovered(&err)
	return reply.Await(c.ctx)
}

func (c *Conn) release(f func()) {
	var err error
	defer func() {
		if err != nil {
			c.fail(err)
		}
	}()
	defer c.recovered(&err)
	f()
}

// write puts one response on the wire.
func (c *Conn) write(parts []Part) (err error) {
	defer c.recovered(&err) // a file's ReadAt is not ours
	var size int64
	for i := range parts {
		size += int64(len(parts[i].Bytes)) + parts[i].File.Length
	}
	if size > math.MaxInt32 {
		return &ResponseSizeError{SizeBytes: size}
	}
	c.waits.writeSince.Store(c.srv.clock.now())
	defer c.wrote()
	if c.raw != nil {
		return c.writeDirect(parts, uint32(size))
	}
	return c.writeCopied(parts, uint32(size))
}

// progressed notes that the peer took n bytes.
func (c *Conn) progressed(n int) {
	c.srv.stats.BytesOut.Add(int64(n))
	c.waits.writeSince.Store(c.srv.clock.now())
}

// wrote ends the wait for the peer to take bytes and restarts its idle time.
func (c *Conn) wrote() {
	c.waits.writeSince.Store(0)
	if since := c.waits.idleSince.Load(); since != 0 {
		// Fails only if a request has begun, which ends the idle time anyway.
		c.waits.idleSince.CompareAndSwap(since, c.srv.clock.now())
	}
}

// writeCopied writes through one pooled buffer, for connections without a
// descriptor: small pieces leave together, and each write is short enough for
// its progress to be seen.
func (c *Conn) writeCopied(parts []Part, size uint32) error {
	b := getBuffer(copyBufferBytes)
	defer putBuffer(b)
	used := 4
	binary.BigEndian.PutUint32(b.b, size)
	flush := func() error {
		n, err := c.nc.Write(b.b[:used])
		c.progressed(n)
		used = 0
		return err
	}
	for i := range parts {
		for rest := parts[i].Bytes; len(rest) > 0; {
			n := copy(b.b[used:], rest)
			rest, used = rest[n:], used+n
			if used == len(b.b) {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		for file := parts[i].File; file.Length > 0; {
			n, err := file.read(b.b[used:])
			if err != nil {
				return err
			}
			if used += n; used == len(b.b) {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if used == 0 {
		return nil
	}
	return flush()
}

// read fills b from the start of the range, as far as it goes, and moves the
// start on. A file that is too short is an error, a short read is not.
func (f *FileRange) read(b []byte) (int, error) {
	b = b[:min(int64(len(b)), f.Length)]
	n, err := f.Reader.ReadAt(b, f.Position)
	f.Position += int64(n)
	f.Length -= int64(n)
	switch {
	case n == len(b):
		return n, nil
	case err == io.EOF:
		return n, &ShortFileError{Position: f.Position, MissedBytes: f.Length}
	case err == nil:
		return n, io.ErrNoProgress
	}
	return n, err
}
