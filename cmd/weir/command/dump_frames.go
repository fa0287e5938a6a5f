package command

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/jsonl"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
	"weir/protocol/recordbatch"
	"weir/segment"
)

// frameRow is one entry of a segment: a record batch, or one of Raft's own, of which the batch's fields
// are null.
type frameRow struct {
	Path      string    `json:"path"`
	Position  int64     `json:"position"`
	Bytes     int64     `json:"bytes"`
	Kind      string    `json:"kind"`
	Base      int64     `json:"base_offset"`
	Next      int64     `json:"next_offset"`
	RaftIndex uint64    `json:"raft_index"`
	Epoch     int32     `json:"leader_epoch"`
	Batch     *batchRow `json:"batch"`
}

type batchRow struct {
	Records       int32             `json:"records"`
	Codec         string            `json:"codec"`
	BaseTimestamp int64             `json:"base_timestamp"` // ms since 1970
	MaxTimestamp  int64             `json:"max_timestamp"`
	LogAppendTime bool              `json:"log_append_time"`
	ProducerID    int64             `json:"producer_id"` // -1: not idempotent
	ProducerEpoch int16             `json:"producer_epoch"`
	BaseSequence  int32             `json:"base_sequence"`
	Transactional bool              `json:"transactional"`
	Control       bool              `json:"control"`
	Marker        *markerRow        `json:"marker"` // what a control batch says, null for others
	CRC           uint32            `json:"crc32c"`
	Content       []json.RawMessage `json:"content,omitempty"`
}

// markerRow is how a transaction ended.
type markerRow struct {
	Type             string `json:"type"` // commit, abort
	CoordinatorEpoch int32  `json:"coordinator_epoch"`
}

// frameDump prints the frames of segments, and with records what is in them.
type frameDump struct {
	s       *Streams
	format  output.Format
	records bool
	rows    *output.Stream[frameRow]
	text    *record.Writer // with records, in a table: a line for each
}

func newFrameDump(s *Streams, format output.Format, records bool) *frameDump {
	d := &frameDump{s: s, format: format, records: records}
	if records && !isJSON(format) {
		d.text, _ = record.NewWriter(s.Out, record.Options{Format: record.Text}) // a format it has
		return d
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	ofBatch := func(cell func(*batchRow) string) func(frameRow) string {
		return func(r frameRow) string {
			if r.Batch == nil {
				return ""
			}
			return cell(r.Batch)
		}
	}
	d.rows = output.NewStream(s.Out, format, []output.Column[frameRow]{
		{Name: "FILE", Wide: true, Cell: func(r frameRow) string { return r.Path }},
		{Name: "POSITION", Cell: func(r frameRow) string { return number(r.Position) }},
		{Name: "SIZE", Cell: func(r frameRow) string { return output.Bytes(r.Bytes) }},
		{Name: "KIND", Cell: func(r frameRow) string { return r.Kind }},
		{Name: "OFFSETS", Cell: func(r frameRow) string { return number(r.Base) + ".." + number(r.Next) }},
		{Name: "RAFT-INDEX", Cell: func(r frameRow) string { return strconv.FormatUint(r.RaftIndex, 10) }},
		{Name: "EPOCH", Cell: func(r frameRow) string { return number(int64(r.Epoch)) }},
		{Name: "RECORDS", Cell: ofBatch(func(b *batchRow) string { return number(int64(b.Records)) })},
		{Name: "CODEC", Cell: ofBatch(func(b *batchRow) string { return b.Codec })},
		{Name: "MAX-TIMESTAMP", Cell: ofBatch(func(b *batchRow) string { return output.Millis(b.MaxTimestamp) })},
		{Name: "PRODUCER", Cell: ofBatch(func(b *batchRow) string {
			if b.ProducerID < 0 {
				return ""
			}
			return number(b.ProducerID) + "/" + number(int64(b.ProducerEpoch)) + "@" + number(int64(b.BaseSequence))
		})},
		{Name: "TRANSACTION", Cell: ofBatch(func(b *batchRow) string {
			switch {
			case b.Marker != nil:
				return b.Marker.Type
			case b.Transactional:
				return "records"
			}
			return ""
		})},
	})
	return d
}

func isJSON(f output.Format) bool { return f == output.JSON || f == output.JSONL }

func (d *frameDump) segment(f segmentFile, s *openSegment) error {
	if !isJSON(d.format) {
		d.s.note("%s: topic id %s, partition %d, offsets from %d, created %s", f.path(), topicID(s.header.TopicID),
			s.header.Partition, s.header.BaseOffset, output.Millis(s.header.CreatedMillis))
	}
	for _, frame := range s.frames {
		row := frameRow{Path: f.path(), Position: frame.Position, Bytes: frame.Bytes, Kind: frame.Kind.String(),
			Base: frame.Offset, Next: frame.NextOffset, RaftIndex: frame.RaftIndex, Epoch: frame.Epoch}
		var records []*kgo.Record
		if !frame.Kind.Raft() {
			var err error
			if row.Batch, records, err = d.batch(s, frame); err != nil {
				return err
			}
		}
		if err := d.write(row, records); err != nil {
			return err
		}
	}
	return nil
}

func (d *frameDump) write(row frameRow, records []*kgo.Record) error {
	if d.text == nil {
		for _, r := range records {
			line := jsonl.Append(nil, r)
			row.Batch.Content = append(row.Batch.Content, line[:len(line)-1])
		}
		return d.rows.Add(row)
	}
	for _, r := range records {
		if err := d.text.Write(r); err != nil {
			return err
		}
	}
	return nil
}

func (d *frameDump) close() error {
	if d.text != nil {
		return d.text.Close()
	}
	return d.rows.Close()
}

// batch reads a batch's header, and with d.records what is in it.
func (d *frameDump) batch(s *openSegment, frame segment.Frame) (*batchRow, []*kgo.Record, error) {
	b, err := readFrame(s, frame, recordbatch.HeaderBytes)
	if err != nil {
		return nil, nil, err
	}
	h, err := recordbatch.ParseHeader(b)
	if err != nil {
		return nil, nil, err
	}
	if d.records || h.IsControl() {
		if b, err = readFrame(s, frame, frame.Bytes); err != nil {
			return nil, nil, err
		}
	}
	row := &batchRow{Records: h.RecordCount, Codec: h.Codec().String(), BaseTimestamp: h.BaseTimestamp, MaxTimestamp: h.MaxTimestamp,
		LogAppendTime: h.LogAppendTime(), ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence,
		Transactional: h.IsTransactional(), Control: h.IsControl(), CRC: h.CRC}
	if h.IsControl() {
		if row.Marker, err = marker(b); err != nil {
			return nil, nil, err
		}
	}
	if !d.records || h.IsControl() {
		return row, nil, nil
	}
	var records []*kgo.Record
	for r, err := range recordbatch.Records(b, recordbatch.DefaultMaxDecodedBytes) {
		if err != nil {
			return nil, nil, err
		}
		records = append(records, copyRecord(r, s.header))
	}
	return row, records, nil
}

// readFrame reads the first n bytes of a frame.
func readFrame(s *openSegment, frame segment.Frame, n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := s.file.ReadAt(b, frame.Position); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// marker reads a control batch.
func marker(b []byte) (*markerRow, error) {
	m, err := recordbatch.ParseMarker(b)
	if err != nil {
		return nil, err
	}
	row := &markerRow{Type: "abort", CoordinatorEpoch: m.CoordinatorEpoch}
	if m.Commit {
		row.Type = "commit"
	}
	return row, nil
}

// copyRecord takes a record out of its batch. A segment knows its topic by id only.
func copyRecord(r recordbatch.Record, h segment.Header) *kgo.Record {
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		return append([]byte{}, b...)
	}
	k := &kgo.Record{Topic: hex.EncodeToString(h.TopicID[:]), Partition: h.Partition, Offset: r.Offset,
		Timestamp: time.UnixMilli(r.Timestamp), Key: keep(r.Key), Value: keep(r.Value)}
	for _, header := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: string(header.Key), Value: keep(header.Value)})
	}
	return k
}
