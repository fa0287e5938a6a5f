package raw

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ProduceConfig describes a raw produce load: each connection sends one batch after the other to its
// own partitions in turn, with at most Pipeline requests unanswered.
type ProduceConfig struct {
	Address     string // HOST:PORT of any broker
	Topic       string // must exist
	Connections int
	BatchBytes  int   // size of a batch, header included; one record at least
	RecordBytes int   // bytes of a record's value
	Acks        int16 // 0, 1 or -1 (all)
	Pipeline    int   // requests in flight on a connection
	TotalBytes  int64 // of batches, all connections together; 0 is bounded by ctx only
	Seed        uint64

	// Floor sends the same frames to a floor program, which stores bodies unread and answers with a
	// bare correlation id.
	Floor bool
}

// Done is told of each answered request, from the connection's own receiving goroutine.
type Done func(connection int, records, bytes int64, latency time.Duration)

// answerTimeout bounds the wait for an answer: a broker that hangs fails the run.
const answerTimeout = 60 * time.Second

// Produce runs the load until TotalBytes were sent or ctx ended, and until all was answered. The first
// error ends it: an error code in an answer is one.
func Produce(ctx context.Context, cfg ProduceConfig, done Done) error {
	senders, err := openSenders(cfg)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range senders {
			s.conn.Close()
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Whatever fails first closes every connection, which ends both sides of each.
	fail := func(err error) {
		cancel(err)
		for _, s := range senders {
			s.conn.Close()
		}
	}
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for i, s := range senders {
		inFlight := make(chan sending, cfg.Pipeline-1) // the receiver holds one more
		run := func(work func() error) {
			wg.Go(func() {
				if err := work(); err != nil {
					once.Do(func() {
						first = fmt.Errorf("connection %d: %w", i, err)
						fail(first)
					})
				}
			})
		}
		run(func() error { return s.send(ctx, inFlight) })
		run(func() error { return s.receive(i, inFlight, done) })
	}
	wg.Wait()
	return first
}

// sender is one connection with its prebuilt requests, one for each of its partitions.
type sender struct {
	cfg      ProduceConfig
	conn     *Conn
	frames   [][]byte
	requests []*kmsg.ProduceRequest // versions of the frames, to read their answers
	records  int64
	bytes    int64 // of a batch
	limit    int64 // requests to send, 0 when bounded by ctx
}

// sending is a request on its way.
type sending struct {
	correlation int32
	request     *kmsg.ProduceRequest
	at          time.Time
}

func openSenders(cfg ProduceConfig) ([]*sender, error) {
	batch, records := buildBatch(cfg.BatchBytes, cfg.RecordBytes, time.Now().UnixMilli(), cfg.Seed)
	places, err := cfg.places()
	if err != nil {
		return nil, err
	}
	var senders []*sender
	for i := range cfg.Connections {
		s := &sender{cfg: cfg, records: int64(records), bytes: int64(len(batch))}
		senders = append(senders, s)
		if cfg.TotalBytes > 0 {
			s.limit = max(cfg.TotalBytes/int64(cfg.Connections)/s.bytes, 1)
		}
		// Connection i takes partitions i, i+n, ...; with more connections than partitions they are shared.
		address := places[i%len(places)].address
		if err := s.open(address); err != nil {
			return senders, err
		}
		for j := i % len(places); j < len(places); j += cfg.Connections {
			if places[j].address == address {
				s.prepare(places[j].partition, batch)
			}
		}
	}
	return senders, nil
}

func (cfg ProduceConfig) places() ([]leader, error) {
	if cfg.Floor {
		return []leader{{partition: 0, address: cfg.Address}}, nil
	}
	return leaders(cfg.Address, cfg.Topic)
}

func (s *sender) open(address string) error {
	var err error
	if s.cfg.Floor {
		s.conn, err = dialFloor(address)
		return err
	}
	s.conn, err = Dial(address)
	return err
}

// prepare encodes the request that sends batch to partition.
func (s *sender) prepare(partition int32, batch []byte) {
	req := kmsg.NewPtrProduceRequest()
	req.Version = s.conn.versions[keyProduce]
	req.Acks = s.cfg.Acks
	req.TimeoutMillis = int32(answerTimeout / time.Millisecond)
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = s.cfg.Topic, append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	s.frames = append(s.frames, s.conn.format.AppendRequest(nil, req, 0))
	req.Topics = nil
	s.requests = append(s.requests, req)
}

func (s *sender) send(ctx context.Context, inFlight chan<- sending) error {
	defer close(inFlight)
	for n := int64(0); s.limit == 0 || n < s.limit; n++ {
		which := int(n % int64(len(s.frames)))
		s.conn.next++
		next := sending{correlation: s.conn.next, request: s.requests[which], at: time.Now()}
		select {
		case inFlight <- next:
		case <-ctx.Done():
			return nil
		}
		frame := s.frames[which]
		binary.BigEndian.PutUint32(frame[8:], uint32(next.correlation))
		if _, err := s.conn.nc.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) receive(connection int, inFlight <-chan sending, done Done) error {
	var buf []byte
	for next := range inFlight {
		if s.cfg.Acks == 0 {
			done(connection, s.records, s.bytes, 0)
			continue
		}
		if err := s.conn.nc.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
			return err
		}
		body, err := s.conn.receive(next.correlation, buf, maxAnswerBytes)
		if err != nil {
			return err
		}
		buf = body
		if err := s.check(next, body); err != nil {
			return err
		}
		done(connection, s.records, s.bytes, time.Since(next.at))
	}
	if s.cfg.Acks != 0 {
		return nil
	}
	return s.settle()
}

func (s *sender) check(next sending, body []byte) error {
	if s.cfg.Floor {
		return nil
	}
	resp := kmsg.NewPtrProduceResponse()
	answer, body, err := answerBody(next.request, resp, body)
	if err != nil {
		return err
	}
	if err := answer.(*kmsg.ProduceResponse).UnsafeReadFrom(body); err != nil {
		return fmt.Errorf("decode produce answer: %w", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.New("produce answer is not about one partition")
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// settle waits until the broker has taken what needs no answer: it answers a later request only after
// what came before it.
func (s *sender) settle() error {
	if s.cfg.Floor {
		return nil
	}
	return s.conn.call(kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataResponse())
}
