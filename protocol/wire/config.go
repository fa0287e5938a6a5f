package wire

import (
	"fmt"
	"time"

	"weir/protocol"
)

// Config are the limits of a Server. A zero field means its default, except
// where the comment says otherwise.
type Config struct {
	// MaxRequestBytes bounds every request frame, whatever its API allows
	// (socket.request.max.bytes). Default 100 MiB, at most 256 MiB.
	MaxRequestBytes int

	// RequestLimit returns the largest frame, in bytes, that a connection may
	// send for an API; zero or less for an API that it may not call. It is
	// called before memory is taken for the frame. Default: the table of
	// package protocol.
	RequestLimit func(c *Conn, key int16) int

	// MemoryBytes bounds the memory of all request frames that are being read
	// or are not yet released. At the bound readers wait. One frame at a time
	// may exceed it to be completed. Default 256 MiB.
	MemoryBytes int64

	// ReadAheadRequests and ReadAheadBytes bound what one connection may have
	// sent without having been answered. Beyond them its socket is not read.
	// One request of any legal size is always read. Defaults 100 and 8 MiB.
	ReadAheadRequests int
	ReadAheadBytes    int64

	// MaxConnections bounds the open connections. Default 10,000.
	MaxConnections int
	// MaxConnectionsPerIP bounds those of one IPv4 address or IPv6 /64.
	// Zero means no bound beside MaxConnections: proxies and address
	// translation put whole fleets behind one address.
	MaxConnectionsPerIP int

	// ConnectionLimits, if it is set, is asked for both at each connection
	// instead, so that they can change. It is taken at its word: 0 lets nobody in.
	ConnectionLimits func() (total, perIP int)

	// IdleTimeout closes a connection without a request for so long
	// (connections.max.idle.ms). Default 10 min.
	IdleTimeout time.Duration
	// ReadTimeout is the time for a request to arrive, from its first byte,
	// waits for memory not counted. Default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout is the time for which a peer may take no byte of a
	// response. Default 60 s.
	WriteTimeout time.Duration
	// HandshakeTimeout is the time for a TLS handshake, on listeners that have
	// one. Default 10 s.
	HandshakeTimeout time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		MaxRequestBytes:   100 << 20,
		RequestLimit:      tableLimit,
		MemoryBytes:       256 << 20,
		ReadAheadRequests: 100,
		ReadAheadBytes:    8 << 20,
		MaxConnections:    10_000,
		IdleTimeout:       10 * time.Minute,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		HandshakeTimeout:  10 * time.Second,
	}
}

// tableLimit is the default RequestLimit.
func tableLimit(_ *Conn, key int16) int {
	api, ok := protocol.Lookup(key)
	if !ok {
		return 0
	}
	return api.MaxRequestBytes
}

// Validate names the first field that no server can work with.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxRequestBytes", int64(c.MaxRequestBytes)},
		{"MemoryBytes", c.MemoryBytes},
		{"ReadAheadRequests", int64(c.ReadAheadRequests)},
		{"ReadAheadBytes", c.ReadAheadBytes},
		{"MaxConnections", int64(c.MaxConnections)},
		{"MaxConnectionsPerIP", int64(c.MaxConnectionsPerIP)},
		{"IdleTimeout", int64(c.IdleTimeout)},
		{"ReadTimeout", int64(c.ReadTimeout)},
		{"WriteTimeout", int64(c.WriteTimeout)},
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
	} {
		if f.value < 0 {
			return fmt.Errorf("wire: %s is negative: %d", f.name, f.value)
		}
	}
	if c.MaxRequestBytes > maxFrameBytes {
		return fmt.Errorf("wire: MaxRequestBytes: got %d, want at most %d", c.MaxRequestBytes, maxFrameBytes)
	}
	return nil
}

// withDefaults fills the zero fields.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	orDefault(&c.MaxRequestBytes, d.MaxRequestBytes)
	orDefault(&c.MemoryBytes, d.MemoryBytes)
	orDefault(&c.ReadAheadRequests, d.ReadAheadRequests)
	orDefault(&c.ReadAheadBytes, d.ReadAheadBytes)
	orDefault(&c.MaxConnections, d.MaxConnections)
	orDefault(&c.IdleTimeout, d.IdleTimeout)
	orDefault(&c.ReadTimeout, d.ReadTimeout)
	orDefault(&c.WriteTimeout, d.WriteTimeout)
	orDefault(&c.HandshakeTimeout, d.HandshakeTimeout)
	if c.RequestLimit == nil {
		c.RequestLimit = d.RequestLimit
	}
	return c
}

func orDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
