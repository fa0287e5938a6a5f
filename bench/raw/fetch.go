package raw

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConsumeConfig describes a raw consume load: each connection fetches its own partitions in turn from
// their log start, one request at a time, and starts over when it has read them all.
type ConsumeConfig struct {
	Address     string
	Topic       string
	Connections int
	FetchBytes  int   // most bytes of an answer's records
	TotalBytes  int64 // to read, all connections together; 0 reads each partition once

	// Floor asks a floor program for its file instead, FetchBytes at a time.
	Floor bool
}

// fetchSlackBytes is what an answer may hold beside the bytes asked for, and the growth that the first
// batch may bring when it is larger.
const fetchSlackBytes = 64 << 20

// Consume runs the load until TotalBytes were read or ctx ended. The first error ends it.
func Consume(ctx context.Context, cfg ConsumeConfig, done Done) error {
	places := []leader{{partition: 0, address: cfg.Address}}
	if !cfg.Floor {
		var err error
		if places, err = leaders(cfg.Address, cfg.Topic); err != nil {
			return err
		}
	}
	fetchers := make([]*fetcher, 0, cfg.Connections)
	defer func() {
		for _, f := range fetchers {
			f.conn.Close()
		}
	}()
	for i := range cfg.Connections {
		f, err := openFetcher(cfg, places, i)
		if err != nil {
			return err
		}
		fetchers = append(fetchers, f)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, f := range fetchers {
			f.conn.Close()
		}
	})
	defer stop()
	var wg sync.WaitGroup
	errs := make([]error, len(fetchers))
	for i, f := range fetchers {
		wg.Go(func() {
			if err := f.run(i, done); err != nil && ctx.Err() == nil {
				errs[i] = fmt.Errorf("connection %d: %w", i, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fetcher is one connection and its partitions.
type fetcher struct {
	cfg   ConsumeConfig
	conn  *Conn
	parts []*part
	limit int64 // bytes to read; 0 reads each partition once
	buf   []byte
	frame []byte
}

// part is a partition and how far it has been read.
type part struct {
	id         int32
	start, end int64 // offsets, half-open
	next       int64
}

func openFetcher(cfg ConsumeConfig, places []leader, index int) (*fetcher, error) {
	f := &fetcher{cfg: cfg, limit: cfg.TotalBytes / int64(cfg.Connections)}
	address := places[index%len(places)].address
	var err error
	if cfg.Floor {
		f.conn, err = dialFloor(address)
		f.parts = []*part{{end: 1}}
		return f, err
	}
	if f.conn, err = Dial(address); err != nil {
		return nil, err
	}
	for j := index % len(places); j < len(places); j += cfg.Connections {
		if places[j].address != address {
			continue
		}
		p, err := f.bounds(places[j].partition)
		if err != nil {
			f.conn.Close()
			return nil, err
		}
		if p.start < p.end {
			f.parts = append(f.parts, p)
		}
	}
	return f, nil
}

// bounds asks for a partition's log start and end.
func (f *fetcher) bounds(partition int32) (*part, error) {
	p := &part{id: partition}
	for _, q := range []struct {
		special int64
		into    *int64
	}{{-2, &p.start}, {-1, &p.end}} {
		req := kmsg.NewPtrListOffsetsRequest()
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = partition, q.special
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic, t.Partitions = f.cfg.Topic, append(t.Partitions, rp)
		req.Topics, req.ReplicaID = append(req.Topics, t), -1
		resp := kmsg.NewPtrListOffsetsResponse()
		if err := f.conn.call(req, resp); err != nil {
			return nil, err
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return nil, errors.New("offsets answer is not about one partition")
		}
		got := resp.Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
			return nil, err
		}
		*q.into = got.Offset
	}
	p.next = p.start
	return p, nil
}

func (f *fetcher) run(connection int, done Done) error {
	read := int64(0)
	for turn := 0; len(f.parts) > 0 && (f.limit == 0 || read < f.limit); turn++ {
		p := f.parts[turn%len(f.parts)]
		at := time.Now()
		got, err := f.fetch(p)
		if err != nil {
			return err
		}
		done(connection, got.records, got.bytes, time.Since(at))
		read += got.bytes
		if p.next = got.next; p.next < p.end {
			continue
		}
		p.next = p.start
		if f.limit == 0 {
			i := turn % len(f.parts)
			f.parts = append(f.parts[:i], f.parts[i+1:]...)
		}
	}
	return nil
}

// fetch reads once from p.
func (f *fetcher) fetch(p *part) (fetched, error) {
	req := f.request(p)
	f.conn.next++
	f.frame = f.conn.format.AppendRequest(f.frame[:0], req, f.conn.next)
	if err := f.conn.nc.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return fetched{}, err
	}
	if _, err := f.conn.nc.Write(f.frame); err != nil {
		return fetched{}, err
	}
	body, err := f.conn.receive(f.conn.next, f.buf, f.cfg.FetchBytes+fetchSlackBytes)
	if err != nil {
		return fetched{}, err
	}
	f.buf = body
	if f.cfg.Floor {
		return fetched{bytes: int64(len(body))}, nil
	}
	resp := kmsg.NewPtrFetchResponse()
	answer, body, err := answerBody(req, resp, body)
	if err != nil {
		return fetched{}, err
	}
	if err := answer.(*kmsg.FetchResponse).UnsafeReadFrom(body); err != nil {
		return fetched{}, fmt.Errorf("decode fetch answer: %w", err)
	}
	return scanAnswer(resp, p)
}

func scanAnswer(resp *kmsg.FetchResponse, p *part) (fetched, error) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return fetched{}, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return fetched{}, errors.New("fetch answer is not about one partition")
	}
	got := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return fetched{}, err
	}
	f, err := scanBatches(got.RecordBatches, p.next)
	if err == nil && f.records == 0 {
		err = fmt.Errorf("nothing fetched of partition %d at offset %d, below its end %d", p.id, p.next, p.end)
	}
	return f, err
}

func (f *fetcher) request(p *part) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version = f.conn.versions[keyFetch]
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, int32(f.cfg.FetchBytes)
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.id, p.next, int32(f.cfg.FetchBytes)
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.Partitions = f.cfg.Topic, append(t.Partitions, rp)
	req.Topics = append(req.Topics, t)
	return req
}

// dialFloor connects to a floor program: there is nothing to agree on, frames are those of the newest
// versions spoken here.
func dialFloor(address string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", address, callTimeout)
	if err != nil {
		return nil, err
	}
	format := kmsg.NewRequestFormatter(kmsg.FormatterClientID("weir-bench-raw"))
	return &Conn{nc: nc, format: format, versions: newestSpoken}, nil
}
