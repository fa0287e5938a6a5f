package command

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
)

// unread is the first record that a consumer at some offset would be given.
type unread struct {
	none      bool  // it would be given nothing: markers and what was aborted or compacted away aside, all is read
	timestamp int64 // unix ms; -1 when the record has none
}

// firstRecords reads, for each partition, the first record at or after an offset that a consumer would be
// given; with committed, one that reads committed records only. The brokers are asked side by side, and
// again where an answer did not reach a record. Partitions that do not answer before ctx ends, or whose log
// does not hold the offset, are left out.
func firstRecords(ctx context.Context, cl *connect.Client, from map[topicPartition]int64, committed bool) (map[topicPartition]unread, error) {
	f := firstReader{cl: cl, committed: committed, found: map[topicPartition]unread{}, left: map[topicPartition]firstAsk{}}
	for at, offset := range from {
		f.left[at] = firstAsk{offset: offset, maxBytes: firstFetchBytes}
	}
	for pace := (pacer{rate: listRate}); len(f.left) > 0; {
		if !f.moved && pace.wait(ctx) != nil { // who has come further is asked on at once
			break
		}
		f.moved = false
		if err := f.round(ctx); err != nil && ctx.Err() == nil && !leaderless(err) {
			return nil, cl.Explain("cannot read the records' times", err)
		}
	}
	return f.found, nil
}

const (
	firstFetchBytes   = 16 << 10 // asked of a partition at first; a larger batch comes alone, or with more
	firstFetchMost    = 8 << 20  // asked of a partition at most
	firstAnswerBytes  = 16 << 20 // of one answer
	firstFetchTopicID = 13       // since this version topics go by their ids
)

// firstAsk is where the search in a partition has come to.
type firstAsk struct {
	offset   int64
	maxBytes int32
}

type firstReader struct {
	cl        *connect.Client
	committed bool

	mu    sync.Mutex // guards the rest
	left  map[topicPartition]firstAsk
	found map[topicPartition]unread
	moved bool // since the last round began, a partition was found or came further
}

// round asks every leader once.
func (f *firstReader) round(ctx context.Context) error {
	var names []string
	for at := range f.left {
		names = append(names, at.topic)
	}
	details, err := listTopics(ctx, f.cl, distinct(names)...)
	if err != nil {
		return err
	}
	asks := map[int32]map[topicPartition]firstAsk{}
	for at, ask := range f.left {
		p, ok := details[at.topic].Partitions[at.partition]
		switch {
		case !ok || errors.Is(p.Err, kerr.UnknownTopicOrPartition):
			delete(f.left, at) // it is gone
		case p.Leader >= 0:
			if asks[p.Leader] == nil {
				asks[p.Leader] = map[topicPartition]firstAsk{}
			}
			asks[p.Leader][at] = ask
		}
	}
	var wg sync.WaitGroup
	for leader, partitions := range asks {
		wg.Go(func() { f.ask(ctx, leader, partitions, details) })
	}
	wg.Wait()
	return nil
}

// ask sends one Fetch. A leader that does not answer is asked again in the next round.
func (f *firstReader) ask(ctx context.Context, leader int32, partitions map[topicPartition]firstAsk, details kadm.TopicDetails) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.MinBytes, req.MaxWaitMillis, req.SessionEpoch = firstAnswerBytes, 0, 0, -1
	if f.committed {
		req.IsolationLevel = 1
	}
	byID := map[kadm.TopicID]string{}
	topics := map[string]int{}
	for at, ask := range partitions {
		i, ok := topics[at.topic]
		if !ok {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = at.topic, details[at.topic].ID
			byID[details[at.topic].ID] = at.topic
			i, topics[at.topic] = len(req.Topics), len(req.Topics)
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = at.partition, ask.offset, ask.maxBytes
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	answer, err := f.cl.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		return
	}
	resp := answer.(*kmsg.FetchResponse)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := t.Topic
		if resp.Version >= firstFetchTopicID {
			name = byID[t.TopicID]
		}
		for j := range t.Partitions {
			at := topicPartition{name, t.Partitions[j].Partition}
			if ask, asked := partitions[at]; asked {
				f.take(at, ask, &t.Partitions[j])
			}
		}
	}
}

// take looks at what came of one partition.
func (f *firstReader) take(at topicPartition, ask firstAsk, p *kmsg.FetchResponseTopicPartition) {
	opts := kgo.ProcessFetchPartitionOpts{Offset: ask.offset, Topic: at.topic, Partition: at.partition}
	end := p.HighWatermark
	if f.committed {
		opts.IsolationLevel, end = kgo.ReadCommitted(), p.LastStableOffset
	}
	got, next := kgo.ProcessFetchPartition(opts, p, kgo.DefaultDecompressor(), nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case len(got.Records) > 0:
		r := got.Records[0]
		u := unread{timestamp: -1}
		if r.Timestamp.UnixMilli() >= 0 {
			u.timestamp = r.Timestamp.UnixMilli()
		}
		f.settle(at, &u)
	case leaderless(got.Err):
	case got.Err != nil:
		f.settle(at, nil)
	case next >= end:
		f.settle(at, &unread{none: true})
	case next > ask.offset:
		f.left[at], f.moved = firstAsk{offset: next, maxBytes: ask.maxBytes}, true
	default: // the next batch is larger than what was asked for, or others have filled the answer
		f.moved = f.moved || ask.maxBytes < firstFetchMost
		f.left[at] = firstAsk{offset: ask.offset, maxBytes: min(8*ask.maxBytes, firstFetchMost)}
	}
}

// settle ends the search in a partition, with mu held; nil: there is no answer.
func (f *firstReader) settle(at topicPartition, u *unread) {
	delete(f.left, at)
	f.moved = true
	if u != nil {
		f.found[at] = *u
	}
}
