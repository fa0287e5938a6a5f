package cluster

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weir/cluster/metadata"
	"weir/log"
)

// trashKept is how long data that the metadata do not know stay in the trash:
// time for a person to object.
const trashKept = 24 * time.Hour

// discardPartition removes the data of a partition that has moved elsewhere, and has forgotten what it voted.
// In between a crash may come: while its data are in the trash, and only there, the next start forgets
// (finishDiscards). A vote without a log would be taken for a log that was lost.
func (f *folder) discardPartition(id [16]byte, index int32, forget func() error) error {
	trash, err := f.trashPartition(partitionKey{id, index})
	if err == nil {
		err = forget()
	}
	for _, path := range trash {
		if err == nil {
			err = f.fs.RemoveAll(path)
		}
	}
	return err
}

// trashPartition moves the data of a partition to the trash, durably, and returns where they are then; nothing when there
// are none.
func (f *folder) trashPartition(k partitionKey) (paths []string, err error) {
	to := filepath.Join(f.trash(), fmt.Sprintf("%s.%d", partitionName(k.topic, k.partition), time.Now().UnixMilli()))
	err = f.fs.Rename(f.partition(k.topic, k.partition), to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []string{to}, errors.Join(f.fs.SyncDir(f.topic(k.topic)), f.fs.SyncDir(f.trash()))
}

// partitionName is how a partition is called outside of its topic's folder.
func partitionName(id [16]byte, index int32) string {
	return fmt.Sprintf("%s-%d", hex.EncodeToString(id[:]), index)
}

// hasPartition says whether there are data of a partition.
func (f *folder) hasPartition(id [16]byte, index int32) (bool, error) {
	entries, err := f.fs.ReadDir(f.partition(id, index))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// makePartitions makes the folders of partitions of a topic, durably.
func (f *folder) makePartitions(id [16]byte, indexes []int32) error {
	for _, i := range indexes {
		if err := f.fs.MkdirAll(f.partition(id, i), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(f.fs.SyncDir(f.topic(id)), f.fs.SyncDir(f.topics()))
}

// isEmptyPartition says whether no entry has come into a partition's log.
func (f *folder) isEmptyPartition(id [16]byte, index int32) (bool, error) {
	if has, err := f.hasPartition(id, index); err != nil || !has {
		return true, err
	}
	l, err := log.OpenReadOnly(f.partition(id, index), f.fs, f.logger)
	if err != nil {
		return false, nil // the open that follows says what is wrong
	}
	return l.LastRaftIndex() == 0, l.Close()
}

// finishDiscards is called at a start, before anything is opened. isHome says whether this folder is the last
// that the partition was put into.
func (f *folder) finishDiscards(isHome func(id [16]byte, index int32) (bool, error), forget func(id [16]byte, index int32) error) error {
	entries, err := f.fs.ReadDir(f.trash())
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, index, ok := discardedPartition(e.Name())
		if !ok {
			continue
		}
		again, err := f.hasPartition(id, index) // it has come back since, and votes
		home, err2 := isHome(id, index)         // else it has come back elsewhere
		if err = errors.Join(err, err2); err == nil && !again && home {
			err = forget(id, index)
		}
		if err == nil {
			err = f.fs.RemoveAll(filepath.Join(f.trash(), e.Name()))
		}
		if err != nil {
			return fmt.Errorf("cluster: removal of a partition that has moved elsewhere: %w", err)
		}
	}
	return nil
}

// discardedPartition reads a name that begins with partitionName, and perhaps a dot.
func discardedPartition(name string) (id [16]byte, index int32, ok bool) {
	name, _, _ = strings.Cut(name, ".")
	topic, number, _ := strings.Cut(name, "-")
	b, err := hex.DecodeString(topic)
	n, err2 := strconv.ParseInt(number, 10, 32)
	if err != nil || err2 != nil || len(b) != len(id) {
		return id, 0, false
	}
	return [16]byte(b), int32(n), true
}

// discard moves a deleted topic's data out of the way and removes them.
func (f *folder) discard(id [16]byte) error {
	to, err := f.moveToTrash(hex.EncodeToString(id[:]), time.Now())
	if err != nil || to == "" {
		return err
	}
	return f.fs.RemoveAll(to)
}

func (f *folder) moveToTrash(name string, now time.Time) (to string, err error) {
	to = filepath.Join(f.trash(), fmt.Sprintf("%s.%d", name, now.UnixMilli()))
	err = f.fs.Rename(filepath.Join(f.topics(), name), to)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return to, errors.Join(f.fs.SyncDir(f.topics()), f.fs.SyncDir(f.trash()))
}

// sweepOrphans moves data of topics that the metadata do not know to the
// trash. It acts on committed metadata only: an image that does not even know
// its cluster would call everything an orphan.
func (f *folder) sweepOrphans(im *metadata.Image) {
	if im.ClusterID() != f.meta.ClusterID {
		return
	}
	entries, err := f.fs.ReadDir(f.topics())
	if err != nil {
		f.logger.Error("topics are not swept", "err", err)
		return
	}
	for _, e := range entries {
		b, err := hex.DecodeString(e.Name())
		if err != nil || len(b) != 16 {
			continue
		}
		if _, known := im.TopicByID([16]byte(b)); known {
			continue
		}
		to, err := f.moveToTrash(e.Name(), time.Now())
		f.logger.Warn("data of a topic that does not exist moved to the trash; it is removed in a day", "folder", to, "err", err)
	}
	f.emptyTrash(time.Now())
}

// emptyTrash removes what has been there long enough.
func (f *folder) emptyTrash(now time.Time) {
	entries, err := f.fs.ReadDir(f.trash())
	if err != nil {
		f.logger.Error("the trash is not emptied", "err", err)
		return
	}
	for _, e := range entries {
		_, stamp, _ := strings.Cut(e.Name(), ".")
		at, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || now.Sub(time.UnixMilli(at)) < trashKept {
			continue
		}
		if err := f.fs.RemoveAll(filepath.Join(f.trash(), e.Name())); err != nil {
			f.logger.Error("the trash is not emptied", "folder", e.Name(), "err", err)
		}
	}
}
