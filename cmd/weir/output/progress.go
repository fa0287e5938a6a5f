package output

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progressEvery is how often the line is drawn at most: 4 Hz is smooth and costs nothing.
const progressEvery = 250 * time.Millisecond

// Progress draws one line on a terminal: how much of a known total is done, how fast and how long to
// go. A nil *Progress draws nothing, which is what a command that writes to a file uses. Set may be
// called from any goroutine and as often as one likes.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	label string
	unit  string
	total int64
	now   func() time.Time
	start time.Time
	drawn time.Time
	width int // of the line on the screen, to blot it out
}

// NewProgress begins at zero of total; unit is what is counted ("record").
func NewProgress(w io.Writer, label, unit string, total int64, now func() time.Time) *Progress {
	start := now() // the first line waits too: a rate over no time says nothing
	return &Progress{w: w, label: label, unit: unit, total: total, now: now, start: start, drawn: start}
}

// Set says that done of the total are done.
func (p *Progress) Set(done int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if now.Sub(p.drawn) < progressEvery {
		return
	}
	p.drawn = now
	line := p.line(done, now.Sub(p.start))
	fmt.Fprintf(p.w, "\r%-*s", p.width, line)
	p.width = len(line)
}

// Clear takes the line off the screen.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func (p *Progress) line(done int64, took time.Duration) string {
	const cells = 24
	part := 1.0
	if p.total > 0 {
		part = min(float64(done)/float64(p.total), 1)
	}
	full := int(part * cells)
	eta := "-"
	if done > 0 && p.total >= done {
		eta = Span(time.Duration(float64(took) * float64(p.total-done) / float64(done)))
	}
	return fmt.Sprintf("%s [%s%s] %3d%%  %s of %s  %s  ETA %s", p.label,
		strings.Repeat("#", full), strings.Repeat(".", cells-full), int(part*100),
		Count(done), Plural(p.total, p.unit), Rate(done, took, p.unit), eta)
}
