package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"weir/segment/vfs"
)

// Names in a data directory, for who looks at one whose broker does not run; LockFile is to be held meanwhile.
const (
	LockFile      = lockFile
	TopicsFolder  = "topics"
	TrashFolder   = "trash"
	MovingFolder  = "moving"  // copies of replicas that move here from another folder
	DamagedFolder = "damaged" // replicas that were set aside; nobody removes them
)

// SetAside takes a replica out of a data directory that the caller has locked, since its log is damaged: its folder goes to
// DamagedFolder. The next start forgets what the replica has voted, and has it filled again by its group, without a
// vote until then. It is durable on return; a crash leaves the replica as it was, or what another call completes.
func SetAside(fsys vfs.FS, root string, topic [16]byte, index int32) error {
	d := &folder{fs: fsys, root: root}
	damaged := d.path(DamagedFolder)
	if err := vfs.MkdirAllSync(fsys, damaged, 0o755); err != nil {
		return err
	}
	// As in discardPartition, of which finishDiscards does the rest: of what is in the trash and not in its place it
	// notes that it was here, and forgets the votes.
	name := fmt.Sprintf("%s.%d", partitionName(topic, index), time.Now().UnixMilli())
	if err := vfs.MkdirAllSync(fsys, filepath.Join(d.trash(), name), 0o755); err != nil {
		return err
	}
	if err := fsys.Rename(d.partition(topic, index), filepath.Join(damaged, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(fsys.SyncDir(d.topic(topic)), fsys.SyncDir(damaged))
}
