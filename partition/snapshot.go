package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weir/segment/vfs"
)

// A producer snapshot is the idempotence state as of an offset, in a file
// named after that offset beside the segments. Big-endian:
//
//	magic    [4]byte  "WPS1", the last byte is the version
//	offset   int64    state holds every batch below it
//	count    uint32   producers that follow, least recently seen first
//	producer: id int64, epoch int16, last seen int64 (unix ms), n uint8,
//	          n times: first sequence int32, last sequence int32,
//	                   base offset int64, next offset int64
//	crc      uint32   CRC-32C of everything before it
//
// One that is missing or bad means that more of the log's headers are read
// again; but for what lies below the log start it is the only witness. So it
// is on disk before an older one goes, and two are kept, since the newest may
// lie beyond a log end that lost its tail.
const (
	snapshotMagic     = "WPS1"
	snapshotSuffix    = ".producers"
	snapshotsKept     = 2
	snapshotMinBytes  = 4 + 8 + 4 + 4
	producerMinBytes  = 8 + 2 + 8 + 1
	batchRefBytes     = 4 + 4 + 8 + 8
	maxSnapshotBytes  = 64 << 20
	snapshotTmpSuffix = ".tmp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errBadSnapshot = errors.New("partition: bad producer snapshot")

func (t *producers) encode(offset int64) []byte {
	b := make([]byte, 0, snapshotMinBytes+len(t.byID)*(producerMinBytes+cachedBatches*batchRefBytes))
	b = append(b, snapshotMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	b = binary.BigEndian.AppendUint32(b, uint32(len(t.byID)))
	for e := t.lru.Front(); e != nil; e = e.Next() {
		p := e.Value.(*producer)
		b = binary.BigEndian.AppendUint64(b, uint64(p.id))
		b = binary.BigEndian.AppendUint16(b, uint16(p.epoch))
		b = binary.BigEndian.AppendUint64(b, uint64(p.lastSeen.UnixMilli()))
		b = append(b, byte(p.n))
		for _, r := range p.batches[:p.n] {
			b = binary.BigEndian.AppendUint32(b, uint32(r.firstSequence))
			b = binary.BigEndian.AppendUint32(b, uint32(r.lastSequence))
			b = binary.BigEndian.AppendUint64(b, uint64(r.baseOffset))
			b = binary.BigEndian.AppendUint64(b, uint64(r.nextOffset))
		}
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeProducers reads what encode wrote; errBadSnapshot otherwise.
func decodeProducers(b []byte, limit int) (t *producers, offset int64, err error) {
	if len(b) < snapshotMinBytes || string(b[:4]) != snapshotMagic {
		return nil, 0, errBadSnapshot
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, 0, errBadSnapshot
	}
	offset = int64(binary.BigEndian.Uint64(body[4:]))
	count := int(binary.BigEndian.Uint32(body[12:]))
	body = body[16:]
	t = newProducers(limit)
	for range count {
		if body, err = t.decodeOne(body); err != nil {
			return nil, 0, err
		}
	}
	if len(body) != 0 || offset < 0 {
		return nil, 0, errBadSnapshot
	}
	return t, offset, nil
}

func (t *producers) decodeOne(b []byte) (rest []byte, err error) {
	if len(b) < producerMinBytes {
		return nil, errBadSnapshot
	}
	id, epoch := int64(binary.BigEndian.Uint64(b)), int16(binary.BigEndian.Uint16(b[8:]))
	seen, n := int64(binary.BigEndian.Uint64(b[10:])), int(b[18])
	b = b[producerMinBytes:]
	if n == 0 || n > cachedBatches || len(b) < n*batchRefBytes || t.byID[id] != nil {
		return nil, errBadSnapshot
	}
	p := t.insert(id)
	p.epoch, p.lastSeen = epoch, time.UnixMilli(seen)
	for range n {
		p.push(batchRef{
			firstSequence: int32(binary.BigEndian.Uint32(b)),
			lastSequence:  int32(binary.BigEndian.Uint32(b[4:])),
			baseOffset:    int64(binary.BigEndian.Uint64(b[8:])),
			nextOffset:    int64(binary.BigEndian.Uint64(b[16:])),
		})
		b = b[batchRefBytes:]
	}
	return b, nil
}

func snapshotName(dir string, offset int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", offset, snapshotSuffix))
}

// saveProducers writes a snapshot at end, the log end offset.
func (p *Partition) saveProducers(end int64) {
	p.snapshot = end
	p.writeSnapshot(end, p.producers.encode(end))
}

// writeSnapshot stores b as the snapshot at offset. That it cannot is no
// reason to stop: a full disk has to let go of old records, too.
func (p *Partition) writeSnapshot(offset int64, b []byte) {
	err := writeSnapshot(p.cfg.FS, p.cfg.Dir, offset, b)
	if err != nil {
		p.cfg.Logger.Warn("producer snapshot not written; recovery will read more of the log",
			"topic", p.cfg.Topic, "partition", p.cfg.Partition, "err", err)
		return
	}
	for {
		old := p.snapshotOnDisk.Load()
		if old >= offset || p.snapshotOnDisk.CompareAndSwap(old, offset) {
			return
		}
	}
}

// writeSnapshot stores b as the snapshot at offset, durable on return, and
// then drops the oldest ones.
func writeSnapshot(fsys vfs.FS, dir string, offset int64, b []byte) error {
	name := snapshotName(dir, offset)
	if err := vfs.ReplaceFile(fsys, name, b); err != nil {
		return errors.Join(err, removed(fsys.Remove(name+snapshotTmpSuffix)))
	}
	have, err := snapshots(fsys, dir)
	if err != nil {
		return err
	}
	for _, old := range have[:max(0, len(have)-snapshotsKept)] {
		if err := removed(fsys.Remove(snapshotName(dir, old))); err != nil {
			return err
		}
	}
	return nil
}

// removed leaves out that there was nothing to remove.
func removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// snapshots lists the offsets of the snapshots in dir, rising.
func snapshots(fsys vfs.FS, dir string) ([]int64, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var offsets []int64
	for _, e := range entries { // sorted, and the names have a fixed width
		if offset, ok := snapshotOffset(e.Name()); ok {
			offsets = append(offsets, offset)
		}
	}
	return offsets, nil
}

func snapshotOffset(name string) (offset int64, ok bool) {
	digits, ok := strings.CutSuffix(name, snapshotSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	return offset, err == nil
}

// loadProducers returns the newest good snapshot at or below logEnd, or an
// empty table at offset 0.
func loadProducers(fsys vfs.FS, dir string, logEnd int64, limit int) (*producers, int64, error) {
	if err := sweepSnapshots(fsys, dir, logEnd); err != nil {
		return nil, 0, err
	}
	have, err := snapshots(fsys, dir)
	if err != nil {
		return nil, 0, err
	}
	for i := len(have) - 1; i >= 0; i-- {
		b, err := readSmallFile(fsys, snapshotName(dir, have[i]))
		if err != nil {
			return nil, 0, err
		}
		if t, offset, err := decodeProducers(b, limit); err == nil && offset == have[i] {
			return t, offset, nil
		}
	}
	return newProducers(limit), 0, nil
}

// sweepSnapshots removes what a crash left: snapshots half written, and those
// above logEnd, which describe batches that are gone. The latter for good
// before the log can grow past them again.
func sweepSnapshots(fsys vfs.FS, dir string, logEnd int64) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	swept := false
	for _, e := range entries {
		half := strings.HasSuffix(e.Name(), snapshotSuffix+snapshotTmpSuffix)
		offset, ok := snapshotOffset(e.Name())
		if !half && (!ok || offset <= logEnd) {
			continue
		}
		if err := fsys.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
		swept = true
	}
	if !swept {
		return nil
	}
	return fsys.SyncDir(dir)
}

func readSmallFile(fsys vfs.FS, name string) (b []byte, err error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSnapshotBytes {
		return nil, nil // not one of ours: decodes as bad
	}
	b = make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}
