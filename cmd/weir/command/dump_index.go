package command

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"weir/cmd/weir/output"
)

// indexRow is one entry of an index; segment/FORMAT.md, sections 2 and 3, has the bytes.
type indexRow struct {
	Path      string  `json:"path"`
	Position  int64   `json:"position"` // in the .log file
	Offset    *int64  `json:"offset,omitempty"`
	RaftIndex *uint64 `json:"raft_index,omitempty"`
	Raft      bool    `json:"raft_frame,omitempty"`
	Timestamp *int64  `json:"timestamp_before,omitempty"` // the largest of all records before Position, ms since 1970
	End       bool    `json:"end,omitempty"`              // of a sealed segment
}

const indexEntryBytes = 16

// indexDump prints the entries of the two indexes of segments.
type indexDump struct{ rows *output.Stream[indexRow] }

func newIndexDump(s *Streams, format output.Format) *indexDump {
	return &indexDump{output.NewStream(s.Out, format, []output.Column[indexRow]{
		{Name: "INDEX", Cell: func(r indexRow) string { return r.Path }},
		{Name: "POSITION", Cell: func(r indexRow) string { return strconv.FormatInt(r.Position, 10) }},
		{Name: "OFFSET", Cell: func(r indexRow) string {
			if r.Offset == nil {
				return ""
			}
			return strconv.FormatInt(*r.Offset, 10)
		}},
		{Name: "RAFT-INDEX", Cell: func(r indexRow) string {
			if r.RaftIndex == nil {
				return ""
			}
			return strconv.FormatUint(*r.RaftIndex, 10)
		}},
		{Name: "TIMESTAMP-BEFORE", Cell: func(r indexRow) string {
			if r.Timestamp == nil {
				return ""
			}
			return output.Millis(*r.Timestamp)
		}},
		{Name: "IS", Cell: func(r indexRow) string {
			switch {
			case r.End:
				return "end"
			case r.Raft:
				return "raft"
			}
			return ""
		}},
	})}
}

func (d *indexDump) close() error { return d.rows.Close() }

func (d *indexDump) segment(f segmentFile, s *openSegment) error {
	for _, ext := range []string{".index", ".timeindex"} {
		path := strings.TrimSuffix(f.path(), ".log") + ext
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for ; len(data) >= indexEntryBytes; data = data[indexEntryBytes:] {
			row, ok := indexEntry(data[:indexEntryBytes], s, ext)
			if !ok {
				break
			}
			row.Path = path
			if err := d.rows.Add(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// indexEntry decodes one entry; zeros, which no entry is, end an index.
func indexEntry(b []byte, s *openSegment, ext string) (row indexRow, ok bool) {
	if ext == ".timeindex" {
		ts := int64(binary.BigEndian.Uint64(b))
		row.Position, row.Timestamp = int64(binary.BigEndian.Uint32(b[8:])), &ts
		return row, row.Position > 0
	}
	offset := s.header.BaseOffset + int64(binary.BigEndian.Uint32(b))
	raftIndex := s.header.BaseRaftIndex + uint64(binary.BigEndian.Uint32(b[8:]))
	row.Position, row.Offset, row.RaftIndex = int64(binary.BigEndian.Uint32(b[4:])), &offset, &raftIndex
	row.Raft, row.End = b[15]&1 != 0, b[15]&2 != 0
	return row, row.Position > 0
}
