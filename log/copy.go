package log

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"weir/segment"
	"weir/segment/vfs"
)

// Copy is a copy of a log in another folder that is made while the log goes on: Advance, as often as it takes, until
// little is missing, and Finish when the log has been closed. One goroutine makes it; others may ask how far it is.
type Copy struct {
	l    *Log
	dir  string
	pace func(ctx context.Context, bytes int) error
	buf  []byte

	cuts uint64 // Log.cuts, as of all of done
	done map[*segment.Segment]copied

	bytes  atomic.Int64
	offset atomic.Int64
}

// copied is what there is of a segment in the copy.
type copied struct {
	bytes   int64 // of the `.log` file
	indexes bool  // those of a sealed one
}

const (
	copyBytes     = 256 << 10 // are read and written at a time
	copySyncBytes = 8 << 20   // are synced at a time: others wait for the same disk
)

// errSwapped: the file is not the one it was.
var errSwapped = errors.New("log: the segment was replaced while it was copied")

// Copy begins a copy in dir, an empty folder. pace is called before so many bytes are read and written; its error ends
// the call that it comes from.
func (l *Log) Copy(dir string, pace func(ctx context.Context, bytes int) error) *Copy {
	return &Copy{l: l, dir: dir, pace: pace, done: make(map[*segment.Segment]copied)}
}

// SizeBytes is how much of all segments is in the copy, without indexes.
func (c *Copy) SizeBytes() int64 { return c.bytes.Load() }

// NextOffset is an offset below which all is in the copy.
func (c *Copy) NextOffset() int64 { return c.offset.Load() }

// Missing is how many bytes of segments the log has and the copy has not.
func (c *Copy) Missing() (n int64) {
	c.forget()
	for _, s := range c.l.list() {
		n += s.SizeBytes() - c.done[s].bytes
	}
	return n
}

// Advance copies what the log has and the copy has not, and makes the bytes durable. Errors: ErrClosed when the log is
// closed meanwhile, pace's, those of the file system. After an error the copy may go on.
func (c *Copy) Advance(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(c.l.closing, stop)()
	err := c.advance(ctx)
	if closed := c.l.stopped(); closed != nil {
		return closed
	}
	return err
}

func (c *Copy) advance(ctx context.Context) error {
	c.forget()
	end, list := c.l.LogEndOffset(), c.l.list()
	for _, s := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := s.SizeBytes()
		if c.done[s].bytes == size && (c.done[s].indexes || !s.Sealed()) {
			continue
		}
		c.offset.Store(s.BaseOffset())
		err := c.copySegment(ctx, s, size)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errSwapped) {
			continue // retention or compaction has been there: it is not in the list any more
		}
		if err != nil {
			return err
		}
	}
	c.offset.Store(end)
	return nil
}

// Finish copies the rest, when the log has been closed cleanly, and all other files of its folder. All of it is
// durable on return, but for the copy's own name. Errors: pace's, those of the file system.
func (c *Copy) Finish(ctx context.Context) error {
	c.forget()
	leftover, err := c.leftover()
	if err != nil {
		return err
	}
	have := make(map[string]int64) // names of files, and the bytes of them that are in the copy
	for s, d := range c.done {
		name := filepath.Base(s.Path())
		have[name] = d.bytes
		if d.indexes {
			for _, index := range segment.IndexPaths(c.l.cfg.Dir, s.BaseOffset()) {
				have[filepath.Base(index)] = -1
			}
		}
	}
	entries, err := c.l.fs.ReadDir(c.l.cfg.Dir)
	if err != nil {
		return err
	}
	kept := make(map[string]bool)
	for _, e := range entries {
		name := e.Name()
		if leftover[name] || strings.HasSuffix(name, ".tmp") {
			continue
		}
		kept[name] = true
		if from := have[name]; from >= 0 {
			if err := c.copyFile(ctx, name, from, -1); err != nil {
				return err
			}
		}
	}
	if err := c.removeBut(kept); err != nil {
		return err
	}
	return c.l.fs.SyncDir(c.dir)
}

// forget drops what the log does not have any more, or may have cut off and written anew.
func (c *Copy) forget() {
	if cuts := c.l.cuts.Load(); cuts != c.cuts {
		c.cuts = cuts
		clear(c.done)
	}
	now := make(map[*segment.Segment]copied)
	bytes := int64(0)
	for _, s := range c.l.list() {
		if d, ok := c.done[s]; ok {
			now[s] = d
			bytes += d.bytes
		}
	}
	c.done = now
	c.bytes.Store(bytes)
}

// copySegment brings the copy of a segment up to size, and its indexes once it is sealed.
func (c *Copy) copySegment(ctx context.Context, s *segment.Segment, size int64) error {
	sealed := s.Sealed() && s.SizeBytes() == size
	d := c.done[s]
	if err := c.copyFile(ctx, filepath.Base(s.Path()), d.bytes, size); err != nil {
		return err
	}
	c.done[s] = copied{bytes: size}
	if !sealed {
		return nil
	}
	for _, index := range segment.IndexPaths(c.l.cfg.Dir, s.BaseOffset()) {
		if err := c.copyFile(ctx, filepath.Base(index), 0, -1); err != nil {
			return err
		}
	}
	c.done[s] = copied{bytes: size, indexes: true}
	return nil
}

// copyFile copies a file from a position to another, or, at -1, to its end, where the copy ends then. The bytes are
// durable on return.
func (c *Copy) copyFile(ctx context.Context, name string, from, to int64) (err error) {
	in, err := c.l.fs.OpenFile(filepath.Join(c.l.cfg.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if to < 0 {
		if to, err = in.Size(); err != nil {
			return err
		}
	}
	flag := os.O_WRONLY
	if from == 0 {
		flag |= os.O_CREATE | os.O_TRUNC
	}
	out, err := c.l.fs.OpenFile(filepath.Join(c.dir, name), flag, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for at, synced := from, from; at < to; {
		n, err := c.copyPiece(ctx, in, out, at, min(to-at, copyBytes))
		if err != nil {
			return err
		}
		if at += n; at-synced >= copySyncBytes {
			if err := out.Sync(); err != nil {
				return err
			}
			synced = at
		}
		if strings.HasSuffix(name, ".log") {
			c.bytes.Add(n)
		}
	}
	if err := out.Truncate(to); err != nil { // an attempt before may have come further
		return err
	}
	return out.Sync()
}

func (c *Copy) copyPiece(ctx context.Context, in, out vfs.File, at, n int64) (int64, error) {
	if err := c.pace(ctx, int(n)); err != nil {
		return 0, err
	}
	if c.buf == nil {
		c.buf = make([]byte, copyBytes)
	}
	read, err := in.ReadAt(c.buf[:n], at)
	if err == io.EOF && int64(read) < n {
		return 0, errSwapped
	}
	if err != nil && err != io.EOF {
		return 0, err
	}
	_, err = out.WriteAt(c.buf[:n], at)
	return n, err
}

// leftover names the files that the next open would remove.
func (c *Copy) leftover() (map[string]bool, error) {
	listing, err := segment.List(c.l.fs, c.l.cfg.Dir)
	names := make(map[string]bool)
	for _, path := range listing.Leftover {
		names[filepath.Base(path)] = true
	}
	return names, err
}

// removeBut removes what the log has let go of since it was copied.
func (c *Copy) removeBut(kept map[string]bool) error {
	entries, err := c.l.fs.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !kept[e.Name()] {
			if err := c.l.fs.Remove(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
