package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot has a connection of its own. The header goes as a frame; the receiver answers kindGo, or an
// answer that refuses; then chunks follow, each a length (uint32) and so many bytes, as many as the header's
// Size together, and an end of length 0 or, when the sender's reader failed, of abortChunk. The answer comes
// last.
const (
	chunkBytes = 256 << 10
	abortChunk = 1<<32 - 1
)

// InstallSnapshot streams args.Size bytes of data to the target and waits for its answer, which comes after
// the target has restored it. No pause may be longer than SnapshotTimeout. When data ends early or fails,
// the target is told, and the error is data's. The group's Close ends the call once data.Read returns.
func (g *Group) InstallSnapshot(_ raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	to, err := parseTarget(target)
	if err != nil {
		return err
	}
	frame := appendSnapshot(append(beginFrame(nil, kindSnapshot), g.id[:]...), args)
	if int64(len(frame)) > g.t.cfg.MaxControlBytes {
		return &FrameTooLargeError{Bytes: int64(len(frame)), Limit: g.t.cfg.MaxControlBytes}
	}
	if g.ctx.Err() != nil {
		return g.cause()
	}
	nc, _, err := g.t.dial(to, purposeSnapshot)
	if err != nil {
		return &UnreachableError{Node: to.node, Err: err}
	}
	defer g.t.drop(nc)
	if !g.own(nc) {
		return g.cause()
	}
	defer g.disown(nc)
	s := snapshotSender{nc: nc, reader: bufio.NewReader(nc), t: g.t, node: to.node}
	endFrame(frame, 0, 0)
	body, err := s.send(frame, args.Size, data)
	if err != nil {
		if g.ctx.Err() != nil {
			return g.cause()
		}
		return err
	}
	return decodeSnapshotResponse(body, resp)
}

type snapshotSender struct {
	t      *Transport
	nc     net.Conn
	reader *bufio.Reader
	node   int32
}

// send is the whole exchange; it returns the body of the answer.
func (s *snapshotSender) send(header []byte, size int64, data io.Reader) ([]byte, error) {
	if err := s.write(header); err != nil {
		return nil, err
	}
	kind, body, err := s.read()
	if err != nil {
		return nil, err
	}
	if kind == kindGo {
		if err := s.stream(size, data); err != nil {
			return nil, err
		}
		if kind, body, err = s.read(); err != nil {
			return nil, err
		}
	}
	if kind != kindAnswer || len(body) == 0 {
		return nil, fmt.Errorf("%w: kind %d of %d bytes as the answer to a snapshot", ErrMalformed, kind, len(body))
	}
	if status(body[0]) != statusOK {
		return nil, answerError(s.node, status(body[0]), body[1:])
	}
	return body[1:], nil
}

// stream sends the data in chunks.
func (s *snapshotSender) stream(size int64, data io.Reader) error {
	buf := newBuffer(4 + chunkBytes)
	defer buf.release()
	for size > 0 {
		n, err := io.ReadAtLeast(data, buf.b[4:4+min(size, chunkBytes)], 1)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("snapshot ends %d bytes early: %w", size, io.ErrUnexpectedEOF)
			}
			abort := uint32(abortChunk)
			return errors.Join(err, s.write(binary.BigEndian.AppendUint32(nil, abort)))
		}
		binary.BigEndian.PutUint32(buf.b, uint32(n))
		if err := s.write(buf.b[:4+n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return s.write([]byte{0, 0, 0, 0})
}

func (s *snapshotSender) write(b []byte) error {
	s.nc.SetWriteDeadline(time.Now().Add(s.t.cfg.SnapshotTimeout))
	if _, err := s.nc.Write(b); err != nil {
		return &UnreachableError{Node: s.node, Err: err}
	}
	return nil
}

func (s *snapshotSender) read() (frameKind, []byte, error) {
	s.nc.SetReadDeadline(time.Now().Add(s.t.cfg.SnapshotTimeout))
	var b [frameHeaderBytes]byte
	if _, err := io.ReadFull(s.reader, b[:]); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return 0, nil, &TimeoutError{Node: s.node, After: s.t.cfg.SnapshotTimeout, Stage: "answer"}
		}
		return 0, nil, &UnreachableError{Node: s.node, Err: err}
	}
	h := parseFrameHeader(b[:])
	if h.length > s.t.cfg.MaxControlBytes {
		return 0, nil, fmt.Errorf("%w: an answer of %d bytes to a snapshot", ErrMalformed, h.length)
	}
	body, err := appendRead(s.reader, int(h.length))
	if err != nil {
		return 0, nil, &UnreachableError{Node: s.node, Err: err}
	}
	return h.kind, body, nil
}

// serveSnapshot is the whole life of a connection that a snapshot comes on.
func (c *conn) serveSnapshot() error {
	c.nc.SetReadDeadline(time.Now().Add(c.t.cfg.ControlTimeout))
	h, err := c.readHeader()
	if err != nil {
		return err
	}
	if h.kind != kindSnapshot {
		return fmt.Errorf("%w: kind %d where a snapshot begins", ErrMalformed, h.kind)
	}
	body, err := c.readControl(h)
	if err != nil {
		return err
	}
	if len(body) < groupIDBytes {
		return fmt.Errorf("%w: a snapshot without a group", ErrMalformed)
	}
	id := GroupID(body)
	args, err := decodeSnapshot(body[groupIDBytes:])
	if err == nil {
		err = checkSnapshot(args)
	}
	g := c.t.group(id)
	if err == nil && g == nil {
		err = ErrUnknownGroup
	}
	if err != nil {
		return c.refuse(h, id, err)
	}
	response := newRPCAnswer(g)
	data := &chunkReader{c: c, left: args.Size}
	if err := g.deliver(raft.RPC{Command: args, Reader: data, RespChan: response.ch}, false); err != nil {
		return c.refuse(h, id, err)
	}
	if err := c.answerFrame(beginFrame(nil, kindGo), h.id); err != nil {
		response.wait() // raft reads, finds the connection dead, and answers
		return err
	}
	s, answerBody, _ := response.wait()
	c.answer(h.id, s, answerBody)
	return errDone
}

// chunkReader is what raft reads a snapshot from. Only raft's goroutine uses it.
type chunkReader struct {
	c     *conn
	left  int64 // bytes of the snapshot still to come
	chunk int64 // of which in this chunk
	err   error // what has ended it
}

// errAborted is what raft reads when the sender could not go on.
var errAborted = errors.New("the sender broke the snapshot off")

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	if r.err == nil && r.chunk == 0 {
		r.err = r.next()
	}
	if r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	r.patience()
	n, err := r.c.reader.Read(p[:min(int64(len(p)), r.chunk)])
	r.chunk -= int64(n)
	r.left -= int64(n)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		r.err = err
	}
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

// next begins a chunk.
func (r *chunkReader) next() error {
	r.patience()
	var b [4]byte
	if _, err := io.ReadFull(r.c.reader, b[:]); err != nil {
		return fmt.Errorf("%d bytes before the end: %w", r.left, io.ErrUnexpectedEOF)
	}
	switch n := int64(binary.BigEndian.Uint32(b[:])); {
	case n == 0 && r.left == 0:
		return io.EOF
	case n == abortChunk:
		return errAborted
	case n == 0 || n > r.left:
		return fmt.Errorf("%w: a chunk of %d bytes, %d are to come", ErrMalformed, n, r.left)
	default:
		r.chunk = n
		return nil
	}
}

func (r *chunkReader) patience() {
	r.c.nc.SetReadDeadline(time.Now().Add(r.c.t.cfg.SnapshotTimeout))
}
