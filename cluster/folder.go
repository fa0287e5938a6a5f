package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"weir/log"
	"weir/segment/vfs"
)

const (
	lockFile  = "LOCK"
	cleanFile = "clean-shutdown"
	bootFile  = "running"
	bootID    = "/proc/sys/kernel/random/boot_id"
)

// LockedError says that another process has the data directory open.
type LockedError struct {
	Dir string
	Err error
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("data directory %s is in use by another process: %v", e.Dir, e.Err)
}
func (e *LockedError) Unwrap() error { return e.Err }

// folder is one of the data folders of a node (Kafka's log.dirs), which it has to itself:
//
//	LOCK            held by the process
//	meta.json       folderMeta
//	running         boot id of the machine when all was last known to be recovered
//	clean-shutdown  there only after a stop that left nothing to recover
//	topics/ID/N/    partition N of the topic with that id (32 hex digits)
//	trash/          what is on its way out
//	moving/         copies of replicas that are moving here (move.go)
//	damaged/        replicas that were set aside (aside.go)
type folder struct {
	fs       vfs.FS
	root     string
	meta     folderMeta
	recovery log.RecoveryMode
	boot     []byte // this machine's boot id; empty when it has none
	running  bool   // boot is in bootFile
	logger   *slog.Logger
	lock     io.Closer
	syncer   *log.Syncer           // of the logs in it; nil until they may be opened
	failure  atomic.Pointer[error] // why nothing is opened in it any more
	room     atomic.Int32          // space.Level of its disk, at the last look
}

// lockFolder makes a folder durably, with those that it is made of, and takes it for this process.
func lockFolder(fsys vfs.FS, root string, logger *slog.Logger, more ...string) (_ *folder, err error) {
	f := &folder{fs: fsys, root: filepath.Clean(root), logger: logger}
	dirs := []string{f.root, f.topics(), f.trash(), f.path(MovingFolder)}
	for _, name := range more {
		dirs = append(dirs, f.path(name))
	}
	for _, dir := range dirs {
		if err := vfs.MkdirAllSync(fsys, dir, 0o755); err != nil {
			return nil, err
		}
	}
	if f.lock, err = fsys.Lock(f.path(lockFile)); errors.Is(err, vfs.ErrLocked) {
		err = &LockedError{Dir: f.root, Err: err}
	}
	return f, err
}

func (f *folder) path(name string) string { return filepath.Join(f.root, name) }
func (f *folder) topics() string          { return f.path(TopicsFolder) }
func (f *folder) trash() string           { return f.path(TrashFolder) }

func (f *folder) topic(id [16]byte) string {
	return filepath.Join(f.topics(), hex.EncodeToString(id[:]))
}
func (f *folder) partition(id [16]byte, index int32) string {
	return filepath.Join(f.topic(id), strconv.Itoa(int(index)))
}

// isEmpty says whether a folder within this one has nothing in it.
func (f *folder) isEmpty(dir string) (bool, error) {
	entries, err := f.fs.ReadDir(dir)
	return len(entries) == 0, err
}

// fail has nothing opened in the folder any more. It is false when it had failed before.
func (f *folder) fail(err error) bool { return f.failure.CompareAndSwap(nil, &err) }

// failed says why the folder is out of use, nil while it is in use.
func (f *folder) failed() error {
	if err := f.failure.Load(); err != nil {
		return &FolderError{Folder: f.root, Err: *err}
	}
	return nil
}

// Recovery is what the process that had a data folder open last may have left of its logs.
func Recovery(fsys vfs.FS, root string) (log.RecoveryMode, error) {
	f := &folder{fs: fsys, root: root, logger: slog.New(slog.DiscardHandler)}
	err := f.recall()
	return f.recovery, err
}

// recall finds out what the last process left.
func (f *folder) recall() (err error) {
	if f.boot, err = os.ReadFile(bootID); err != nil {
		f.logger.Warn("the machine has no boot id; after a kill, recovery will assume that it lost power", "err", err)
	}
	f.recovery = log.RecoverPowerLoss
	last, err := f.read(bootFile)
	switch {
	case err == nil && len(f.boot) > 0 && bytes.Equal(last, f.boot):
		f.recovery, f.running = log.RecoverProcessCrash, true
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	_, err = f.fs.Stat(f.path(cleanFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f.recovery = log.RecoverClean
	return err
}

// begin finds out what the last process left, and takes its clean mark away before anything can be written.
func (f *folder) begin() error {
	if err := f.recall(); err != nil || f.recovery != log.RecoverClean {
		return err
	}
	if err := f.fs.Remove(f.path(cleanFile)); err != nil {
		return err
	}
	return f.fs.SyncDir(f.root)
}

// recovered notes that nothing is left to recover from before this boot. A
// process that dies earlier leaves the mark of the boot before, so that the
// next one still expects what a power loss leaves.
func (f *folder) recovered() error {
	if f.running {
		return nil
	}
	err := f.write(bootFile, f.boot)
	f.running = err == nil
	return err
}

// close gives the folder back. clean says that nothing needs recovery.
func (f *folder) close(clean bool) error {
	var err error
	if clean {
		err = f.write(cleanFile, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"))
	}
	if f.lock != nil { // else it failed before
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

// write replaces a small file whole, durable on return.
func (f *folder) write(name string, b []byte) error {
	return vfs.ReplaceFile(f.fs, f.path(name), b)
}

func (f *folder) read(name string) ([]byte, error) {
	file, err := f.fs.OpenFile(f.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<20))
	return b, errors.Join(err, file.Close())
}
