package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"
)

// Config says who this node is, how it finds the others, and what it allows. A limit of zero means that
// of DefaultConfig.
type Config struct {
	ClusterID string // at most 256 bytes; nodes of another cluster are refused
	Node      int32
	Directory [16]byte

	// Listener takes the peers' connections. The transport closes it, also when Open fails.
	Listener net.Listener
	// Resolve gives the host:port of a peer. It is asked at each dial, from any goroutine, and must not block.
	Resolve func(node int32) (address string, ok bool)
	// TLS, when set, is used on both sides: as a server for what is accepted and as a client for what is
	// dialled (with the dialled host as ServerName when it has none).
	TLS    *tls.Config
	Logger *slog.Logger // nil drops everything

	MaxFrameBytes   int64 // of one AppendEntries, all told
	MaxControlBytes int64 // of any other frame: votes, calls and their answers, one side of each
	InFlightBytes   int64 // of entries sent to one peer and not yet answered
	ReceivedBytes   int64 // of entries received from all peers and not yet answered; one group may hold a quarter
	GroupQueue      int   // entries requests waiting for one group
	ControlQueue    int   // heartbeats, votes and the like waiting for one group, beside GroupQueue
	MaxConnections  int   // accepted ones
	MaxCalls        int   // handlers running for one connection

	DialTimeout      time.Duration // of TCP's connect
	HandshakeTimeout time.Duration // of TLS and ours together
	AppendTimeout    time.Duration // of an AppendEntries with entries, plus its bytes at MinRate
	MinRate          int64         // bytes a second, at least, that a large frame must make
	ControlTimeout   time.Duration // of heartbeats, votes and entries-less AppendEntries
	CallTimeout      time.Duration // of a Call whose context has no deadline
	SnapshotTimeout  time.Duration // of any pause of a snapshot's stream, the wait for its answer included
	BackoffMin       time.Duration // between two dials of a peer that cannot be reached; doubles
	BackoffMax       time.Duration

	// HeartbeatInterval is how long heartbeats to one peer are gathered into one frame. One that comes
	// after a longer silence goes at once.
	HeartbeatInterval time.Duration
	// AliveFor is how long a group whose main loop has answered something may have its heartbeats
	// confirmed for it.
	AliveFor time.Duration
}

// DefaultConfig is the limits.
func DefaultConfig() Config {
	return Config{
		MaxFrameBytes:     80 << 20,
		MaxControlBytes:   1 << 20,
		InFlightBytes:     96 << 20,
		ReceivedBytes:     384 << 20,
		GroupQueue:        8,
		ControlQueue:      16,
		MaxConnections:    1024,
		MaxCalls:          256,
		DialTimeout:       2 * time.Second,
		HandshakeTimeout:  3 * time.Second,
		AppendTimeout:     5 * time.Second,
		MinRate:           1 << 20,
		ControlTimeout:    2 * time.Second,
		CallTimeout:       10 * time.Second,
		SnapshotTimeout:   60 * time.Second,
		BackoffMin:        20 * time.Millisecond,
		BackoffMax:        time.Second,
		HeartbeatInterval: 20 * time.Millisecond,
		AliveFor:          10 * time.Second,
	}
}

// maxClusterIDBytes bounds the handshake.
const maxClusterIDBytes = 256

// Validate names what is missing or out of range.
func (c *Config) Validate() error {
	switch {
	case c.Listener == nil:
		return errors.New("transport: no listener")
	case c.Resolve == nil:
		return errors.New("transport: no resolver")
	case c.ClusterID == "" || len(c.ClusterID) > maxClusterIDBytes:
		return fmt.Errorf("transport: cluster id of %d bytes, want 1 to %d", len(c.ClusterID), maxClusterIDBytes)
	case c.Node < 0:
		return fmt.Errorf("transport: node id %d is negative", c.Node)
	case c.Directory == [16]byte{}:
		return errors.New("transport: the data directory has no id")
	}
	d := c.withDefaults()
	if d.MaxFrameBytes > math.MaxInt32 || d.MaxControlBytes > d.MaxFrameBytes || d.MaxControlBytes < 1024 {
		return fmt.Errorf("transport: frames of %d and %d bytes, want 1024 <= control <= entries < 2 GiB", d.MaxControlBytes, d.MaxFrameBytes)
	}
	if d.ReceivedBytes/groupShare < d.MaxFrameBytes {
		return fmt.Errorf("transport: ReceivedBytes of %d, want %d times MaxFrameBytes of %d", d.ReceivedBytes, groupShare, d.MaxFrameBytes)
	}
	for name, v := range map[string]int64{
		"InFlightBytes": d.InFlightBytes, "GroupQueue": int64(d.GroupQueue), "ControlQueue": int64(d.ControlQueue),
		"MaxConnections": int64(d.MaxConnections), "MaxCalls": int64(d.MaxCalls), "MinRate": d.MinRate,
		"DialTimeout": int64(d.DialTimeout), "HandshakeTimeout": int64(d.HandshakeTimeout),
		"AppendTimeout": int64(d.AppendTimeout), "ControlTimeout": int64(d.ControlTimeout),
		"CallTimeout": int64(d.CallTimeout), "SnapshotTimeout": int64(d.SnapshotTimeout),
		"BackoffMin": int64(d.BackoffMin), "BackoffMax": int64(d.BackoffMax),
		"HeartbeatInterval": int64(d.HeartbeatInterval), "AliveFor": int64(d.AliveFor),
	} {
		if v < 0 {
			return fmt.Errorf("transport: %s is negative", name)
		}
	}
	return nil
}

// withDefaults fills in the limits that are zero.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	fill(&c.MaxFrameBytes, d.MaxFrameBytes)
	fill(&c.MaxControlBytes, d.MaxControlBytes)
	fill(&c.InFlightBytes, d.InFlightBytes)
	fill(&c.ReceivedBytes, d.ReceivedBytes)
	fill(&c.GroupQueue, d.GroupQueue)
	fill(&c.ControlQueue, d.ControlQueue)
	fill(&c.MaxConnections, d.MaxConnections)
	fill(&c.MaxCalls, d.MaxCalls)
	fill(&c.DialTimeout, d.DialTimeout)
	fill(&c.HandshakeTimeout, d.HandshakeTimeout)
	fill(&c.AppendTimeout, d.AppendTimeout)
	fill(&c.MinRate, d.MinRate)
	fill(&c.ControlTimeout, d.ControlTimeout)
	fill(&c.CallTimeout, d.CallTimeout)
	fill(&c.SnapshotTimeout, d.SnapshotTimeout)
	fill(&c.BackoffMin, d.BackoffMin)
	fill(&c.BackoffMax, d.BackoffMax)
	fill(&c.HeartbeatInterval, d.HeartbeatInterval)
	fill(&c.AliveFor, d.AliveFor)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// appendTimeout is how long a frame of entries may take.
func (c *Config) appendTimeout(frameBytes int64) time.Duration {
	return c.AppendTimeout + c.transferTime(frameBytes)
}

// transferTime is how long so many bytes take at the lowest rate.
func (c *Config) transferTime(n int64) time.Duration {
	return time.Duration(float64(n) / float64(c.MinRate) * float64(time.Second))
}
