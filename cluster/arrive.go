package cluster

import (
	"errors"
	"io/fs"
	"path/filepath"

	"weir/segment/vfs"
)

// How a replica's copy in another folder comes to count, as DESIGN.md tells it. It is made in
//
//	moving/ID-N.part   in the target, until it is whole
//	moving/ID-N        then: it counts if the target is what is noted as the replica's folder
//
// partName is the ending of one that is not whole.
const partName = ".part"

// decide makes the copy that is whole the one that counts, and puts it into its place. What is to be removed then, it
// returns. With an error the other one counts, unless the target has failed.
func (n *Node) decide(m *move) (old []string, err error) {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	k := m.key
	t := n.topics.Load().byID[k.topic]
	if n.closed || m.ctx.Err() != nil || t == nil || t.offline[k.partition] == errElsewhere {
		return nil, errNotWanted
	}
	if err := m.to.failed(); err != nil {
		return nil, err
	}
	before, err := m.to.trashPartition(k) // from before the replica went elsewhere
	if err != nil {
		return nil, err
	}
	if err := vfs.MkdirAllSync(m.to.fs, m.to.topic(k.topic), 0o755); err != nil { // arrive needs it, and must not fail for want of room
		return before, err
	}
	if err := m.to.fs.Rename(m.to.moving(k)+partName, m.to.moving(k)); err != nil {
		return before, err
	}
	if err := m.to.fs.SyncDir(m.to.path(MovingFolder)); err != nil {
		return before, err
	}
	own := m.to.meta.directory()
	m.noted = true
	if err := n.votes.Group(groupID(k.topic, k.partition)).Set([]byte(keyFolder), own[:]); err != nil {
		return before, err // the node ends by it, and the next start sees what is noted
	}
	old, err = n.arrive(m.to, k)
	if err != nil {
		n.failFolder(m.to, err)
		return before, err // the other one stays in the trash: the next start sees what becomes of it
	}
	return append(old, before...), nil
}

// arrive puts a copy that counts into its place, and what other folders have of the replica into their trash, the paths
// of which it returns.
func (n *Node) arrive(f *folder, k partitionKey) (old []string, err error) {
	for _, other := range n.inUse() {
		if other == f {
			continue
		}
		paths, err := other.trashPartition(k)
		old = append(old, paths...)
		if err != nil {
			n.logger.Error("what a replica has left in another data folder stays there", "folder", other.root, "partition", k.partition, "err", err)
		}
	}
	if err := vfs.MkdirAllSync(f.fs, f.topic(k.topic), 0o755); err != nil {
		return old, err
	}
	if err := f.fs.Rename(f.moving(k), f.partition(k.topic, k.partition)); err != nil {
		return old, err
	}
	return old, errors.Join(f.fs.SyncDir(f.topic(k.topic)), f.fs.SyncDir(f.path(MovingFolder)))
}

// finishMoves ends what a crash has left of moves, before anything is opened: a copy that counts arrives, others go.
func (n *Node) finishMoves() error {
	for _, f := range n.inUse() {
		if err := n.orFail(f, n.finishMovesTo(f)); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) finishMovesTo(f *folder) error {
	dir := f.path(MovingFolder)
	entries, err := f.fs.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	for _, e := range entries {
		id, index, ok := discardedPartition(e.Name())
		k := partitionKey{id, index}
		if ok && f.moving(k) == filepath.Join(dir, e.Name()) {
			home, directory, err := n.home(id, index)
			has, err2 := f.hasPartition(id, index)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			if home == f && directory != nil && !has {
				old, err := n.arrive(f, k)
				if err = errors.Join(err, n.removePaths(old)); err != nil {
					return err
				}
				continue
			}
		}
		if err := f.fs.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return f.fs.SyncDir(dir)
}

func (n *Node) removePaths(paths []string) (err error) {
	for _, path := range paths {
		err = errors.Join(err, n.fs.RemoveAll(path))
	}
	return err
}

// moving is where the copy of a replica that moves here is made.
func (f *folder) moving(k partitionKey) string {
	return filepath.Join(f.path(MovingFolder), partitionName(k.topic, k.partition))
}

// beginMove makes the folder of a copy, empty.
func (f *folder) beginMove(k partitionKey) error {
	if err := f.forgetMove(k); err != nil {
		return err
	}
	return f.fs.MkdirAll(f.moving(k)+partName, 0o755)
}

// forgetMove removes what there is of a copy, for good: it must not come back when the replica has.
func (f *folder) forgetMove(k partitionKey) error {
	there := false
	for _, path := range []string{f.moving(k), f.moving(k) + partName} {
		_, err := f.fs.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		there = true
		if err = errors.Join(err, f.fs.RemoveAll(path)); err != nil {
			return err
		}
	}
	if !there {
		return nil
	}
	return f.fs.SyncDir(f.path(MovingFolder))
}
