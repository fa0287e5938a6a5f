package transport

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// knock makes a raw connection to a transport.
func knock(t *testing.T, to *Transport) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", to.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(long))
	return nc
}

// shaken is a raw connection to a transport, as the control connection of node 9.
func shaken(t *testing.T, to *Transport, p purpose) net.Conn {
	t.Helper()
	nc := knock(t, to)
	h := hello{purpose: p, from: identity{9, directory(9)}, to: to.self, cluster: to.cfg.ClusterID}
	if _, err := nc.Write(encodeCall(h)); err != nil {
		t.Fatal(err)
	}
	body, err := readHello(nc)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := decodeReply(body); err != nil || h.verdict != verdictWelcome {
		t.Fatalf("verdict %d, %v", h.verdict, err)
	}
	return nc
}

// Each of these is told why, or cut off, and leaves nothing behind.
func TestHandshakeRefusals(t *testing.T) {
	var log logBuffer
	tr := newNetwork(t).open(1, func(c *Config) { c.Logger = log.logger(); c.HandshakeTimeout = time.Second })
	good := hello{purpose: purposeControl, from: identity{9, directory(9)}, to: tr.self, cluster: tr.cfg.ClusterID}
	with := func(f func(*hello)) []byte { h := good; f(&h); return encodeCall(h) }
	tooLong := encodeCall(good)
	binary.BigEndian.PutUint16(tooLong[preambleBytes-2:], 0xffff)
	version := encodeCall(good)
	version[len(magic)+1] = 99
	refused := uint64(0)
	for _, c := range []struct {
		name    string
		bytes   []byte
		verdict verdict // 0: no answer
		logged  string
	}{
		{"another cluster", with(func(h *hello) { h.cluster = "other" }), verdictCluster, "cluster id"},
		{"another node", with(func(h *hello) { h.to.node = 2 }), verdictNode, "this is 1"},
		{"another directory", with(func(h *hello) { h.to.directory = directory(7) }), verdictDirectory, "this is 1."},
		{"our own id", with(func(h *hello) { h.from = identity{1, directory(7)} }), verdictNode, "under this node"},
		{"no purpose", with(func(h *hello) { h.purpose = 0 }), verdictMalformed, "purpose 0"},
		{"another version", version, verdictVersion, "protocol version 99"},
		{"garbage", []byte("GET / HTTP/1.1\r\nHost: weir\r\n\r\n"), 0, "not a Weir broker"},
		{"a length of 64 KiB", tooLong, 0, "greeting of 65535 bytes"},
		{"a frame of 2 GiB", append([]byte{0x7f, 0xff, 0xff, 0xff}, make([]byte, 20)...), 0, "not a Weir broker"},
		{"half a greeting", encodeCall(good)[:20], 0, "half a greeting"},
		{"silence", nil, 0, "no greeting"},
	} {
		nc := knock(t, tr)
		if _, err := nc.Write(c.bytes); err != nil {
			t.Fatal(err)
		}
		if c.verdict != 0 {
			body, err := readHello(nc)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if h, err := decodeReply(body); err != nil || h.verdict != c.verdict || h.cluster != "" {
				t.Errorf("%s: answered %+v, %v", c.name, h, err)
			}
		}
		if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%s: read %d bytes, %v after the refusal", c.name, n, err)
		}
		refused++
		eventually(t, c.name, func() bool { return tr.Stats().HandshakesRefused == refused })
		if !strings.Contains(log.String(), c.logged) {
			t.Errorf("%s: %q is not in the log:\n%s", c.name, c.logged, log.String())
		}
		log.mu.Lock()
		log.b.Reset()
		log.mu.Unlock()
		tr.refusals.mu.Lock()
		tr.refusals.left = refusalBurst
		tr.refusals.mu.Unlock()
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.conns)+len(tr.sockets)+len(tr.directories) != 0 {
		t.Errorf("left behind: %d connections, %d sockets, %d directories", len(tr.conns), len(tr.sockets), len(tr.directories))
	}
}

// TR-12: a node that lost its directory is not taken for who it was, by either side.
func TestWipedNode(t *testing.T) {
	n := newNetwork(t)
	a := n.open(1)
	b := n.open(2, func(c *Config) { c.Directory = directory(77) })
	ga, gb := openGroup(t, a, groupA), openGroup(t, b, groupA)
	consume(t, gb, accept)
	_, err := appendToAddress(ga, Address(2, directory(2)), entries(a, []byte("x")))
	var wrong *IdentityError
	if !errors.As(err, &wrong) {
		t.Fatalf("append under the old name: %v", err)
	}
	if _, err := appendToAddress(ga, b.address, entries(a, []byte("x"))); err != nil {
		t.Fatalf("append under the new name: %v", err)
	}
	// The dialler checks, too: whoever answers for another cluster or node is left.
	c := n.open(3, func(c *Config) { c.ClusterID = "other" })
	if _, err := appendToAddress(ga, c.address, entries(a, []byte("x"))); !errors.As(err, &wrong) {
		t.Errorf("append to another cluster: %v", err)
	}
	if got := b.Stats().HandshakesRefused; got != 1 {
		t.Errorf("%d handshakes refused, want 1", got)
	}
}

func appendToAddress(g *Group, to raft.ServerAddress, r *raft.AppendEntriesRequest) (raft.AppendEntriesResponse, error) {
	var resp raft.AppendEntriesResponse
	err := g.AppendEntries(raft.ServerID(to), to, r, &resp)
	return resp, err
}

// After the handshake: frames that cannot be, and requests that make no sense.
func TestBadFrames(t *testing.T) {
	tr := newNetwork(t).open(1)
	g := openGroup(t, tr, groupA)
	frame := func(kind frameKind, length uint32, body []byte) []byte {
		b := append(beginFrame(nil, kind), body...)
		endFrame(b, 1, 0)
		binary.BigEndian.PutUint32(b, length)
		return b
	}
	for name, b := range map[string][]byte{
		"2 GiB of entries":        frame(kindAppend, 1<<31, nil),
		"4 GiB of entries":        frame(kindAppend, 1<<32-1, groupA[:]),
		"a vote of 2 GiB":         frame(kindVote, 1<<31, nil),
		"entries without a group": frame(kindAppend, 3, []byte{1, 2, 3}),
		"unknown kind":            frame(99, 0, nil),
		"an answer":               frame(kindAnswer, 1, []byte{0}),
		"beats that do not fit":   frame(kindHeartbeats, 4, []byte{0, 0, 1, 0}),
		"a call of no service":    frame(kindCall, 0, nil),
		"a ping with a body":      frame(kindPing, 1, []byte{0}),
	} {
		nc := shaken(t, tr, purposeControl)
		if _, err := nc.Write(b); err != nil {
			t.Fatal(err)
		}
		if n, err := nc.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: read %d bytes", name, n)
		}
	}
	bad := entries(tr, []byte("x"))
	bad.Entries[0].Type = raft.LogConfiguration
	for name, body := range map[string][]byte{
		"garbage":              append(groupA[:], "garbage"...),
		"2^32-1 entries":       append(append(groupA[:], appendEntriesTable(nil, &raft.AppendEntriesRequest{})[:48]...), 0xff, 0xff, 0xff, 0xff),
		"a bad configuration":  appendEntriesData(appendEntriesTable(append([]byte(nil), groupA[:]...), bad), bad),
		"data that is missing": appendEntriesTable(append([]byte(nil), groupA[:]...), bad),
	} {
		nc := shaken(t, tr, purposeBulk)
		if _, err := nc.Write(frame(kindAppend, uint32(len(body)), body)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, frameHeaderBytes+1)
		if _, err := io.ReadFull(nc, answer); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s := status(answer[frameHeaderBytes]); s != statusMalformed {
			t.Errorf("%s: status %d", name, s)
		}
	}
	if len(g.consumer) != 0 || g.held.Load() != 0 || tr.received.Load() != 0 {
		t.Errorf("%d requests and %d bytes are held", len(g.consumer), tr.received.Load())
	}
}

func TestTooManyConnections(t *testing.T) {
	tr := newNetwork(t).open(1, func(c *Config) { c.MaxConnections = 1 })
	shaken(t, tr, purposeControl)
	if _, err := knock(t, tr).Read(make([]byte, 1)); err == nil {
		t.Error("the second connection was taken")
	}
}

func TestRefusalLogIsQuiet(t *testing.T) {
	var log logBuffer
	l := newRefusalLog(log.logger())
	for range 1000 {
		l.warn("refused")
	}
	if n := strings.Count(log.String(), "refused"); n < refusalBurst || n > refusalBurst+2 {
		t.Errorf("%d lines for 1000 refusals", n)
	}
	l.mu.Lock()
	l.last = l.last.Add(-2 * refusalEvery)
	l.mu.Unlock()
	l.warn("refused")
	if !strings.Contains(log.String(), "unlogged=") {
		t.Error("the lines left out are not counted")
	}
}

func TestTLS(t *testing.T) {
	certificate := selfSigned(t)
	secure := func(c *Config) {
		c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true}
	}
	n := newNetwork(t)
	a, b, plain := n.open(1, secure), n.open(2, secure), n.open(3)
	ga, gp := openGroup(t, a, groupA), openGroup(t, plain, groupA)
	consume(t, openGroup(t, b, groupA), accept)
	data := make([]byte, 3<<20)
	if resp := mustAppend(t, ga, b, entries(a, data, []byte("x"))); !resp.Success {
		t.Error("not appended")
	}
	if _, err := appendTo(gp, b, entries(plain, data)); err == nil {
		t.Error("a peer without TLS got in")
	}
}
