package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/metadata"
	"weir/cluster/txn"
	"weir/protocol"
)

// maxMarkerCalls bounds the calls to one broker, or within this one, that are under way.
const maxMarkerCalls = 64

// markerTimeout bounds one call; what it leaves open is tried again.
const markerTimeout = 10 * time.Second

// markerRetryInterval is after how long markers are sent again that were not taken, unless somebody else leads before.
const markerRetryInterval = 250 * time.Millisecond

// goneAfter is after how long it is found out whether a partition that is not in the metadata here is deleted, or these
// are behind: nothing else would ever end a transaction in it.
const goneAfter = 3 * time.Second

// markers writes the markers that end transactions, in partitions wherever they are led.
type markers struct {
	broker *Broker

	mu    sync.Mutex // guards slots
	slots map[int32]chan struct{}
}

func newMarkers(b *Broker) *markers { return &markers{broker: b, slots: make(map[int32]chan struct{})} }

// decision is the end of a transaction, which partitions are to hear of.
type decision struct {
	producer         txn.Producer
	coordinatorEpoch int32
	commit           bool
	version          int16 // of the transaction: from 2 on the producer's epoch is above that of its records
}

// write tells all partitions, until each has the marker or is gone. It returns ctx's error when that ends first.
func (m *markers) write(ctx context.Context, d decision, partitions []txn.Partition) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for began := time.Now(); ; {
		changed := m.broker.node.LeadersChanged()
		current := sync.OnceValue(func() bool { return time.Since(began) > goneAfter && m.broker.node.CatchUp(ctx) == nil })
		if partitions = m.writeOnce(ctx, d, partitions, current); len(partitions) == 0 {
			return nil
		}
		timer.Reset(markerRetryInterval)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeOnce tells the leaders that are known, side by side, and returns the partitions that are left; current says
// whether those are deleted of which nothing is known.
func (m *markers) writeOnce(ctx context.Context, d decision, partitions []txn.Partition, current func() bool) (left []txn.Partition) {
	byLeader := make(map[int32][]txn.Partition)
	for _, p := range partitions {
		t := m.broker.node.Topic(p.Topic)
		if t == nil || int(p.Index) >= t.NumPartitions() {
			if !current() {
				left = append(left, p)
			}
			continue
		}
		leader := m.broker.node.Leadership(t, p.Index).Leader
		if leader == metadata.NoLeader {
			left = append(left, p)
			continue
		}
		byLeader[leader] = append(byLeader[leader], p)
	}
	var mu sync.Mutex
	var told sync.WaitGroup
	for leader, all := range byLeader {
		told.Go(func() {
			untold := m.tell(ctx, leader, d, all)
			mu.Lock()
			defer mu.Unlock()
			left = append(left, untold...)
		})
	}
	told.Wait()
	return left
}

// tell has one broker write the markers of partitions that it leads, and returns those that it did not write.
func (m *markers) tell(ctx context.Context, leader int32, d decision, all []txn.Partition) []txn.Partition {
	slots := m.slotsOf(leader)
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return all
	}
	ctx, cancel := context.WithTimeout(ctx, markerTimeout)
	defer cancel()
	resp, err := ask[*kmsg.WriteTxnMarkersResponse](ctx, m.broker, leader, markerRequest(d, all))
	if err != nil {
		m.broker.logger.Debug("markers were not written", "broker", leader, "producer_id", d.producer.ID, "err", err)
		return all
	}
	written := make(map[txn.Partition]bool)
	for _, marker := range resp.Markers {
		for _, t := range marker.Topics {
			for _, p := range t.Partitions {
				switch protocol.ErrorCode(p.ErrorCode) {
				case protocol.CodeNone, protocol.CodeTransactionCoordinatorFenced, protocol.CodeInvalidProducerEpoch:
					// Of the latter two a later coordinator, or a later epoch, has been there: there is nothing left to end.
					written[txn.Partition{Topic: t.Topic, Index: p.Partition}] = true
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p txn.Partition) bool { return written[p] })
}

func (m *markers) slotsOf(broker int32) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots[broker] == nil {
		m.slots[broker] = make(chan struct{}, maxMarkerCalls)
	}
	return m.slots[broker]
}

// markerVersion is the version of WriteTxnMarkers between brokers.
const markerVersion = 2

func markerRequest(d decision, all []txn.Partition) *kmsg.WriteTxnMarkersRequest {
	marker := kmsg.NewWriteTxnMarkersRequestMarker()
	marker.ProducerID, marker.ProducerEpoch = d.producer.ID, d.producer.Epoch
	marker.Committed, marker.CoordinatorEpoch, marker.TransactionVersion = d.commit, d.coordinatorEpoch, int8(d.version)
	for _, p := range all {
		if n := len(marker.Topics); n == 0 || marker.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			t.Topic = p.Topic
			marker.Topics = append(marker.Topics, t)
		}
		last := &marker.Topics[len(marker.Topics)-1]
		last.Partitions = append(last.Partitions, p.Index)
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version, req.Markers = markerVersion, append(req.Markers, marker)
	return req
}

// sendMarkers has the partitions of a transaction whose outcome is decided hear of it, and completes it then. It is
// called with mu held.
func (c *transactions) sendMarkers(s *txnShard, t *liveTransaction) {
	is := t.Snapshot()
	if !is.State.Preparing() || t.sending {
		return
	}
	t.sending = true
	ctx := s.ctx
	d := decision{producer: is.Producer, coordinatorEpoch: s.epoch, commit: is.State == txn.PrepareCommit, version: is.Version}
	c.running.Go(func() {
		if c.markers.write(ctx, d, is.Partitions) == nil {
			c.complete(ctx, s, t)
		}
	})
}

// complete notes that all markers are written, unless another leadership has begun since: then that sees to it.
func (c *transactions) complete(ctx context.Context, s *txnShard, t *liveTransaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || !s.leads() {
		return
	}
	t.sending = false
	if step := t.Complete(c.now()); step.Write != nil {
		if _, err := c.store(s, t, step.Write); err != nil {
			c.logger.Error("a transaction is not completed", "transactional_id", t.id, "err", err)
		}
	}
}
