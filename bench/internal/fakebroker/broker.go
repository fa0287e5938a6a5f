// Package fakebroker is a Kafka broker of one node in memory, for tests of the load generator. It
// stores and serves what it is sent and can be told to do harm: lose, repeat, swap or damage what it
// has acknowledged, refuse, or keep answers back.
package fakebroker

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Faults is the harm to do. Batches are counted from 1 in the order of arrival; 0 harms none.
type Faults struct {
	LoseBatch      int
	RepeatBatch    int
	SwapBatch      int // stored behind the one that follows it in its partition
	DamageBatch    int // one bit of its last value; the checksum of the batch is made to fit
	RefuseFrom     int // answered with MESSAGE_TOO_LARGE, this one and all later ones
	BeforeProduce  func(batch int)
	RequestsServed func(key int16)
}

// Broker is a running fake.
type Broker struct {
	Addr   string
	faults Faults

	mu      sync.Mutex // guards all below
	topics  map[string]*topic
	batches int
	news    chan struct{} // closed and replaced with each append
}

type topic struct {
	configs    map[string]string
	partitions []*partition
}

type partition struct {
	batches []stored
	end     int64
	held    []byte // a batch that waits to be swapped with the next
}

type stored struct {
	base, next int64
	bytes      []byte
}

// Start serves until the test ends.
func Start(t testing.TB, faults Faults) *Broker {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{Addr: ln.Addr().String(), faults: faults, topics: map[string]*topic{}, news: make(chan struct{})}
	var serving sync.WaitGroup
	var mu sync.Mutex
	conns := []net.Conn{}
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			serving.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return b
}

// Batches returns how many batches were received.
func (b *Broker) Batches() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.batches
}

// Config returns a topic's config as it was created, nothing of a topic that is not there.
func (b *Broker) Config(name, key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[name] == nil {
		return ""
	}
	return b.topics[name].configs[key]
}

// End returns the log end offset of a partition.
func (b *Broker) End(name string, index int) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.topics[name].partitions[index].end
}

// maxVersions are the versions served: the last that name topics by name.
var maxVersions = map[int16]int16{0: 9, 1: 12, 2: 7, 3: 9, 18: 5, 19: 5, 20: 5, 22: 4, 32: 4}

func (b *Broker) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		r := kbin.Reader{Src: frame}
		key, version, correlation := r.Int16(), r.Int16(), r.Int32()
		req := kmsg.RequestForKey(key)
		r.NullableString()
		req.SetVersion(min(version, maxVersions[key]))
		if req.IsFlexible() {
			kmsg.SkipTags(&r)
		}
		if version > maxVersions[key] || req.ReadFrom(r.Src) != nil {
			return
		}
		if b.faults.RequestsServed != nil {
			b.faults.RequestsServed(key)
		}
		resp := b.handle(req)
		if resp == nil {
			continue // acks=0
		}
		resp.SetVersion(version)
		out := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(correlation))
		if resp.IsFlexible() && key != 18 {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (b *Broker) handle(req kmsg.Request) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		resp := kmsg.NewPtrApiVersionsResponse()
		for key, version := range maxVersions {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = key, version
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
		return resp
	case *kmsg.MetadataRequest:
		return b.metadata(req)
	case *kmsg.CreateTopicsRequest:
		return b.create(req)
	case *kmsg.DeleteTopicsRequest:
		return b.remove(req)
	case *kmsg.ProduceRequest:
		return b.produce(req)
	case *kmsg.FetchRequest:
		return b.fetch(req)
	case *kmsg.ListOffsetsRequest:
		return b.listOffsets(req)
	case *kmsg.InitProducerIDRequest:
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ProducerID = 1
		return resp
	case *kmsg.DescribeConfigsRequest:
		return b.describeConfigs(req)
	default:
		return nil
	}
}

func (b *Broker) metadata(req *kmsg.MetadataRequest) kmsg.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := kmsg.NewPtrMetadataResponse()
	host, port, _ := net.SplitHostPort(b.Addr)
	broker := kmsg.NewMetadataResponseBroker()
	broker.Host = host
	for _, d := range port {
		broker.Port = broker.Port*10 + d - '0'
	}
	resp.Brokers, resp.ControllerID = append(resp.Brokers, broker), broker.NodeID
	for _, asked := range req.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = asked.Topic
		known := b.topics[*asked.Topic]
		if known == nil {
			t.ErrorCode = kerr.UnknownTopicOrPartition.Code
		} else {
			for i := range known.partitions {
				p := kmsg.NewMetadataResponseTopicPartition()
				p.Partition, p.Replicas, p.ISR = int32(i), []int32{0}, []int32{0}
				t.Partitions = append(t.Partitions, p)
			}
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (b *Broker) create(req *kmsg.CreateTopicsRequest) kmsg.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := kmsg.NewPtrCreateTopicsResponse()
	for _, t := range req.Topics {
		r := kmsg.NewCreateTopicsResponseTopic()
		r.Topic = t.Topic
		if b.topics[t.Topic] != nil {
			r.ErrorCode = kerr.TopicAlreadyExists.Code
		} else {
			made := &topic{configs: map[string]string{}}
			for _, c := range t.Configs {
				made.configs[c.Name] = *c.Value
			}
			for range t.NumPartitions {
				made.partitions = append(made.partitions, &partition{})
			}
			b.topics[t.Topic] = made
		}
		resp.Topics = append(resp.Topics, r)
	}
	return resp
}

func (b *Broker) remove(req *kmsg.DeleteTopicsRequest) kmsg.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := kmsg.NewPtrDeleteTopicsResponse()
	for _, name := range req.TopicNames {
		r := kmsg.NewDeleteTopicsResponseTopic()
		r.Topic = &name
		if b.topics[name] == nil {
			r.ErrorCode = kerr.UnknownTopicOrPartition.Code
		}
		delete(b.topics, name)
		resp.Topics = append(resp.Topics, r)
	}
	return resp
}

func (b *Broker) describeConfigs(req *kmsg.DescribeConfigsRequest) kmsg.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for _, asked := range req.Resources {
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = asked.ResourceType, asked.ResourceName
		for name, value := range b.topics[asked.ResourceName].configs {
			c := kmsg.NewDescribeConfigsResponseResourceConfig()
			c.Name, c.Value = name, &value
			r.Configs = append(r.Configs, c)
		}
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

func (b *Broker) listOffsets(req *kmsg.ListOffsetsRequest) kmsg.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := kmsg.NewPtrListOffsetsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition = p.Partition
			rp.Offset = 0
			if p.Timestamp == -1 {
				rp.Offset = b.topics[t.Topic].partitions[p.Partition].end
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (b *Broker) produce(req *kmsg.ProduceRequest) kmsg.Response {
	resp := kmsg.NewPtrProduceResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition = p.Partition
			rp.BaseOffset, rp.ErrorCode = b.append(t.Topic, p.Partition, append([]byte(nil), p.Records...))
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if req.Acks == 0 {
		return nil
	}
	return resp
}

func (b *Broker) append(name string, index int32, batch []byte) (int64, int16) {
	b.mu.Lock()
	b.batches++
	n := b.batches
	b.mu.Unlock()
	if b.faults.BeforeProduce != nil {
		b.faults.BeforeProduce(n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults.RefuseFrom > 0 && n >= b.faults.RefuseFrom {
		return -1, kerr.MessageTooLarge.Code
	}
	p := b.topics[name].partitions[index]
	base := p.end
	switch {
	case n == b.faults.LoseBatch:
		return base, 0
	case n == b.faults.SwapBatch:
		p.held = batch
		return base, 0
	case n == b.faults.DamageBatch:
		damage(batch)
	}
	p.store(batch)
	if p.held != nil {
		held := p.held
		p.held = nil
		p.store(held)
	}
	if n == b.faults.RepeatBatch {
		p.store(append([]byte(nil), batch...))
	}
	close(b.news)
	b.news = make(chan struct{})
	return base, 0
}

// store gives batch the next offsets.
func (p *partition) store(batch []byte) {
	binary.BigEndian.PutUint64(batch, uint64(p.end))
	next := p.end + int64(binary.BigEndian.Uint32(batch[23:])) + 1
	p.batches = append(p.batches, stored{p.end, next, batch})
	p.end = next
}

func (b *Broker) fetch(req *kmsg.FetchRequest) kmsg.Response {
	deadline := time.NewTimer(time.Duration(req.MaxWaitMillis) * time.Millisecond)
	defer deadline.Stop()
	for {
		b.mu.Lock()
		resp, n := b.fetchNow(req)
		news := b.news
		b.mu.Unlock()
		if n > 0 {
			return resp
		}
		select {
		case <-news:
		case <-deadline.C:
			return resp
		}
	}
}

func (b *Broker) fetchNow(req *kmsg.FetchRequest) (kmsg.Response, int) {
	resp, total := kmsg.NewPtrFetchResponse(), 0
	for _, t := range req.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic = t.Topic
		for _, asked := range t.Partitions {
			p := b.topics[t.Topic].partitions[asked.Partition]
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.HighWatermark, rp.LastStableOffset = asked.Partition, p.end, p.end
			for _, s := range p.batches {
				if s.next <= asked.FetchOffset {
					continue
				}
				if n := len(rp.RecordBatches); n > 0 && n+len(s.bytes) > int(asked.PartitionMaxBytes) {
					break
				}
				rp.RecordBatches = append(rp.RecordBatches, s.bytes...)
			}
			total += len(rp.RecordBatches)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, total
}
