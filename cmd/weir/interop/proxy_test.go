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

// proxy stands between the clients and one broker, which tells them the proxy's address as its own.
type proxy struct {
	storm    *storm
	listener net.Listener
	behind   string // the broker
	running  sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

// startProxy has a proxy stand before a broker until the test ends.
func startProxy(t *testing.T, s *storm, behind string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{storm: s, listener: listener, behind: behind, conns: map[net.Conn]bool{}}
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

// request is one that the broker has been sent.
type request struct {
	key, version  int16
	correlationID int32
	fate          fate
	drawn         float64
	batches       []batchID // of a produce request
}

// serve passes one connection on, until either side, or a fate, ends it.
func (p *proxy) serve(client net.Conn) {
	p.keep(client)
	defer p.drop(client)
	broker, err := net.Dial("tcp", p.behind)
	if err != nil {
		return // killed
	}
	p.keep(broker)
	asked := make(chan request, 100) // the broker answers in order
	var answers sync.WaitGroup
	answers.Go(func() {
		p.passAnswers(client, broker, asked)
		p.drop(broker)
		client.Close()
		for range asked { // let the other side end
		}
	})
	p.passRequests(broker, client, asked)
	close(asked)
	p.drop(broker)
	answers.Wait()
}

func (p *proxy) passRequests(broker, client net.Conn, asked chan<- request) {
	for {
		frame, err := readFrame(client)
		if err != nil {
			return
		}
		r, err := p.understand(frame)
		if err != nil {
			p.storm.complain("a request that cannot be read: %v", err)
			return
		}
		if r.fate == torn {
			broker.Write(frame[:int(r.drawn*float64(len(frame)))])
			return
		}
		p.storm.forwarded(r.batches)
		asked <- r
		if _, err := broker.Write(frame); err != nil {
			return
		}
	}
}

func (p *proxy) passAnswers(client, broker net.Conn, asked <-chan request) {
	for {
		frame, err := readFrame(broker)
		if err != nil {
			return
		}
		r, ok := <-asked
		if !ok {
			return
		}
		if err := p.note(r, frame); err != nil {
			p.storm.complain("the answer to request %d, version %d: %v", r.key, r.version, err)
			return
		}
		switch r.fate {
		case swallowed:
			return
		case late:
			time.Sleep(time.Duration(r.drawn * float64(latest)))
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

// understand reads as much of a request as the proxy has to know, and draws its fate.
func (p *proxy) understand(frame []byte) (r request, err error) {
	b := kbin.Reader{Src: frame[frameLength:]}
	r.key, r.version, r.correlationID = b.Int16(), b.Int16(), b.Int32()
	if kmsg.Key(r.key) != kmsg.Produce {
		return r, b.Complete()
	}
	produce := kmsg.NewPtrProduceRequest()
	produce.SetVersion(r.version)
	b.NullableString() // client id
	if produce.IsFlexible() {
		kmsg.SkipTags(&b)
	}
	if !b.Ok() {
		return r, b.Complete()
	}
	if err := produce.UnsafeReadFrom(b.Src); err != nil {
		return r, err
	}
	for _, topic := range produce.Topics {
		for _, part := range topic.Partitions {
			var batch kmsg.RecordBatch
			if err := batch.UnsafeReadFrom(part.Records); err != nil {
				return r, err
			}
			r.batches = append(r.batches, batchID{part.Partition, batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence})
		}
	}
	r.fate, r.drawn = p.storm.draw()
	return r, nil
}

// note tells the storm what an answer says.
func (p *proxy) note(r request, frame []byte) error {
	b := kbin.Reader{Src: frame[frameLength:]}
	if id := b.Int32(); id != r.correlationID {
		return fmt.Errorf("correlation id %d, want %d", id, r.correlationID)
	}
	if kmsg.Key(r.key) != kmsg.Produce {
		return nil
	}
	answer := kmsg.NewPtrProduceResponse()
	answer.SetVersion(r.version)
	if answer.IsFlexible() {
		kmsg.SkipTags(&b)
	}
	if !b.Ok() {
		return b.Complete()
	}
	if err := answer.ReadFrom(b.Src); err != nil {
		return err
	}
	p.storm.answered(r.batches, answer)
	return nil
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
