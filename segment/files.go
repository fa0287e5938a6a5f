package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"weir/segment/vfs"
)

// The files of a segment are named after its base offset.
const (
	logSuffix     = ".log"
	indexSuffix   = ".index"
	timeSuffix    = ".timeindex"
	deletedSuffix = ".deleted"
	cleanedSuffix = logSuffix + ".cleaned"
	nameDigits    = 20
	filePerm      = 0o644
)

// LogPath is the path of a segment's `.log` file.
func LogPath(dir string, base int64) string { return path(dir, base, logSuffix) }

// IndexPaths are the paths of its index files.
func IndexPaths(dir string, base int64) []string {
	return []string{path(dir, base, indexSuffix), path(dir, base, timeSuffix)}
}

func path(dir string, base int64, suffix string) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", nameDigits, base, suffix))
}

// parseName reads a file name; ok is false for what is not a segment's.
func parseName(name string) (base int64, suffix string, ok bool) {
	if len(name) <= nameDigits {
		return 0, "", false
	}
	base, err := strconv.ParseInt(name[:nameDigits], 10, 64)
	if err != nil || base < 0 {
		return 0, "", false
	}
	return base, name[nameDigits:], true
}

// Listing is what a partition's folder holds.
type Listing struct {
	Bases    []int64  // base offsets of the segments, ascending
	Leftover []string // paths: deleted files, copies half made, and index files without their log
}

// List reads the folder. Files that are not a segment's are left out.
func List(fsys vfs.FS, dir string) (Listing, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return Listing{}, err
	}
	var l Listing
	logs := make(map[int64]bool)
	for _, e := range entries {
		base, suffix, ok := parseName(e.Name())
		if ok && suffix == logSuffix {
			l.Bases = append(l.Bases, base) // ReadDir sorts, and names have a fixed width
			logs[base] = true
		}
	}
	for _, e := range entries {
		base, suffix, ok := parseName(e.Name())
		if !ok {
			continue
		}
		orphan := (suffix == indexSuffix || suffix == timeSuffix) && !logs[base]
		if orphan || suffix == cleanedSuffix || strings.HasSuffix(suffix, deletedSuffix) {
			l.Leftover = append(l.Leftover, filepath.Join(dir, e.Name()))
		}
	}
	return l, nil
}

// Remove unlinks a file; it is no error when the file is not there.
func Remove(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveFiles unlinks the files of a segment that nobody has open.
func RemoveFiles(fsys vfs.FS, dir string, base int64) error {
	var err error
	for _, suffix := range []string{timeSuffix, indexSuffix, logSuffix} {
		err = errors.Join(err, Remove(fsys, path(dir, base, suffix)))
	}
	return err
}

// Drop takes the segment out of the folder by renaming its files and says what
// to unlink. Readers that hold it go on reading; new ones get ErrDropped. The
// caller has made sure that nothing needs it, syncs the folder, and unlinks.
// The log goes last, so that a crash in between leaves a whole segment or
// index files without a log, which the next open removes. After an error
// Dropped says whether it is gone all the same.
func (s *Segment) Drop() (unlink []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, suffix := range []string{timeSuffix, indexSuffix, logSuffix} {
		from := path(s.dir, s.base, suffix)
		to := from + deletedSuffix
		switch err := s.fs.Rename(from, to); {
		case err == nil:
			unlink = append(unlink, to)
		case !errors.Is(err, fs.ErrNotExist):
			return unlink, err
		}
	}
	s.dropped = true
	return unlink, s.closeFilesLocked()
}
