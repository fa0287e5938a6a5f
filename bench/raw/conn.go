// Package raw speaks just enough of the Kafka protocol, over plain connections, to load a broker at
// the smallest cost to the client: produce requests are encoded once and sent again and again, fetched
// bytes are counted and dropped. What a broker uses per GiB can so be told apart from what a full
// client uses beside it on the same machine.
//
// The load is honest: batches are valid Kafka batches with a right CRC, the acknowledgements asked for
// are awaited, and every answer's error code is checked.
package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka's numbers of the requests used here.
const (
	keyProduce     = 0
	keyFetch       = 1
	keyListOffsets = 2
	keyMetadata    = 3
	keyAPIVersions = 18
)

// Newest versions spoken here: the last ones that name topics by name.
var newestSpoken = map[int16]int16{keyProduce: 12, keyFetch: 12, keyListOffsets: 7, keyMetadata: 9}

// maxAnswerBytes bounds an answer that is not a fetch.
const maxAnswerBytes = 16 << 20

// callTimeout bounds an answer to anything but a produce or fetch load.
const callTimeout = 30 * time.Second

// frameHeadBytes are the size of a frame and its correlation id.
const frameHeadBytes = 8

// Conn is one connection. It is not safe for concurrent use, except that one goroutine may send while
// another receives.
type Conn struct {
	nc       net.Conn
	versions map[int16]int16 // API key → version to use
	format   *kmsg.RequestFormatter
	next     int32 // correlation id
	head     [frameHeadBytes]byte
}

// Dial connects and agrees on versions.
func Dial(address string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", address, callTimeout)
	if err != nil {
		return nil, err
	}
	c := &Conn{nc: nc, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("weir-bench-raw"))}
	if err := c.agree(); err != nil {
		nc.Close()
		return nil, fmt.Errorf("agree on versions with %s: %w", address, err)
	}
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.nc.Close() }

func (c *Conn) agree() error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 0 // understood by every broker
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := c.call(req, resp); err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	c.versions = map[int16]int16{}
	for _, key := range resp.ApiKeys {
		newest, spoken := newestSpoken[key.ApiKey]
		if v := min(newest, key.MaxVersion); spoken && v >= key.MinVersion {
			c.versions[key.ApiKey] = v
		}
	}
	for key, newest := range newestSpoken {
		if _, ok := c.versions[key]; !ok {
			return fmt.Errorf("the broker has no version up to %d of %s", newest, kmsg.NameForKey(key))
		}
	}
	return nil
}

// call sends one request and waits for its answer. Nothing else may be under way.
func (c *Conn) call(req kmsg.Request, resp kmsg.Response) error {
	if v, ok := c.versions[req.Key()]; ok {
		req.SetVersion(v)
	}
	if err := c.nc.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	c.next++
	if _, err := c.nc.Write(c.format.AppendRequest(nil, req, c.next)); err != nil {
		return err
	}
	body, err := c.receive(c.next, nil, maxAnswerBytes)
	if err != nil {
		return err
	}
	if resp, body, err = answerBody(req, resp, body); err != nil {
		return err
	}
	if err := resp.ReadFrom(body); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return c.nc.SetDeadline(time.Time{})
}

// answerBody prepares resp for the version of req and cuts the tagged fields of a flexible header.
func answerBody(req kmsg.Request, resp kmsg.Response, body []byte) (kmsg.Response, []byte, error) {
	resp.SetVersion(req.GetVersion())
	if !resp.IsFlexible() || req.Key() == keyAPIVersions {
		return resp, body, nil
	}
	if len(body) == 0 || body[0] != 0 {
		return nil, nil, errors.New("answer header has tagged fields or is cut short")
	}
	return resp, body[1:], nil
}

// receive reads one answer into buf, grown when needed, and returns its bytes after the correlation
// id. They are valid until buf is used again.
func (c *Conn) receive(correlation int32, buf []byte, maxBytes int) ([]byte, error) {
	if _, err := io.ReadFull(c.nc, c.head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(c.head[:])))
	if got := int32(binary.BigEndian.Uint32(c.head[4:])); got != correlation {
		return nil, fmt.Errorf("answer %d, want %d: answers are out of order", got, correlation)
	}
	n := size - 4
	if n < 0 || n > maxBytes {
		return nil, fmt.Errorf("answer of %d bytes, want at most %d", size, maxBytes)
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(c.nc, buf)
	return buf, err
}

// Brokers returns how many brokers the one at address tells its clients of.
func Brokers(address string) (int, error) {
	c, err := Dial(address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none, where nil would be all
	resp := kmsg.NewPtrMetadataResponse()
	if err := c.call(req, resp); err != nil {
		return 0, err
	}
	return len(resp.Brokers), nil
}

// leader is where a partition is led.
type leader struct {
	partition int32
	address   string
}

// leaders returns the leaders of topic's partitions, as the broker at address tells them.
func leaders(address, topic string) ([]leader, error) {
	c, err := Dial(address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	resp := kmsg.NewPtrMetadataResponse()
	if err := c.call(req, resp); err != nil {
		return nil, err
	}
	brokers := map[int32]string{}
	for _, b := range resp.Brokers {
		brokers[b.NodeID] = net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
	}
	var out []leader
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("topic %q: %w", topic, err)
		}
		for _, p := range t.Partitions {
			addr, ok := brokers[p.Leader]
			if !ok {
				return nil, fmt.Errorf("topic %q partition %d has no leader", topic, p.Partition)
			}
			out = append(out, leader{p.Partition, addr})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("topic %q has no partitions", topic)
	}
	return out, nil
}
