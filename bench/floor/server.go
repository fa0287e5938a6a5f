// Package floor is the least that a log server can do, to measure a real one against: frames from a
// socket are checksummed and written to a preallocated file, answered with their correlation id, and
// file ranges go back to the socket by sendfile. There is no protocol, no index, no offset and no
// recovery; what a broker uses above this is what its promises cost. With followers, which are such
// servers too, it is the least that a replicated log can do.
//
// It runs as a process of its own, so that its CPU time can be read apart from the load's.
package floor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// Limits of the server.
const (
	maxFrameBytes    = 256 << 20
	minFrameBytes    = 8 // API key, version, correlation id
	fileBytes        = 1 << 30
	preallocateBytes = 64 << 20
)

// apiFetch is Kafka's number of a fetch request; every other frame is stored.
const apiFetch = 1

// Config describes a floor server.
type Config struct {
	Dir string // where files are made; each connection writes its own
	// Sync answers only after the bytes were put on disk by fdatasync; frames that come while one is
	// under way share the next.
	Sync bool
	// ReadFileBytes, when above 0, is the size of a file made at the start, which fetch frames are
	// answered from, ReadBytes at a time. It is written once, so that it is in the page cache.
	ReadFileBytes int64
	ReadBytes     int64

	// Followers are the addresses of floor servers that store every frame too; a frame is answered once
	// a majority has it, this server among them.
	Followers []string
	// Unsummed leaves the checksum out: the frames come from a leader, which has made it.
	Unsummed bool
}

// Validate returns the first thing wrong with c.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("no folder")
	case c.ReadFileBytes < 0 || c.ReadFileBytes > 0 && (c.ReadBytes < 1 || c.ReadBytes > min(c.ReadFileBytes, maxFrameBytes)):
		return fmt.Errorf("reads of %d bytes from a file of %d bytes", c.ReadBytes, c.ReadFileBytes)
	}
	return nil
}

// Server is a running floor server.
type Server struct {
	cfg      Config
	ln       net.Listener
	readFile *os.File
	syncer   *syncer
	serving  sync.WaitGroup

	mu     sync.Mutex // guards all below
	conns  map[net.Conn]struct{}
	made   int // files named so far
	closed bool
	err    error
}

// Start serves connections on a picked loopback port until Close.
func Start(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, conns: map[net.Conn]struct{}{}}
	if cfg.ReadFileBytes > 0 {
		f, err := makeReadFile(cfg)
		if err != nil {
			return nil, err
		}
		s.readFile = f
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, s.closeFile())
	}
	s.ln = ln
	if cfg.Sync {
		s.syncer = startSyncer()
	}
	s.serving.Go(s.accept)
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close ends all connections and returns the first error that one of them met.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	err := s.ln.Close()
	s.serving.Wait()
	if s.syncer != nil {
		s.syncer.close()
	}
	return errors.Join(s.err, err, s.closeFile())
}

func (s *Server) closeFile() error {
	if s.readFile == nil {
		return nil
	}
	return s.readFile.Close()
}

func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.serving.Go(func() { s.serve(c.(*net.TCPConn)) })
	}
}

func (s *Server) serve(c *net.TCPConn) {
	session := &connection{server: s, conn: c, writer: fileWriter{server: s}}
	err := session.open()
	if err == nil {
		err = session.run()
	}
	if session.replicas != nil {
		err = errors.Join(session.replicas.close(), err)
	}
	s.note(err) // before the peer can see the connection end, and close the server
	c.Close()
	if session.acks != nil {
		session.acks.close()
	}
	s.note(session.writer.close())
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// note keeps the first error that is not the work of Close.
func (s *Server) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.closed && s.err == nil {
		s.err = err
	}
}

// connection reads frames. buf holds one frame, its size in front, and the size of the next, which comes
// along in the same read when it is there: one read a frame, nothing moved.
type connection struct {
	server   *Server
	conn     *net.TCPConn
	writer   fileWriter
	replicas *replicas // with Followers
	acks     *acks     // with Sync, and no Followers
	buf      []byte
	read     int64 // position in the file of fetches
	head     [8]byte
}

// open prepares what the server's config asks for.
func (c *connection) open() (err error) {
	cfg, syncer := c.server.cfg, c.server.syncer
	switch {
	case len(cfg.Followers) > 0:
		if c.replicas, err = connectReplicas(c.conn, cfg.Followers); err == nil {
			c.writer.settle = c.replicas.pending.Wait
		}
	case syncer != nil:
		c.acks = startAcks(c.conn, syncer)
		c.writer.settle = c.acks.pending.Wait
	}
	return err
}

func (c *connection) run() error {
	var size [4]byte
	held := 0 // bytes of size already here
	for {
		if _, err := io.ReadFull(c.conn, size[held:]); err != nil {
			if errors.Is(err, io.EOF) && held == 0 {
				return nil
			}
			return err
		}
		n := int64(binary.BigEndian.Uint32(size[:]))
		if n < minFrameBytes || n > maxFrameBytes {
			return fmt.Errorf("frame of %d bytes", n)
		}
		if int64(cap(c.buf)) < 4+n+4 {
			c.buf = make([]byte, 4+n+4)
		}
		copy(c.buf[:4], size[:])
		got, err := io.ReadAtLeast(c.conn, c.buf[4:4+n+4], int(n))
		if err != nil {
			return err
		}
		if err := c.handle(c.buf[:4+n]); err != nil {
			return err
		}
		held = copy(size[:], c.buf[4+n:4+got])
	}
}

// handle takes a frame with its size in front.
func (c *connection) handle(sized []byte) error {
	frame := sized[4:]
	if binary.BigEndian.Uint16(frame) == apiFetch && c.server.readFile != nil {
		return c.send(frame[4:8])
	}
	correlation, sum := [4]byte(frame[4:8]), uint32(0)
	if !c.server.cfg.Unsummed {
		// The sum goes into the answer, so that it cannot be left out.
		sum = crc32.Checksum(frame, castagnoli)
	}
	if c.replicas != nil {
		// Followers write while this server does.
		if err := c.replicas.send(sized, answer{correlation, sum}); err != nil {
			return err
		}
	}
	if err := c.writer.write(frame); err != nil {
		return err
	}
	switch {
	case c.replicas != nil:
		return c.replicas.storedHere(c.writer.file, c.server.syncer)
	case c.acks != nil:
		return c.acks.add(c.writer.file, correlation, sum)
	default:
		return writeAck(c.conn, correlation, sum)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const ackBytes = 12 // size, correlation id, checksum

func appendAck(dst []byte, correlation [4]byte, sum uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, ackBytes-4)
	dst = append(dst, correlation[:]...)
	return binary.BigEndian.AppendUint32(dst, sum)
}

func writeAck(c net.Conn, correlation [4]byte, sum uint32) error {
	var b [ackBytes]byte
	_, err := c.Write(appendAck(b[:0], correlation, sum))
	return err
}

// send answers a fetch with the next range of the file.
func (c *connection) send(correlation []byte) error {
	cfg := c.server.cfg
	if c.read+cfg.ReadBytes > cfg.ReadFileBytes {
		c.read = 0
	}
	binary.BigEndian.PutUint32(c.head[:], uint32(cfg.ReadBytes+4))
	copy(c.head[4:], correlation)
	if err := sendRange(c.conn, c.head[:], c.server.readFile, c.read, cfg.ReadBytes); err != nil {
		return err
	}
	c.read += cfg.ReadBytes
	return nil
}

// fileWriter appends to preallocated files, a new one when the last is full.
type fileWriter struct {
	server    *Server
	settle    func() // with Sync: waits until nobody needs file
	file      *os.File
	position  int64
	allocated int64
}

func (w *fileWriter) write(b []byte) error {
	n := int64(len(b))
	if w.file == nil || w.position+n > fileBytes && w.position > 0 {
		if err := w.roll(); err != nil {
			return err
		}
	}
	if w.position+n > w.allocated {
		grow := max(n, preallocateBytes)
		if err := preallocate(w.file, w.allocated, grow); err != nil {
			return err
		}
		w.allocated += grow
	}
	_, err := w.file.WriteAt(b, w.position)
	w.position += n
	return err
}

func (w *fileWriter) roll() error {
	if err := w.close(); err != nil {
		return err
	}
	w.server.mu.Lock()
	w.server.made++
	name := fmt.Sprintf("%06d.floor", w.server.made)
	w.server.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(w.server.cfg.Dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	w.file, w.position, w.allocated = f, 0, 0
	return err
}

func (w *fileWriter) close() error {
	if w.file == nil {
		return nil
	}
	if w.settle != nil {
		w.settle()
	}
	f := w.file
	w.file = nil
	return f.Close()
}

func makeReadFile(cfg Config) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(cfg.Dir, "read.floor"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	chunk := bytes.Repeat([]byte("floor of a log server\n"), 1<<20/22+1)[:1<<20]
	for n := int64(0); n < cfg.ReadFileBytes; {
		m, err := f.WriteAt(chunk[:min(int64(len(chunk)), cfg.ReadFileBytes-n)], n)
		if err != nil {
			f.Close()
			return nil, err
		}
		n += int64(m)
	}
	return f, nil
}

// Run is the whole program of a floor process: it serves until ctx ends, after it has written its
// address and a line end to ready.
func Run(ctx context.Context, cfg Config, ready io.Writer) error {
	s, err := Start(cfg)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(ready, s.Addr()); err != nil {
		return errors.Join(err, s.Close())
	}
	<-ctx.Done()
	return s.Close()
}
