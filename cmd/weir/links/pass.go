package links

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

func (l *Links) accept(to int, listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.serve(to, c) })
	}
}

// keep notes a connection for the end; false when that has come.
func (l *Links) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		c.Close()
		return false
	}
	l.conns[c] = true
	return true
}

func (l *Links) drop(c net.Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	c.Close()
}

// serve passes one connection on.
func (l *Links) serve(to int, in net.Conn) {
	if !l.keep(in) {
		return
	}
	defer l.drop(in)
	node, greeting, err := readGreeting(in)
	if err != nil {
		return
	}
	from := node - 1
	if from < 0 || from >= len(l.gates) {
		from = to // a probe of one that is no member yet
	}
	if !l.open(from, to) {
		return
	}
	out, err := net.Dial("tcp", l.behind[to])
	if err != nil || !l.keep(out) {
		return
	}
	defer l.drop(out)
	if _, err := out.Write(greeting); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pass(from, to, out, in) })
	both.Go(func() { l.pass(to, from, in, out) })
	both.Wait()
}

const (
	preambleBytes = 12 // magic, version, and the length of the rest
	fromEndBytes  = 5  // of the rest, up to the end of the caller's node id
)

// readGreeting reads a greeting (cluster/transport/handshake.go), which begins a connection and says from which node it
// comes. Errors: io.ErrUnexpectedEOF when it is too short to say so, those of reading.
func readGreeting(from io.Reader) (node int, greeting []byte, err error) {
	greeting = make([]byte, preambleBytes)
	if _, err := io.ReadFull(from, greeting); err != nil {
		return 0, nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint16(greeting[preambleBytes-2:]))
	if _, err := io.ReadFull(from, rest); err != nil {
		return 0, nil, err
	}
	if len(rest) < fromEndBytes {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return int(int32(binary.BigEndian.Uint32(rest[fromEndBytes-4:]))), append(greeting, rest...), nil
}

// chunk is bytes, and when they are to arrive.
type chunk struct {
	due   time.Time
	bytes []byte
}

const (
	chunkBytes = 32 << 10
	maxChunks  = 1024 // read and not delivered yet, of a direction of a connection
)

// pass copies in to out until either ends; what came is delivered before.
func (l *Links) pass(from, to int, out, in net.Conn) {
	chunks := make(chan chunk, maxChunks)
	l.running.Go(func() {
		defer close(chunks)
		for {
			b := make([]byte, chunkBytes)
			n, err := in.Read(b)
			if n > 0 {
				chunks <- chunk{time.Now().Add(l.gate(from, to).delay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range chunks {
		time.Sleep(time.Until(c.due))
		if !l.open(from, to) {
			break
		}
		if _, err := out.Write(c.bytes); err != nil {
			break
		}
		if rate := l.gate(from, to).rate; rate > 0 {
			time.Sleep(time.Duration(len(c.bytes)) * time.Second / time.Duration(rate))
		}
	}
	if l.open(from, to) {
		out.Close()
	}
	in.Close()
	for range chunks { // let the reader end
	}
}
