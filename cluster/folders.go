package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"weir/log"
)

// A node may have several folders, each on a disk of its own. The first holds who the node is, the controller's
// log and all votes: the process ends with it. Each of the others fails alone: what is in it goes
// offline, and the rest goes on. Where a partition's log is stands beside its votes.

// What names the folder of a group's log, by directory id, in the votes: without it that is the first. And the
// folder that it was in before, when that was gone.
const (
	keyFolder = "Folder"
	keyBefore = "FolderBefore"
)

// FolderError says that a data folder is out of use, and so are the partitions in it.
type FolderError struct {
	Folder string // its path
	Err    error
}

func (e *FolderError) Error() string {
	return fmt.Sprintf("data folder %s has failed: %v", e.Folder, e.Err)
}
func (e *FolderError) Unwrap() error { return e.Err }

// LostFolderError says that the folder that has a partition's log is not among the node's, and that there is no
// other replica to fill a new one from.
type LostFolderError struct{ DirectoryID string }

func (e *LostFolderError) Error() string {
	return fmt.Sprintf("its only replica is in a data folder that is not there any more (directory.id %s)", e.DirectoryID)
}

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
		n.retired.notify()
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

// home returns the folder that the log of a partition is in. known is false when it never was in one beside the
// first; f is nil when that folder is not there.
func (n *Node) home(id [16]byte, index int32) (f *folder, directory []byte, err error) {
	directory, err = n.votes.Group(groupID(id, index)).Get([]byte(keyFolder))
	if err != nil || len(directory) == 0 {
		return n.dir.folder, nil, err
	}
	return n.folderOf(directory), directory, nil
}

// folderOf returns the folder with that directory id; nil when it is not there, or cannot be read.
func (n *Node) folderOf(directory []byte) *folder {
	for _, f := range n.folders {
		if own := f.meta.directory(); f.meta.DirectoryID != "" && bytes.Equal(own[:], directory) {
			return f
		}
	}
	return nil
}

// settle returns the folder that a replica is to be opened in, and chooses one for a replica that is new, or
// whose folder was replaced or taken away. returned says that it was in another before, and has forgotten what
// it acknowledged. It runs under reconciling.
//
// A folder that cannot be read may be the one, so then nothing is chosen anew.
func (n *Node) settle(t *Topic, index int32, crowd func() map[*folder]int) (*folder, error) {
	f, directory, err := n.home(t.ID, index)
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		if err := n.anyFailed(); err != nil {
			return nil, err
		}
		if len(t.meta.Partitions[index].Replicas) == 1 {
			return nil, &LostFolderError{DirectoryID: fmt.Sprintf("%x", directory)}
		}
		if err := errors.Join(n.dir.noteMoved(t.ID, index), n.votes.Group(groupID(t.ID, index)).Set([]byte(keyBefore), directory)); err != nil {
			return nil, err
		}
		n.logger.Warn("a replica's folder is gone; it begins anew in another one, without a vote until it has caught up", "topic", t.Name, "partition", index)
	case directory != nil && f.failed() != nil:
		return f, f.failed()
	case directory != nil:
		return n.backHome(t, index, f)
	case len(n.folders) == 1:
		return f, nil
	default:
		if has, err := f.hasPartition(t.ID, index); err != nil || has {
			return f, err
		}
	}
	return n.choose(t.ID, index, crowd())
}

// backHome returns the folder that a replica was in before it was put into f, when that is there again and nothing
// has come into f since: a folder may have been left out by mistake, on all brokers at once. Else it is f.
func (n *Node) backHome(t *Topic, index int32, f *folder) (*folder, error) {
	group := n.votes.Group(groupID(t.ID, index))
	directory, err := group.Get([]byte(keyBefore))
	before := n.folderOf(directory)
	if err != nil || before == nil || before.failed() != nil {
		return f, err
	}
	home := f
	if empty, err := f.isEmptyPartition(t.ID, index); err != nil {
		return f, err
	} else if empty {
		home = before
		n.logger.Info("a replica is in its old folder again", "topic", t.Name, "partition", index, "folder", before.root)
	}
	own := home.meta.directory()
	return home, errors.Join(group.Set([]byte(keyFolder), own[:]), group.Set([]byte(keyBefore), nil))
}

// choose takes the folder in use with the fewest replicas, as Kafka does, and notes it durably.
func (n *Node) choose(id [16]byte, index int32, crowd map[*folder]int) (*folder, error) {
	var best *folder
	for _, f := range n.folders {
		if f.failed() == nil && (best == nil || crowd[f] < crowd[best]) {
			best = f
		}
	}
	crowd[best]++
	directory := best.meta.directory()
	return best, n.votes.Group(groupID(id, index)).Set([]byte(keyFolder), directory[:])
}

// crowds counts the replicas in each folder.
func (n *Node) crowds() map[*folder]int {
	crowd := make(map[*folder]int)
	for _, t := range n.topics.Load().byName {
		for _, f := range t.folders {
			if f != nil {
				crowd[f]++
			}
		}
	}
	return crowd
}

// inUse returns the folders that have not failed.
func (n *Node) inUse() []*folder {
	return slices.DeleteFunc(slices.Clone(n.folders), func(f *folder) bool { return f.failed() != nil })
}

// finishDiscards ends what a crash has left of the removal of partitions.
func (n *Node) finishDiscards() error {
	for _, f := range n.inUse() {
		isHome := func(id [16]byte, index int32) (bool, error) {
			home, _, err := n.home(id, index)
			return home == f, err
		}
		if err := f.finishDiscards(isHome, func(id [16]byte, index int32) error { return n.votes.Forget(groupID(id, index)) }); err != nil {
			return err
		}
	}
	return nil
}

// wasHere says whether a replica was here, in whichever folder, and has forgotten what it acknowledged.
func (n *Node) wasHere(id [16]byte, index int32) (bool, error) {
	for _, f := range n.inUse() {
		if was, err := f.hasNote(id, index); was || err != nil {
			return was, err
		}
	}
	return false, nil
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
		if empty, err := f.isEmpty(f.topics()); err != nil || !empty {
			return false, err
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
		out[i] = Folder{Path: f.root, Err: f.failed(), Low: f.low.Load(), Free: -1, Total: -1}
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
func (n *Node) Folder(t *Topic, index int32) int { return slices.Index(n.folders, t.folders[index]) }
