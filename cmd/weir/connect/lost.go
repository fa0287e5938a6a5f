package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lostContact tells when a broker that was there cannot be reached any more, and when it can again. The
// client itself tries on in silence.
type lostContact struct {
	mu    sync.Mutex // guards what follows
	log   io.Writer
	armed bool // the first contact has been made; how that fails is told elsewhere
	lost  map[string]bool
}

var _ kgo.HookBrokerConnect = (*lostContact)(nil)

// addresses are those that cannot be reached now, sorted.
func (l *lostContact) addresses() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.lost))
}

func (l *lostContact) arm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = true
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (l *lostContact) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	switch {
	case !l.armed, errors.Is(err, context.Canceled): // given up here, nothing wrong there
	case err != nil && !l.lost[addr]:
		if l.lost == nil {
			l.lost = map[string]bool{}
		}
		l.lost[addr] = true
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		fmt.Fprintf(l.log, "no connection to %s (%v), trying on\n", addr, err)
	case err == nil && l.lost[addr]:
		delete(l.lost, addr)
		fmt.Fprintf(l.log, "connected to %s again\n", addr)
	}
}
