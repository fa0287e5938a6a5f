package cluster

import (
	"bytes"
	"errors"
	"fmt"

	"weir/partition"
)

// Which of a node's folders a replica's log is in stands beside its votes, and is nobody else's matter.

// What names the folder of a group's log, by directory id, in the votes: without it that is the first. And the
// folder that it was in before, when that was gone.
const (
	keyFolder = "Folder"
	keyBefore = "FolderBefore"
)

// LostFolderError says that the folder that has a partition's log is not among the node's, and that there is no
// other replica to fill a new one from.
type LostFolderError struct{ DirectoryID string }

func (e *LostFolderError) Error() string {
	return fmt.Sprintf("its only replica is in a data folder that is not there any more (directory.id %s)", e.DirectoryID)
}

// home returns the folder that the log of a partition is in, nil when it is not there, and its directory id; that is
// nil when none was ever noted, and then it is the first folder.
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
// whose folder was replaced or taken away: of that it is noted that it has forgotten what it acknowledged
// (wasHere). With an error it is the folder that is known, or nil. It runs under reconciling.
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
		if back, err := n.backFromNowhere(t, index); back != nil || err != nil {
			return back, err
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

// backFromNowhere returns the folder that a replica was in before the one that is gone, if it is there and has its log. Of
// that the replica has forgotten what came after: it has no vote.
func (n *Node) backFromNowhere(t *Topic, index int32) (*folder, error) {
	group := n.votes.Group(groupID(t.ID, index))
	directory, err := group.Get([]byte(keyBefore))
	before := n.folderOf(directory)
	if err != nil || before == nil {
		return nil, err
	}
	if has, err := before.hasPartition(t.ID, index); err != nil || !has {
		return nil, err
	}
	if err := partition.GiveUpVote(before.fs, before.partition(t.ID, index)); err != nil {
		return nil, err
	}
	return before, errors.Join(group.Set([]byte(keyFolder), directory), group.Set([]byte(keyBefore), nil))
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

// choose takes the folder that a client has asked for, or the one in use with the fewest replicas, as Kafka does, and notes it durably. What it has of the
// partition is from before the replica went elsewhere, and of what it acknowledged there it knows nothing.
func (n *Node) choose(id [16]byte, index int32, crowd map[*folder]int) (*folder, error) {
	var best *folder
	for _, f := range n.folders {
		if f.failed() == nil && (best == nil || crowd[f] < crowd[best]) {
			best = f
		}
	}
	if wished := n.moves.wished(partitionKey{id, index}); wished != nil && wished.failed() == nil {
		best = wished
	}
	crowd[best]++
	if err := best.forgetMove(partitionKey{id, index}); err != nil {
		return best, err
	}
	if old, err := best.hasPartition(id, index); err != nil {
		return best, err
	} else if old {
		if err := partition.GiveUpVote(best.fs, best.partition(id, index)); err != nil {
			return best, err
		}
	}
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
