package log

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"weir/protocol/histogram"
)

// ErrSyncerClosed is given to requests that come after Syncer.Close.
var ErrSyncerClosed = errors.New("log: syncer is closed")

// Syncer owns fdatasync for the logs of a node: several files side by side, and
// for each log one sync at a time, which all requests share that came before it
// began. What comes while it runs waits together for the next.
type Syncer struct {
	onFatal func(error)
	workers sync.WaitGroup
	times   histogram.Histogram
	ended   atomic.Int64 // syncs

	mu     sync.Mutex // guards the rest, and the queue of each log
	ready  sync.Cond
	logs   []*Log // with requests and no sync under way, first come first
	closed bool
}

// syncQueue is a log's part in its Syncer, guarded by the Syncer's lock.
type syncQueue struct {
	waiting []func(int64, error) // for the next sync
	spare   []func(int64, error) // the slice of the one before
	running bool
	syncing atomic.Bool // the disk is at it; not guarded
}

// NewSyncer starts workers goroutines, each of which can have one sync under
// way. fatal, if not nil, is called at most once per log, when a sync fails: the
// process is to stop, since nothing is known of what was written.
func NewSyncer(workers int, fatal func(error)) *Syncer {
	s := &Syncer{onFatal: fatal}
	s.ready.L = &s.mu
	for range max(workers, 1) {
		s.workers.Go(s.work)
	}
	return s
}

// Times is how long the syncs took.
func (s *Syncer) Times() *histogram.Histogram { return &s.times }

// Progress changes with each sync that ends, while a log with a request waits for its turn; it is -1 once the disk is at
// the log's own. So what does not change for long hangs, however many are before it.
func (s *Syncer) Progress(l *Log) int64 {
	if l.queue.syncing.Load() {
		return -1
	}
	return s.ended.Load()
}

func (s *Syncer) fatal(err error) {
	if s.onFatal != nil {
		s.onFatal(err)
	}
}

// Request has done called once everything appended to l before is durable, with
// the durable end offset, or with the error. done runs on a goroutine of the
// Syncer, or on one of its own when the Syncer is closed, and never within
// Request; it must be quick and may call Request.
func (s *Syncer) Request(l *Log, done func(durable int64, err error)) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		go done(l.DurableOffset(), ErrSyncerClosed) // the caller may hold a lock that done takes
		return
	}
	q := &l.queue
	q.waiting = append(q.waiting, done)
	if len(q.waiting) == 1 && !q.running {
		s.logs = append(s.logs, l)
		s.ready.Signal()
	}
	s.mu.Unlock()
}

// Close finishes all requests and ends the goroutines.
func (s *Syncer) Close() {
	s.mu.Lock()
	s.closed = true
	s.ready.Broadcast()
	s.mu.Unlock()
	s.workers.Wait()
}

func (s *Syncer) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.logs) == 0 {
			if s.closed {
				return
			}
			s.ready.Wait()
		}
		l := s.logs[0]
		s.logs[0] = nil
		s.logs = s.logs[1:]
		s.syncLocked(l)
	}
}

// syncLocked serves the requests of one log. It gives up the lock meanwhile.
func (s *Syncer) syncLocked(l *Log) {
	q := &l.queue
	batch := q.waiting
	q.waiting, q.spare = q.spare, nil
	q.running = true
	s.mu.Unlock()

	begun := time.Now()
	q.syncing.Store(true)
	due, err := l.syncOnce()
	s.ended.Add(1)
	s.times.Observe(time.Since(begun))
	durable := l.DurableOffset()
	for _, done := range batch {
		done(durable, err)
	}
	if due {
		// The error, if any, has been handed to fatal.
		_ = l.failIfSync(l.advanceRecoveryPoint())
	}
	q.syncing.Store(false)
	clear(batch)

	s.mu.Lock()
	q.running, q.spare = false, batch[:0]
	if len(q.waiting) > 0 {
		s.logs = append(s.logs, l)
		s.ready.Signal()
	}
}
