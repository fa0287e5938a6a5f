package job

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
)

// Said is one line that a member of a group writes: that it has read a record; that it has committed all
// that it had read; or that a commit was refused because the group shares anew: it wants to be asked again.
type Said struct {
	Read      *Position `json:"read,omitempty"`
	Committed bool      `json:"committed,omitempty"`
	Refused   bool      `json:"refused,omitempty"`
}

// Line is between a member of a group and the driver. Every further line of the program's input orders a
// commit; its end orders the member to close without one. A static member stays in its group then.
type Line struct {
	Orders <-chan struct{} // one for each commit; closed when the member is to go

	mu  sync.Mutex // guards out
	out *json.Encoder
}

func newLine(in *bufio.Reader, out io.Writer) *Line {
	orders := make(chan struct{})
	go func() {
		defer close(orders)
		for {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			orders <- struct{}{}
		}
	}()
	return &Line{Orders: orders, out: json.NewEncoder(out)}
}

// Read tells of a record.
func (l *Line) Read(p Position) error { return l.say(Said{Read: &p}) }

// Committed answers an order.
func (l *Line) Committed() error { return l.say(Said{Committed: true}) }

// Refused answers an order, too.
func (l *Line) Refused() error { return l.say(Said{Refused: true}) }

func (l *Line) say(s Said) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Encode(s)
}
