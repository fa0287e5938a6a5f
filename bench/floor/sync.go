package floor

import (
	"net"
	"os"
	"sync"
)

// syncer puts files on disk in rounds: what is asked for while one round runs shares the next.
type syncer struct {
	asked chan request
	done  chan struct{}
}

type request struct {
	file *os.File
	told func(error)
}

// roundRequests bounds what one round takes.
const roundRequests = 4096

func startSyncer() *syncer {
	s := &syncer{asked: make(chan request, roundRequests), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *syncer) close() {
	close(s.asked)
	<-s.done
}

func (s *syncer) run() {
	defer close(s.done)
	var round []request
	for first := range s.asked {
		round = append(round[:0], first)
		for len(round) < roundRequests && len(s.asked) > 0 {
			round = append(round, <-s.asked)
		}
		synced := syncAll(round)
		for _, r := range round {
			r.told(*synced[r.file])
		}
	}
}

// syncAll syncs each file of a round once, side by side.
func syncAll(round []request) map[*os.File]*error {
	synced := map[*os.File]*error{}
	for _, r := range round {
		synced[r.file] = new(error)
	}
	var wg sync.WaitGroup
	for file, result := range synced {
		wg.Go(func() { *result = datasync(file) })
	}
	wg.Wait()
	return synced
}

// acks writes a connection's answers once their bytes are on disk, in the order of the frames. All
// answers that a round has set free go out in one write.
type acks struct {
	conn    net.Conn
	syncer  *syncer
	pending sync.WaitGroup // requests that the syncer holds

	mu    sync.Mutex // guards all below
	err   error
	ready []byte
	wake  chan struct{}
	done  chan struct{}
}

func startAcks(c net.Conn, s *syncer) *acks {
	a := &acks{conn: c, syncer: s, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go a.run()
	return a
}

// add asks for a sync of what was written so far. It returns the error of an earlier one.
func (a *acks) add(file *os.File, correlation [4]byte, sum uint32) error {
	a.pending.Add(1)
	a.syncer.asked <- request{file: file, told: func(err error) {
		defer a.pending.Done()
		a.mu.Lock()
		if a.err == nil {
			a.err = err
		}
		if a.err == nil {
			a.ready = appendAck(a.ready, correlation, sum)
		}
		a.mu.Unlock()
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *acks) run() {
	defer close(a.done)
	var out []byte
	for range a.wake {
		a.mu.Lock()
		out, a.ready = append(out[:0], a.ready...), a.ready[:0]
		a.mu.Unlock()
		if len(out) == 0 {
			continue // the round before took these, or the sync failed
		}
		if _, err := a.conn.Write(out); err != nil {
			a.mu.Lock()
			a.err = err
			a.mu.Unlock()
		}
	}
}

func (a *acks) close() {
	a.pending.Wait()
	close(a.wake)
	<-a.done
}
