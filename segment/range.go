package segment

import (
	"errors"
	"io"
	"slices"

	"weir/segment/vfs"
)

// Range is a run of whole record batches in one file, for sendfile or for
// AppendTo. Unless it is empty it holds the file until Release, also when the
// segment is deleted meanwhile. The zero Range is empty.
type Range struct {
	FirstOffset int64    // base offset of the first batch; may lie below the offset asked for
	NextOffset  int64    // one past the last batch; where to read on
	Position    int64    // of the first byte in File
	Bytes       int      // 0 for an empty range
	File        vfs.File // nil for an empty range

	files *files
}

// Release gives the file back. It is called once for each range; of an empty
// one it does nothing.
func (r *Range) Release() error {
	f := r.files
	r.files, r.File = nil, nil
	if f == nil {
		return nil
	}
	return f.release()
}

// AppendTo reads the bytes and appends them to dst. io.ErrUnexpectedEOF says
// that the end of the log has been cut off below the range.
func (r *Range) AppendTo(dst []byte) ([]byte, error) {
	if r.Bytes == 0 {
		return dst, nil
	}
	n := len(dst)
	dst = slices.Grow(dst, r.Bytes)[:n+r.Bytes]
	if err := readFull(r.File, dst[n:], r.Position); err != nil {
		return dst[:n], err
	}
	return dst, nil
}

func readFull(f io.ReaderAt, b []byte, position int64) error {
	n, err := f.ReadAt(b, position)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
