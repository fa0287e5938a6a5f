//go:build interop

package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// overseer says what becomes of what passes proxies. It may hold it back by not returning.
type overseer interface {
	// asks is told of a request before the broker has it, and may give it a fate.
	asks(r *request) error
	// answers is told of the answer, after its correlation id, before the client has it.
	answers(r *request, answer []byte) error
	// complain is told what cannot be.
	complain(format string, args ...any)
}

// fate is what becomes of a request and its answer.
type fate int

const (
	passes    fate = iota
	swallowed      // it is done, and instead of the answer its connection ends
	torn           // its connection ends before all of it is there
	late           // its answer comes after a while, and those behind it
)

// request is one that a client has sent.
type request struct {
	key, version  int16
	correlationID int32
	clientID      string
	rest          []byte // after the client's id

	fate  fate
	drawn float64 // of what is torn how much is there; of what is late how late it is: [0, 1)

	batches []batchID // of a produce request, noted by a storm
	cut     *cutOff   // of a commit, noted by cuts
}

// proxy stands between the clients and one broker, which tells them the proxy's address as its own.
type proxy struct {
	overseer overseer
	listener net.Listener
	behind   string // the broker
	running  sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

// startProxy has a proxy stand before a broker until the test ends.
func startProxy(t *testing.T, o overseer, behind string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{overseer: o, listener: listener, behind: behind, conns: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.closeAll()
		p.running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

func (p *proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// serve passes one connection on, until either side, or a fate, ends it. What a client has asked for that is gone is
// done nevertheless.
func (p *proxy) serve(client net.Conn) {
	p.keep(client)
	defer p.drop(client)
	broker, err := net.Dial("tcp", p.behind)
	if err != nil {
		return // killed
	}
	p.keep(broker)
	asked := make(chan *request, 100) // the broker answers in order
	var open, answers sync.WaitGroup
	answers.Go(func() {
		p.passAnswers(client, broker, asked, &open)
		p.drop(broker)
		client.Close()
		for range asked { // let the other side end
			open.Done()
		}
	})
	p.passRequests(broker, client, asked, &open)
	close(asked)
	open.Wait()
	p.drop(broker)
	answers.Wait()
}

func (p *proxy) passRequests(broker, client net.Conn, asked chan<- *request, open *sync.WaitGroup) {
	for {
		frame, err := readFrame(client)
		if err != nil {
			return
		}
		r, err := understand(frame)
		if err == nil {
			err = p.overseer.asks(r)
		}
		if err != nil {
			p.overseer.complain("a request that cannot be read: %v", err)
			return
		}
		if r.fate == torn {
			broker.Write(frame[:int(r.drawn*float64(len(frame)))])
			p.drop(broker)
			return
		}
		open.Add(1)
		asked <- r
		if _, err := broker.Write(frame); err != nil {
			p.drop(broker)
			return
		}
	}
}

func (p *proxy) passAnswers(client, broker net.Conn, asked <-chan *request, open *sync.WaitGroup) {
	for {
		frame, err := readFrame(broker)
		if err != nil {
			return
		}
		r, ok := <-asked
		if !ok {
			return
		}
		err = p.passAnswer(client, r, frame)
		open.Done()
		if err != nil {
			return
		}
	}
}

var errSwallowed = errors.New("the answer is not passed on")

func (p *proxy) passAnswer(client net.Conn, r *request, frame []byte) error {
	b := kbin.Reader{Src: frame[frameLength:]}
	id := b.Int32()
	err := b.Complete()
	if err == nil && id != r.correlationID {
		err = fmt.Errorf("correlation id %d, want %d", id, r.correlationID)
	}
	if err == nil {
		err = p.overseer.answers(r, b.Src)
	}
	if err != nil {
		p.overseer.complain("the answer to request %d, version %d: %v", r.key, r.version, err)
		return err
	}
	switch r.fate {
	case swallowed:
		return errSwallowed
	case late:
		time.Sleep(time.Duration(r.drawn * float64(latest)))
	}
	_, err = client.Write(frame)
	return err
}

// understand reads a request up to the client's id.
func understand(frame []byte) (*request, error) {
	b := kbin.Reader{Src: frame[frameLength:]}
	r := &request{key: b.Int16(), version: b.Int16(), correlationID: b.Int32()}
	if id := b.NullableString(); id != nil {
		r.clientID = *id
	}
	r.rest = b.Src
	return r, b.Complete()
}

// decode reads the request's body.
func (r *request) decode(into kmsg.Request) error {
	into.SetVersion(r.version)
	b := kbin.Reader{Src: r.rest}
	if into.IsFlexible() {
		kmsg.SkipTags(&b)
	}
	if !b.Ok() {
		return b.Complete()
	}
	return into.ReadFrom(b.Src)
}

// decodeAnswer reads the answer to it, after the correlation id.
func (r *request) decodeAnswer(answer []byte, into kmsg.Response) error {
	into.SetVersion(r.version)
	b := kbin.Reader{Src: answer}
	if into.IsFlexible() {
		kmsg.SkipTags(&b)
	}
	if !b.Ok() {
		return b.Complete()
	}
	return into.ReadFrom(b.Src)
}

const (
	frameLength   = 4        // bytes before a frame that say how long it is
	maxFrameBytes = 64 << 20 // above what clients fetch at once
)

// readFrame reads a request or an answer, with its length.
func readFrame(from io.Reader) ([]byte, error) {
	var length [frameLength]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxFrameBytes {
		return nil, errors.New("a frame that is too long")
	}
	frame := append(make([]byte, 0, frameLength+n), length[:]...)[:frameLength+n]
	_, err := io.ReadFull(from, frame[frameLength:])
	return frame, err
}
