package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"

	"weir/protocol/recordbatch"
	"weir/segment"
	"weir/segment/vfs"
)

// readKeys notes the last offset of each key among the dirty records from an
// offset on, and where it had to end.
func (p *pass) readKeys(dirty []*segment.Segment, from int64) error {
	end, err := dirty[len(dirty)-1].End()
	if err != nil {
		return err
	}
	p.end = from
	if p.keys, err = newKeyTable(int(min(int64(p.MaxKeys), end.NextOffset-from))); err != nil { // no more keys than offsets
		return err
	}
	for _, s := range dirty {
		for c, err := range s.Contents(from) {
			if err == nil {
				err = p.check(c.Bytes)
			}
			if err != nil {
				return err
			}
			if c.Kind.Raft() || c.NextOffset <= from {
				continue
			}
			more, err := p.noteKeys(c, from)
			if err != nil || !more {
				return err
			}
			p.end = c.NextOffset
		}
	}
	return nil
}

// noteKeys notes the keys of a batch; more is false when the pass ends before it, which
// is not the first one from start on.
func (p *pass) noteKeys(c segment.Content, start int64) (more bool, err error) {
	h, err := recordbatch.ParseHeader(c.Data)
	switch {
	case err != nil:
		return false, err
	case h.IsControl() || p.aborted(h):
		return true, nil // what an abort takes back must not stand for its key
	case !p.keys.extend(c.Offset, c.NextOffset):
		return false, nil
	}
	for r, err := range recordbatch.Records(c.Data, math.MaxInt) {
		if err != nil {
			return false, err
		}
		if r.Offset < c.Offset || r.Offset >= c.NextOffset {
			return false, &recordbatch.InvalidRecordError{Reason: fmt.Sprintf("a record has offset %d, and its batch [%d, %d)", r.Offset, c.Offset, c.NextOffset)}
		}
		if r.Key == nil || p.keys.put(r.Key, r.Offset) {
			continue
		}
		if p.end > start {
			return false, nil // what is noted of it is true, and does no harm
		}
		if err := p.keys.grow(); err != nil {
			return false, err
		}
		p.keys.put(r.Key, r.Offset)
	}
	return true, nil
}

// The file that says how far the log has been compacted: FORMAT.md, section 4.
const (
	cleanedName    = "cleaned"
	cleanedMagic   = "WCLN"
	cleanedVersion = 1
	cleanedBytes   = 20
)

func encodeCleaned(to int64) []byte {
	b := append(make([]byte, 0, cleanedBytes), cleanedMagic...)
	b = binary.BigEndian.AppendUint16(b, cleanedVersion)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(to))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeCleaned gives 0, nothing compacted, for what encodeCleaned did not write.
func decodeCleaned(b []byte) int64 {
	if len(b) != cleanedBytes || string(b[:4]) != cleanedMagic || binary.BigEndian.Uint16(b[4:]) != cleanedVersion ||
		crc32.Checksum(b[:cleanedBytes-4], castagnoli) != binary.BigEndian.Uint32(b[cleanedBytes-4:]) {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[8:]))
}

// readCleaned reads up to where the log has been compacted.
func (l *Log) readCleaned() (int64, error) {
	b, err := vfs.ReadFile(l.fs, filepath.Join(l.cfg.Dir, cleanedName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return decodeCleaned(b), nil
}

// cutCleaned forgets how far the log has been compacted before it is cut below
// that: what comes there later has not been.
func (l *Log) cutCleaned(to int64) error {
	cleaned, err := l.readCleaned()
	if err != nil || cleaned <= to {
		return err
	}
	if err := segment.Remove(l.fs, filepath.Join(l.cfg.Dir, cleanedName)); err != nil {
		return err
	}
	return l.syncDir()
}

func (l *Log) writeCleaned(to int64) error {
	return vfs.ReplaceFile(l.fs, filepath.Join(l.cfg.Dir, cleanedName), encodeCleaned(to))
}
