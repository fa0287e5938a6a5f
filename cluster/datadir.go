package cluster

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"

	"weir/cluster/config"
	"weir/segment/vfs"
)

const (
	controllerName = "controller"
	votesFile      = "votes.db"
	peersFile      = "peers.json"
)

// dataDir is the first of a node's folders, without which it is nobody. It has besides:
//
//	controller/       the controller's Raft group
//	peers.json        where the other brokers were last known to be: a hint for the next start
//	votes.db          term and vote of the partitions' Raft groups, and which folder has the log
//	topics/ID/N.moved partition N was in one of the folders, voted, and has moved elsewhere
type dataDir struct {
	*folder
	fresh bool // no topic is in it: it may begin from nothing
}

// lockDataDir makes the first folder durably and takes it for this process.
func lockDataDir(fsys vfs.FS, cfg *config.Broker, logger *slog.Logger) (*dataDir, error) {
	f, err := lockFolder(fsys, cfg.DataDir, logger, controllerName)
	if err != nil {
		return nil, err
	}
	return &dataDir{folder: f}, nil
}

// isNew says whether nobody has begun the directory yet.
func (d *dataDir) isNew() bool {
	_, err := d.fs.Stat(d.path(metaFile))
	return errors.Is(err, fs.ErrNotExist)
}

// open reads whose the directory is, or makes it this node's, of a cluster; an empty
// clusterID is drawn at random for a new one.
func (d *dataDir) open(cfg *config.Broker, clusterID string) (err error) {
	if d.fresh, err = d.isEmpty(d.topics()); err != nil {
		return err
	}
	found, err := d.readMeta()
	switch {
	case err != nil:
		return err
	case !found:
		err = d.makeMeta(cfg, clusterID)
	case d.meta.Main != "":
		err = &MetaError{Path: d.root, Reason: "is one of a node's further folders; the one with its votes comes first in log.dirs"}
	default:
		err = d.checkOwner(cfg)
	}
	if err != nil {
		return err
	}
	return d.begin()
}

func (d *dataDir) makeMeta(cfg *config.Broker, clusterID string) error {
	empty, err := d.isEmpty(d.controller())
	if err != nil {
		return err
	}
	if !empty || !d.fresh {
		return d.errNotNew()
	}
	if clusterID == "" {
		clusterID = newClusterID()
	}
	return d.writeMeta(newFolderMeta(clusterID, cfg.NodeID, ""))
}

func (d *dataDir) controller() string { return d.path(controllerName) }
func (d *dataDir) votes() string      { return d.path(votesFile) }

// checkVotes refuses a node that has data and no votes: replicas that have forgotten
// whom they voted for must not vote again.
func (d *dataDir) checkVotes() error {
	_, err := d.fs.Stat(d.votes())
	if errors.Is(err, fs.ErrNotExist) {
		if d.fresh {
			return nil
		}
		return &MetaError{Path: d.root, Reason: votesFile + " is missing but there are partitions beside it; their replicas have forgotten whom they voted for"}
	}
	return err
}

// peers reads where the other brokers were.
func (d *dataDir) peers() map[int32]string {
	b, err := d.read(peersFile)
	known := make(map[int32]string)
	if err == nil {
		err = json.Unmarshal(b, &known)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.logger.Warn("it is not known where the other brokers were", "path", d.path(peersFile), "err", err)
		return make(map[int32]string)
	}
	return known
}

func (d *dataDir) savePeers(known map[int32]string) error {
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return d.write(peersFile, append(b, '\n'))
}

// noteMoved says for good that a replica was here, voted, and has moved elsewhere: should it come back, it
// has forgotten what it acknowledged, and under the same name. The note goes with the topic.
func (d *dataDir) noteMoved(id [16]byte, index int32) error {
	if err := vfs.MkdirAllSync(d.fs, d.topic(id), 0o755); err != nil {
		return err
	}
	return vfs.ReplaceFile(d.fs, d.moved(id, index), nil)
}

func (d *dataDir) wasHere(id [16]byte, index int32) (bool, error) {
	_, err := d.fs.Stat(d.moved(id, index))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (d *dataDir) moved(id [16]byte, index int32) string { return d.partition(id, index) + ".moved" }
