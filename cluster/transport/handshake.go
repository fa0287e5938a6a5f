package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Who dials begins:
//
//	magic    8 bytes "weirpeer"
//	version  uint16
//	length   uint16  of the rest, at most 512 bytes
//	purpose  uint8
//	from     int32 node, 16 bytes directory
//	to       int32 node, 16 bytes directory, zero when it is not known
//	cluster  byte string
//
// and is answered by magic, version, length, and
//
//	verdict  uint8   0 welcome, else why not
//	from     int32 node, 16 bytes directory
//	cluster  byte string, empty unless welcome
//
// Bytes that do not begin with the magic are not answered.
const (
	magic           = "weirpeer"
	protocolVersion = 1
	preambleBytes   = len(magic) + 2 + 2
	maxHelloBytes   = 512
)

// purpose is what a connection is for.
type purpose uint8

const (
	purposeControl  purpose = 1 // heartbeats, votes, calls, commit indexes
	purposeBulk     purpose = 2 // entries
	purposeSnapshot purpose = 3 // one snapshot
	purposeProbe    purpose = 4 // only the answer to the greeting: see Probe
)

// verdict is how the side that was dialled answers.
type verdict uint8

const (
	verdictWelcome verdict = iota
	verdictVersion
	verdictCluster
	verdictNode
	verdictDirectory
	verdictMalformed
)

var verdictTexts = map[verdict]string{
	verdictVersion:   "another version of the protocol between brokers",
	verdictCluster:   "another cluster",
	verdictNode:      "another node",
	verdictDirectory: "another data directory",
	verdictMalformed: "the greeting makes no sense",
}

// identity is a node and its data directory; a zero directory is any.
type identity struct {
	node      int32
	directory [16]byte
}

func (i identity) String() string { return string(Address(i.node, i.directory)) }

// hello is what either side says of itself. A caller fills in purpose and to, a callee verdict.
type hello struct {
	purpose purpose
	verdict verdict
	from    identity
	to      identity
	cluster string
}

func appendIdentity(b []byte, i identity) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(i.node)), i.directory[:]...)
}

func (d *decoder) identity() identity {
	i := identity{node: int32(d.uint32())}
	copy(i.directory[:], d.take(len(i.directory)))
	return i
}

// appendPreamble begins a greeting; finishHello fills in its length.
func appendPreamble(b []byte) []byte {
	b = append(b, magic...)
	return append(b, 0, protocolVersion, 0, 0)
}

func finishHello(b []byte) []byte {
	binary.BigEndian.PutUint16(b[preambleBytes-2:], uint16(len(b)-preambleBytes))
	return b
}

func encodeCall(h hello) []byte {
	b := appendPreamble(make([]byte, 0, 128))
	b = append(b, byte(h.purpose))
	b = appendIdentity(b, h.from)
	b = appendIdentity(b, h.to)
	return finishHello(appendBytes(b, []byte(h.cluster)))
}

func encodeReply(h hello) []byte {
	b := appendPreamble(make([]byte, 0, 128))
	b = append(b, byte(h.verdict))
	b = appendIdentity(b, h.from)
	return finishHello(appendBytes(b, []byte(h.cluster)))
}

func decodeCall(b []byte) (hello, error) {
	d := decoder{rest: b}
	h := hello{purpose: purpose(d.uint8()), from: d.identity(), to: d.identity(), cluster: string(d.bytes())}
	if h.purpose < purposeControl || h.purpose > purposeProbe {
		d.fail("purpose %d", h.purpose)
	}
	return h, d.finish()
}

func decodeReply(b []byte) (hello, error) {
	d := decoder{rest: b}
	h := hello{verdict: verdict(d.uint8()), from: d.identity(), cluster: string(d.bytes())}
	return h, d.finish()
}

// errVersion: the other side speaks another version, and may be told.
var errVersion = errors.New("version")

// readHello reads one greeting's body, at most 512 bytes of it.
func readHello(r io.Reader) ([]byte, error) {
	var head [preambleBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("no greeting: %w", err)
	}
	if string(head[:len(magic)]) != magic {
		return nil, &IdentityError{Reason: fmt.Sprintf("not a Weir broker: begins with %q", head[:len(magic)])}
	}
	d := decoder{rest: head[len(magic):]}
	version, length := d.uint16(), d.uint16()
	if version != protocolVersion {
		return nil, fmt.Errorf("%w: %w", errVersion, &IdentityError{Reason: fmt.Sprintf("protocol version %d, want %d", version, protocolVersion)})
	}
	if length > maxHelloBytes {
		return nil, &IdentityError{Reason: fmt.Sprintf("a greeting of %d bytes, at most %d", length, maxHelloBytes)}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("half a greeting: %w", err)
	}
	return body, nil
}

// greet is the dialler's side: it says who it is and whom it wants, and checks who answers. to.directory
// may be zero. On return nc has no deadline.
func (t *Transport) greet(nc net.Conn, purpose purpose, to identity, deadline time.Time) (identity, error) {
	if err := nc.SetDeadline(deadline); err != nil {
		return identity{}, err
	}
	if _, err := nc.Write(encodeCall(hello{purpose: purpose, from: t.self, to: to, cluster: t.cfg.ClusterID})); err != nil {
		return identity{}, err
	}
	body, err := readHello(nc)
	if err != nil {
		return identity{}, err
	}
	h, err := decodeReply(body)
	if err != nil {
		return identity{}, &IdentityError{Reason: err.Error()}
	}
	switch {
	case h.verdict != verdictWelcome:
		text, known := verdictTexts[h.verdict]
		if !known {
			text = fmt.Sprintf("verdict %d", h.verdict)
		}
		return h.from, &IdentityError{Reason: fmt.Sprintf("the peer says: %s (it is %v, wanted is %v)", text, h.from, to)}
	case h.cluster != t.cfg.ClusterID:
		return h.from, &IdentityError{Reason: fmt.Sprintf("cluster id %.64q, want %q", h.cluster, t.cfg.ClusterID)}
	case !to.admits(h.from):
		return h.from, &IdentityError{Reason: fmt.Sprintf("the peer is %v, wanted is %v", h.from, to)}
	}
	return h.from, nc.SetDeadline(time.Time{})
}

// welcome is the other side. An error has been told to the caller where it can be. On return nc has no
// deadline.
func (t *Transport) welcome(nc net.Conn, deadline time.Time) (hello, error) {
	if err := nc.SetDeadline(deadline); err != nil {
		return hello{}, err
	}
	body, err := readHello(nc)
	if err != nil {
		if errors.Is(err, errVersion) {
			t.reply(nc, verdictVersion)
		}
		return hello{}, err
	}
	h, err := decodeCall(body)
	if err != nil {
		t.reply(nc, verdictMalformed)
		return hello{}, &IdentityError{Reason: err.Error()}
	}
	if h.purpose == purposeProbe {
		t.reply(nc, verdictWelcome)
		return hello{}, errProbe
	}
	refuse := func(v verdict, reason string, args ...any) (hello, error) {
		t.reply(nc, v)
		return hello{}, &IdentityError{Reason: fmt.Sprintf(reason, args...)}
	}
	switch {
	case h.cluster != t.cfg.ClusterID:
		return refuse(verdictCluster, "%v calls with cluster id %.64q, want %q", h.from, h.cluster, t.cfg.ClusterID)
	case h.to.node != t.self.node:
		return refuse(verdictNode, "%v calls for node %d, this is %d", h.from, h.to.node, t.self.node)
	case !h.to.admits(t.self):
		return refuse(verdictDirectory, "%v calls for %v, this is %v", h.from, h.to, t.self)
	case h.from.node == t.self.node && h.from != t.self:
		return refuse(verdictNode, "%v calls under this node's id", h.from)
	case h.from.node < 0 || h.from.directory == [16]byte{}:
		return refuse(verdictMalformed, "%v is no replica's address", h.from)
	}
	if err := t.reply(nc, verdictWelcome); err != nil {
		return hello{}, err
	}
	return h, nc.SetDeadline(time.Time{})
}

// errProbe ends a connection that only asked who is here.
var errProbe = errors.New("probe")

// Probe asks who listens at an address, for a node that is to join a cluster and knows no more of it than
// that. Errors: *IdentityError when it is no Weir broker, those of dialling.
func Probe(ctx context.Context, address string, config *tls.Config) (clusterID string, node int32, err error) {
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", 0, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { closeNow(nc) })()
	if nc, err = secured(nc, config, address); err != nil {
		return "", 0, err
	}
	if _, err := nc.Write(encodeCall(hello{purpose: purposeProbe})); err != nil {
		return "", 0, err
	}
	body, err := readHello(nc)
	if err != nil {
		return "", 0, err
	}
	h, err := decodeReply(body)
	if err != nil || h.verdict != verdictWelcome || h.cluster == "" {
		return "", 0, &IdentityError{Reason: fmt.Sprintf("%s does not say who it is", address)}
	}
	return h.cluster, h.from.node, nil
}

// reply answers a caller. The cluster's id is for its members, and for those who ask only for that.
func (t *Transport) reply(nc net.Conn, v verdict) error {
	h := hello{verdict: v, from: t.self}
	if v == verdictWelcome {
		h.cluster = t.cfg.ClusterID
	}
	_, err := nc.Write(encodeReply(h))
	return err
}

// admits reports whether got is the identity asked for.
func (i identity) admits(got identity) bool {
	return i.node == got.node && (i.directory == [16]byte{} || i.directory == got.directory)
}
