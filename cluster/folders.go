package cluster

import (
	"errors"
	"fmt"
	"slices"

	"weir/cluster/space"
	"weir/log"
)

// A node may have several folders, each on a disk of its own. The first holds who the node is, the controller's
// log and all votes: the process ends with it. Each of the others fails alone: what is in it goes
// offline, and the rest goes on.

// FolderError says that a data folder is out of use, and so are the partitions in it.
type FolderError struct {
	Folder string // its path
	Err    error
}

func (e *FolderError) Error() string {
	return fmt.Sprintf("data folder %s has failed: %v", e.Folder, e.Err)
}
func (e *FolderError) Unwrap() error { return e.Err }

// openFolders takes the folders beside the first. One that cannot be used fails alone, unless the node is new,
// which need not begin with less than it was given, or it is another node's or another process's.
func (n *Node) openFolders(first bool) error {
	for _, root := range n.static.MoreDataDirs {
		f, err := n.openFolder(root)
		if err == nil {
			n.folders = append(n.folders, f)
			continue
		}
		var locked *LockedError
		var foreign *foreignError
		if first || errors.As(err, &locked) || errors.As(err, &foreign) {
			return err
		}
		f = &folder{fs: n.fs, root: root, logger: n.logger}
		f.fail(err)
		n.folders = append(n.folders, f)
		n.logger.Error("a data folder cannot be used; what is in it is offline", "folder", root, "err", err)
	}
	return nil
}

func (n *Node) openFolder(root string) (_ *folder, err error) {
	f, err := lockFolder(n.fs, root, n.logger)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close(false))
		}
	}()
	found, err := f.readMeta()
	if err != nil {
		return nil, err
	}
	if found {
		if err := f.checkOwner(n.static); err != nil {
			return nil, &foreignError{err}
		}
		if f.meta.Main != n.dir.meta.DirectoryID {
			return nil, &foreignError{&MetaError{Path: f.root, Reason: "belongs to another data directory than " + n.dir.root}}
		}
		return f, f.begin()
	}
	empty, err := f.isEmpty(f.topics())
	if err == nil && !empty {
		err = f.errNotNew()
	}
	if err == nil {
		err = f.writeMeta(newFolderMeta(n.dir.meta.ClusterID, n.ID(), n.dir.meta.DirectoryID))
	}
	if err == nil {
		err = f.begin()
	}
	return f, err
}

// foreignError: the configuration names a folder that is not this node's.
type foreignError struct{ error }

func (e *foreignError) Unwrap() error { return e.error }

// openSyncers gives each folder its own: a disk that hangs keeps others waiting only for itself.
func (n *Node) openSyncers() {
	for _, f := range n.folders {
		if f.failed() == nil {
			f.syncer = log.NewSyncer(syncWorkers, func(err error) { n.failFolder(f, err) })
		}
	}
}

// failFolder is called with an error after which nothing in the folder may be acknowledged any more. The
// partition that it came from has left its group already.
func (n *Node) failFolder(f *folder, err error) {
	if f == n.dir.folder {
		n.fail(err)
		return
	}
	if f.fail(err) {
		n.logger.Error("a data folder has failed; what is in it is offline until the broker is started again", "folder", f.root, "err", err)
	}
	n.retired.notify()
}

// strand takes the open replicas in folders that have failed offline, and closes them. Nobody opens them again in this
// process, so nobody waits for a disk that hangs.
func (n *Node) strand() {
	for _, r := range n.stranded() {
		if p := n.takeOffline(r); p != nil {
			n.running.Go(func() {
				if err := p.Abandon(); err != nil {
					n.logger.Warn("a replica in a folder that has failed did not close cleanly", "topic", p.Topic(), "partition", p.Index(), "err", err)
				}
			})
		}
	}
}

// stranded returns the open replicas in folders that have failed.
func (n *Node) stranded() (out []retiredReplica) {
	for _, t := range n.topics.Load().byName {
		for i, p := range t.partitions {
			if p == nil {
				continue
			}
			if err := t.folders[i].failed(); err != nil {
				out = append(out, retiredReplica{partitionKey{t.ID, int32(i)}, err})
			}
		}
	}
	return out
}

// inUse returns the folders that have not failed.
func (n *Node) inUse() []*folder {
	return slices.DeleteFunc(slices.Clone(n.folders), func(f *folder) bool { return f.failed() != nil })
}

// finishDiscards ends what a crash has left of the removal of partitions.
func (n *Node) finishDiscards() error {
	for _, f := range n.inUse() {
		forget := func(id [16]byte, index int32) error {
			return errors.Join(n.dir.noteMoved(id, index), n.votes.Forget(groupID(id, index)))
		}
		isHome := func(id [16]byte, index int32) (bool, error) {
			home, _, err := n.home(id, index)
			return home == f, err
		}
		if err := n.orFail(f, f.finishDiscards(isHome, forget)); err != nil {
			return err
		}
	}
	return nil
}

// orFail has a further folder fail alone by an error, and returns that of the first.
func (n *Node) orFail(f *folder, err error) error {
	if err == nil || f == n.dir.folder {
		return err
	}
	n.failFolder(f, err)
	return nil
}

func (n *Node) anyFailed() error {
	for _, f := range n.folders {
		if err := f.failed(); err != nil {
			return err
		}
	}
	return nil
}

// isFresh says whether there is no topic in any folder; one that cannot be read may have some.
func (n *Node) isFresh() (bool, error) {
	for _, f := range n.folders {
		if f.failed() != nil {
			return false, nil
		}
		empty, err := f.isEmpty(f.topics())
		if err != nil || !empty {
			return false, n.orFail(f, err)
		}
	}
	return true, nil
}

// closeFolders gives all of them back. clean says that nothing is left to recover, but for what is offline.
func (n *Node) closeFolders(clean bool) (err error) {
	offline := n.topics.Load().offlineIn()
	for _, f := range slices.Backward(n.folders) {
		whole := clean && f.failed() == nil && !offline[f]
		err = errors.Join(err, f.close(whole))
	}
	return err
}

// Folder is one of a node's data folders.
type Folder struct {
	Path        string
	Err         error // why it is out of use, nil while it is not
	Low         bool  // there is little room on its disk
	Free, Total int64 // bytes of its file system; -1 when they are not known
}

// Folders returns the data folders, the first first.
func (n *Node) Folders() []Folder {
	out := make([]Folder, len(n.folders))
	for i, f := range n.folders {
		out[i] = Folder{Path: f.root, Err: f.failed(), Low: space.Level(f.room.Load()) > space.Ample, Free: -1, Total: -1}
		if out[i].Err != nil {
			continue
		}
		free, total, err := f.fs.FreeBytes(f.root)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i].Free, out[i].Total = free, total
	}
	return out
}

// Folder returns the place in Folders of the one that has this node's replica of a partition, -1 when none is known.
func (n *Node) Folder(t *Topic, index int32) int { return n.place(t.folders[index]) }

func (n *Node) place(f *folder) int { return slices.Index(n.folders, f) }
