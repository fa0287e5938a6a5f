package floor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
)

// replicas sends one connection's frames on to the followers, which are floor servers too, and answers
// them in their order: each once a majority has stored it, of which this server is one.
//
// That is the least that replication can cost: the bytes cross a socket to each follower, are written
// there, and each frame has one short answer. The leader alone sums them. A follower that sums again
// guards against its network and its memory, as Kafka's and Weir's do, but no acknowledgement needs it.
type replicas struct {
	client  *net.TCPConn
	links   []*net.TCPConn // to the followers, one each
	reading sync.WaitGroup // readers of links
	pending sync.WaitGroup // requests that the syncer holds

	mu       sync.Mutex // guards all below
	waiting  []answer   // of frames in their order, those given left out
	answered int64      // frames before waiting
	stored   []int64    // frames that this server has, then those of each follower
	sorted   []int64
	out      []byte
	closing  bool
	err      error
}

type answer struct {
	correlation [4]byte
	sum         uint32
}

// self is the server's own place in stored; followers come after it.
const self = 0

func connectReplicas(client *net.TCPConn, followers []string) (*replicas, error) {
	r := &replicas{client: client, stored: make([]int64, 1+len(followers))}
	for _, address := range followers {
		link, err := net.Dial("tcp", address)
		if err != nil {
			r.closeLinks()
			return nil, fmt.Errorf("follower: %w", err)
		}
		r.links = append(r.links, link.(*net.TCPConn))
	}
	for i, link := range r.links {
		r.reading.Go(func() { r.read(self+1+i, link) })
	}
	return r, nil
}

// send hands a frame, its size in front, to every follower.
func (r *replicas) send(sized []byte, a answer) error {
	r.mu.Lock()
	r.waiting = append(r.waiting, a)
	r.mu.Unlock()
	for _, link := range r.links {
		if _, err := link.Write(sized); err != nil {
			return fmt.Errorf("follower: %w", err)
		}
	}
	return nil
}

// read counts the answers of a follower, which come in the order of the frames. After close has ended
// what goes there, the follower ends what comes from there.
func (r *replicas) read(place int, link net.Conn) {
	in := bufio.NewReader(link)
	for {
		var ack [ackBytes]byte
		if _, err := io.ReadFull(in, ack[:]); err != nil {
			r.linkEnded(place, err)
			return
		}
		more := in.Buffered() / ackBytes // these are answered in the same write
		_, err := in.Discard(more * ackBytes)
		if r.has(place, int64(1+more), err) != nil {
			return
		}
	}
}

func (r *replicas) linkEnded(place int, err error) {
	r.mu.Lock()
	expected := r.closing && errors.Is(err, io.EOF)
	r.mu.Unlock()
	if !expected {
		_ = r.has(place, 0, fmt.Errorf("follower: %w", err))
	}
}

// storedHere counts a frame that was written to file, after a sync when there is a syncer.
func (r *replicas) storedHere(file *os.File, s *syncer) error {
	if s == nil {
		return r.has(self, 1, nil)
	}
	r.pending.Add(1)
	s.asked <- request{file: file, told: func(err error) {
		defer r.pending.Done()
		_ = r.has(self, 1, err) // an error ends the connection
	}}
	return nil
}

// has counts frames that were stored at a place and answers what a majority has. The first error ends
// the connection.
func (r *replicas) has(place int, frames int64, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.stored[place] += frames
	if err == nil {
		err = r.answer()
	}
	if err != nil {
		r.err = err
		_ = r.client.CloseRead() // wakes the reader of frames, which ends the connection
	}
	return err
}

func (r *replicas) answer() error {
	n := r.majority() - r.answered
	if n == 0 {
		return nil
	}
	r.out = r.out[:0]
	for _, a := range r.waiting[:n] {
		r.out = appendAck(r.out, a.correlation, a.sum)
	}
	r.waiting = slices.Delete(r.waiting, 0, int(n))
	r.answered += n
	_, err := r.client.Write(r.out)
	return err
}

// majority is how many frames are stored here and by as many followers as make it a majority.
func (r *replicas) majority() int64 {
	r.sorted = append(r.sorted[:0], r.stored[self+1:]...)
	slices.Sort(r.sorted)
	needed := len(r.stored) / 2 // beside this server
	return min(r.stored[self], r.sorted[len(r.sorted)-needed])
}

// close waits until every follower has stored what it was sent, unless something failed, and returns
// what did.
func (r *replicas) close() error {
	r.pending.Wait()
	r.mu.Lock()
	r.closing = true
	if r.err != nil {
		r.closeLinks()
	}
	r.mu.Unlock()
	for _, link := range r.links {
		_ = link.CloseWrite() // of a link that is closed already it is an error
	}
	r.reading.Wait()
	r.closeLinks()
	return r.err
}

func (r *replicas) closeLinks() {
	for _, link := range r.links {
		link.Close()
	}
}
