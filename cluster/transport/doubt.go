package transport

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Sleep is for who rests longer than what Stands lets a caller be silent, as long as there is no doubt about any
// peer: until wake what stands for target in a term goes on to. doubt is closed while a broker, any one, is late with a
// turn.
func (g *Group) Sleep(target raft.ServerAddress, term uint64) (doubt <-chan struct{}, wake func()) {
	d := &g.t.doubts
	d.mu.Lock()
	doubt = d.begun
	d.mu.Unlock()
	to, err := parseTarget(target)
	if err != nil {
		return doubt, func() {}
	}
	c := g.standsOn(to)
	if c == nil {
		return doubt, func() {}
	}
	c.standing.mu.Lock()
	x := c.standing.find(g, term)
	c.standing.mu.Unlock()
	if x == nil {
		return doubt, func() {}
	}
	x.sleepers.Add(1)
	return doubt, func() { x.sleepers.Add(-1) }
}

// doubts is how many connections are late with their turns.
type doubts struct {
	mu    sync.Mutex // guards the rest; a leaf lock
	n     int
	begun chan struct{} // closed while n is above 0
}

// doubt is about one turn.
type doubt struct {
	d      *doubts
	timer  *time.Timer
	begun  bool // guarded by d.mu, like isOver
	isOver bool
}

// after begins a doubt when d has gone by and it is not over.
func (d *doubts) after(wait time.Duration) *doubt {
	x := &doubt{d: d}
	x.timer = time.AfterFunc(wait, x.begin)
	return x
}

func (x *doubt) begin() {
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	if x.isOver {
		return
	}
	if x.begun = true; x.d.n == 0 {
		close(x.d.begun)
	}
	x.d.n++
}

func (x *doubt) over() {
	x.timer.Stop()
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	x.isOver = true
	if !x.begun {
		return
	}
	if x.d.n--; x.d.n == 0 {
		x.d.begun = make(chan struct{})
	}
}
