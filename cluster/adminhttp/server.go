// Package adminhttp is a broker's port for whoever looks after it: metrics, health and readiness over HTTP.
// It reads what the broker counts anyway, and only when it is asked.
package adminhttp

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"weir/cluster/broker"
)

// Bounds of what a client may take. Requests have no bodies that anybody reads.
const (
	maxConnections  = 64
	maxHeaderBytes  = 16 << 10
	maxScrapes      = 4 // at a time
	headerTimeout   = 5 * time.Second
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 2 * time.Minute // above the usual interval of scrapes
	shutdownTimeout = time.Second
)

// Server answers from the moment it is made, before there is a broker to tell of.
type Server struct {
	http    http.Server
	addr    string
	serving sync.WaitGroup

	broker   atomic.Pointer[broker.Broker]
	stopping atomic.Bool
}

// Config is what a Server needs to know.
type Config struct {
	Version          string // of the program, for weir_build_info
	PartitionMetrics bool   // there are series for each partition
	Logger           *slog.Logger
}

// Serve serves on ln until Close, which closes it.
func Serve(ln net.Listener, cfg Config) *Server {
	s := &Server{addr: ln.Addr().String()}
	process := []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
	metrics := newScraper(newCollector(&s.broker, cfg), process, cfg.Logger)
	mux := http.NewServeMux()
	for path, h := range map[string]http.Handler{
		"/metrics": metrics, "/public_metrics": metrics,
		"/healthz": http.HandlerFunc(s.healthz),
		"/readyz":  http.HandlerFunc(s.readyz), "/v1/status/ready": http.HandlerFunc(s.readyz),
	} {
		mux.Handle("GET "+path, h) // and HEAD
	}
	s.http = http.Server{
		Handler: mux, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	s.serving.Go(func() {
		if err := s.http.Serve(limit(ln, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("the admin listener ended", "addr", s.addr, "err", err)
		}
	})
	return s
}

// Addr is the address, as bound.
func (s *Server) Addr() string { return s.addr }

// Ready hands over the broker, which has started.
func (s *Server) Ready(b *broker.Broker) { s.broker.Store(b) }

// Stopping makes the broker unready: it is about to stop.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Close ends the server. What is being answered has a second to end.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	s.serving.Wait()
	return err
}

// healthz says that the process lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, status{Status: "ok"})
}

// readyz says whether clients are to be sent here, and if not, why.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	var reasons []string
	switch b := s.broker.Load(); {
	case s.stopping.Load():
		reasons = []string{"the broker is stopping"}
	case b == nil:
		reasons = []string{"the broker is starting"}
	default:
		reasons = unready(b.Node())
	}
	if len(reasons) > 0 {
		reply(w, http.StatusServiceUnavailable, status{Status: "not ready", Reasons: reasons})
		return
	}
	reply(w, http.StatusOK, status{Status: "ready"})
}

type status struct {
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
}

func reply(w http.ResponseWriter, code int, s status) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(s) // who has gone does not read it
}

// errorLog takes what goes wrong in a scrape.
type errorLog struct{ *slog.Logger }

func (l errorLog) Println(v ...any) { l.Warn("a scrape of metrics failed", "err", v) }

// limit closes connections that come while n are open.
func limit(ln net.Listener, n int) net.Listener {
	return &limited{Listener: ln, most: int64(n)}
}

type limited struct {
	net.Listener
	most int64
	open atomic.Int64
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &limitedConn{Conn: c, listener: l}, nil
		}
		l.open.Add(-1)
		c.Close()
	}
}

type limitedConn struct {
	net.Conn
	listener *limited
	once     sync.Once
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.once.Do(func() { c.listener.open.Add(-1) })
	return c.Conn.Close()
}
