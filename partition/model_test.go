package partition

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// model is what a partition should hold and know, written plainly: a list of
// batches, and for each producer the list of its own.
type model struct {
	batches   []modelBatch // dense from 0; those below the start stay listed
	start     int64
	producers map[int64]*modelProducer
}

type modelBatch struct {
	base, next int64
	data       []byte // as stored
	who        identity
	lastSeq    int32
	a          *Append
	durable    bool // settled as acks=all while commits waited for the disk
}

// modelProducer is what idempotence has to remember of one producer.
type modelProducer struct {
	epoch int16
	refs  []modelRef
}

type modelRef struct {
	who        identity
	lastSeq    int32
	base, next int64
}

func newModel() *model { return &model{producers: map[int64]*modelProducer{}} }

func (m *model) end() int64 {
	if len(m.batches) == 0 {
		return 0
	}
	return m.batches[len(m.batches)-1].next
}

// add notes a batch that the partition took.
func (m *model) add(b Batch, a *Append) {
	base := m.end()
	h := b.Header
	mb := modelBatch{
		base: base, next: base + int64(h.RecordCount), data: bytes.Clone(b.Data), a: a,
		who: identity{h.ProducerID, h.ProducerEpoch, h.BaseSequence}, lastSeq: h.LastSequence(),
	}
	m.batches = append(m.batches, mb)
	if h.ProducerID >= 0 {
		m.note(mb)
	}
}

func (m *model) note(b modelBatch) {
	p := m.producers[b.who.id]
	if p == nil {
		p = &modelProducer{}
		m.producers[b.who.id] = p
	}
	if p.epoch != b.who.epoch {
		p.epoch, p.refs = b.who.epoch, nil
	}
	p.refs = append(p.refs, modelRef{who: b.who, lastSeq: b.lastSeq, base: b.base, next: b.next})
}

// next is the identity under which producer id sends next.
func (m *model) next(id int64) identity {
	p := m.producers[id]
	if p == nil || len(p.refs) == 0 {
		return identity{id: id}
	}
	return identity{id: id, epoch: p.epoch, sequence: p.refs[len(p.refs)-1].lastSeq + 1}
}

// settle notes which batches the partition has called safe on disk so far.
func (m *model) settle(cached bool) {
	for i := range m.batches {
		b := &m.batches[i]
		if a := b.a; a != nil && !cached && a.acks == AcksAll && a.Settled() && a.err == nil {
			b.durable = true
		}
	}
}

// crashed cuts the model to what was found after a crash and says what is
// missing that should not be.
func (m *model) crashed(end, start int64, power bool) error {
	for i, b := range m.batches {
		if b.next <= end {
			continue
		}
		if b.base < end {
			return fmt.Errorf("the log ends at %d, in the midst of the batch [%d, %d)", end, b.base, b.next)
		}
		for _, lost := range m.batches[i:] {
			if !power || lost.durable {
				return fmt.Errorf("the log ends at %d: the acknowledged batch [%d, %d) is lost", end, lost.base, lost.next)
			}
		}
		m.batches = m.batches[:i]
		break
	}
	if end != m.end() {
		return fmt.Errorf("the log ends at %d, but only [0, %d) was ever written", end, m.end())
	}
	if start != m.start {
		return fmt.Errorf("the log starts at %d, was told %d", start, m.start)
	}
	m.producers = map[int64]*modelProducer{}
	for i := range m.batches {
		b := &m.batches[i]
		b.a = nil
		b.durable = true // recovery has synced it
		if b.who.id >= 0 {
			m.note(*b)
		}
	}
	return nil
}

// bytesFrom is what reading from offset gives: whole batches from the one
// that holds it on.
func (m *model) bytesFrom(offset int64) (first int64, all []byte) {
	first = offset
	for _, b := range m.batches {
		if b.next <= offset {
			continue
		}
		if len(all) == 0 {
			first = b.base
		}
		all = append(all, b.data...)
	}
	return first, all
}

// compare reads everything committed and checks what else can be asked.
func (m *model) compare(t testing.TB, p *Partition) {
	t.Helper()
	start, hw, end := p.LogStartOffset(), p.HighWatermark(), p.LogEndOffset()
	if start != m.start || hw != m.end() || end != m.end() {
		t.Fatalf("start, high watermark, end: got %d, %d, %d; want %d, %d, %d", start, hw, end, m.start, m.end(), m.end())
	}
	first, got := readAll(t, p, start)
	wantFirst, want := m.bytesFrom(start)
	if start < end && first != wantFirst || !bytes.Equal(got, want) {
		t.Fatalf("from %d: got %d bytes from offset %d, want %d from %d", start, len(got), first, len(want), wantFirst)
	}
	if err := verify(p); err != nil {
		t.Fatal(err)
	}
}

// answer is what the partition says to a batch of an idempotent producer.
type answer int

const (
	accepted answer = iota
	duplicate
	outOfOrder
	fenced
	failed
)

func answerOf(err error, base, logEnd int64) answer {
	var sequence *SequenceError
	var epoch *ProducerEpochError
	switch {
	case errors.As(err, &sequence):
		return outOfOrder
	case errors.As(err, &epoch):
		return fenced
	case err != nil:
		return failed
	case base < logEnd:
		return duplicate
	}
	return accepted
}
