package controller

import (
	"sync"
	"time"
)

// LogLimit bounds what the library logs of many groups at once: of each message so many lines
// a second. Without it a broker that is gone has each of a thousand groups complain about it
// all the time. Nil has no limit.
type LogLimit struct {
	lines int // of one message in one second
	now   func() time.Time

	mu   sync.Mutex // guards the rest
	seen map[string]*lineCount
}

type lineCount struct {
	second  int64 // Unix time
	lines   int   // in that second
	dropped int   // since the last line that was passed on
}

// maxMessages bounds the messages that are told apart; the library has some dozens.
const maxMessages = 1000

// NewLogLimit returns one for all groups of a process.
func NewLogLimit(linesPerSecond int) *LogLimit {
	return &LogLimit{lines: linesPerSecond, now: time.Now, seen: make(map[string]*lineCount)}
}

// pass says whether a line of a message is to be logged now, and how many were not since the last.
func (l *LogLimit) pass(msg string) (dropped int, ok bool) {
	if l == nil {
		return 0, true
	}
	second := l.now().Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.seen[msg]
	if c == nil {
		if len(l.seen) == maxMessages {
			clear(l.seen)
		}
		c = new(lineCount)
		l.seen[msg] = c
	}
	if c.second != second {
		c.second, c.lines = second, 0
	}
	if c.lines == l.lines {
		c.dropped++
		return 0, false
	}
	c.lines++
	dropped, c.dropped = c.dropped, 0
	return dropped, true
}
