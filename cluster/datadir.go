package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weir/cluster/config"
	"weir/cluster/metadata"
	"weir/log"
	"weir/segment/vfs"
)

// metaVersion is that of the data directory's layout.
const metaVersion = 1

// trashKept is how long data that the metadata do not know stay in the trash:
// time for a person to object.
const trashKept = 24 * time.Hour

const (
	lockFile  = "LOCK"
	metaFile  = "meta.json"
	cleanFile = "clean-shutdown"
	bootFile  = "running"
	votesFile = "votes.db"
	peersFile = "peers.json"
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

// MetaError says that a data directory is not this node's to open.
type MetaError struct {
	Path   string
	Reason string
}

func (e *MetaError) Error() string { return fmt.Sprintf("data directory %s: %s", e.Path, e.Reason) }

// dataMeta is meta.json, written once.
type dataMeta struct {
	Version     int    `json:"version"`
	ClusterID   string `json:"cluster.id"`
	NodeID      int32  `json:"node.id"`
	DirectoryID string `json:"directory.id"` // 32 hex digits
}

func (m dataMeta) directory() (id [16]byte) {
	b, _ := hex.DecodeString(m.DirectoryID) // checked when read
	copy(id[:], b)
	return id
}

// dataDir is the folder that a node has to itself:
//
//	LOCK            held by the process
//	meta.json       dataMeta
//	running         boot id of the machine when all was last known to be recovered
//	clean-shutdown  there only after a stop that left nothing to recover
//	controller/     the controller's Raft group
//	peers.json      where the other brokers were last known to be: a hint for the next start
//	votes.db        term and vote of the partitions' Raft groups
//	topics/ID/N/    partition N of the topic with that id (32 hex digits)
//	trash/          what is on its way out
//	damaged/        replicas that were set aside (aside.go)
type dataDir struct {
	fs       vfs.FS
	root     string
	meta     dataMeta
	fresh    bool // no topic is in it: the controller may begin from nothing
	recovery log.RecoveryMode
	boot     []byte // this machine's boot id; empty when it has none
	running  bool   // boot is in bootFile
	logger   *slog.Logger
	lock     io.Closer
}

// lockDataDir makes the folders durably and takes the directory for this process.
func lockDataDir(fsys vfs.FS, cfg *config.Broker, logger *slog.Logger) (_ *dataDir, err error) {
	d := &dataDir{fs: fsys, root: filepath.Clean(cfg.DataDir), logger: logger}
	for _, dir := range []string{d.root, d.topics(), d.trash(), d.controller()} {
		if err := vfs.MkdirAllSync(fsys, dir, 0o755); err != nil {
			return nil, err
		}
	}
	if d.lock, err = fsys.Lock(d.path(lockFile)); err != nil {
		return nil, &LockedError{Dir: d.root, Err: err}
	}
	return d, nil
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
	if err := d.loadMeta(cfg, clusterID); err != nil {
		return err
	}
	return d.begin()
}

// checkVotes refuses a directory that has data and no votes: replicas that have forgotten
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

func (d *dataDir) isEmpty(dir string) (bool, error) {
	entries, err := d.fs.ReadDir(dir)
	return len(entries) == 0, err
}

func (d *dataDir) path(name string) string { return filepath.Join(d.root, name) }
func (d *dataDir) topics() string          { return d.path(TopicsFolder) }
func (d *dataDir) trash() string           { return d.path(TrashFolder) }
func (d *dataDir) controller() string      { return d.path("controller") }
func (d *dataDir) votes() string           { return d.path(votesFile) }

func (d *dataDir) topic(id [16]byte) string {
	return filepath.Join(d.topics(), hex.EncodeToString(id[:]))
}
func (d *dataDir) partition(id [16]byte, index int32) string {
	return filepath.Join(d.topic(id), strconv.Itoa(int(index)))
}

// loadMeta reads meta.json, or makes it in a folder that holds no data yet.
func (d *dataDir) loadMeta(cfg *config.Broker, clusterID string) error {
	b, err := d.read(metaFile)
	if errors.Is(err, fs.ErrNotExist) {
		return d.makeMeta(cfg, clusterID)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &d.meta); err != nil {
		return &MetaError{Path: d.path(metaFile), Reason: err.Error()}
	}
	id, err := hex.DecodeString(d.meta.DirectoryID)
	switch {
	case d.meta.Version != metaVersion:
		return &MetaError{Path: d.root, Reason: fmt.Sprintf("has layout version %d, want %d", d.meta.Version, metaVersion)}
	case err != nil || len(id) != 16 || d.meta.ClusterID == "":
		return &MetaError{Path: d.path(metaFile), Reason: "cluster.id or directory.id is missing"}
	case d.meta.NodeID != cfg.NodeID:
		return &MetaError{Path: d.root, Reason: fmt.Sprintf("belongs to node %d, this is node %d", d.meta.NodeID, cfg.NodeID)}
	case cfg.ClusterID != "" && cfg.ClusterID != d.meta.ClusterID:
		return &MetaError{Path: d.root, Reason: fmt.Sprintf("belongs to cluster %s, the configuration names %s", d.meta.ClusterID, cfg.ClusterID)}
	}
	return nil
}

// makeMeta begins a new data directory. One that lost its meta.json is not
// new: beginning afresh there would hide everything in it.
func (d *dataDir) makeMeta(cfg *config.Broker, clusterID string) error {
	empty, err := d.isEmpty(d.controller())
	if err != nil {
		return err
	}
	if !empty || !d.fresh {
		return &MetaError{Path: d.root, Reason: metaFile + " is missing but there are data beside it; refusing to begin afresh over them"}
	}
	var id [16]byte
	rand.Read(id[:])
	d.meta = dataMeta{Version: metaVersion, ClusterID: clusterID, NodeID: cfg.NodeID, DirectoryID: hex.EncodeToString(id[:])}
	if d.meta.ClusterID == "" {
		rand.Read(id[:])
		d.meta.ClusterID = base64.RawURLEncoding.EncodeToString(id[:])
	}
	b, err := json.MarshalIndent(d.meta, "", "  ")
	if err != nil {
		return err
	}
	return d.write(metaFile, append(b, '\n'))
}

// begin finds out what the last process left. The clean mark goes before
// anything can be written.
func (d *dataDir) begin() (err error) {
	if d.boot, err = os.ReadFile(bootID); err != nil {
		d.logger.Warn("the machine has no boot id; after a kill, recovery will assume that it lost power", "err", err)
	}
	d.recovery = log.RecoverPowerLoss
	last, err := d.read(bootFile)
	switch {
	case err == nil && len(d.boot) > 0 && bytes.Equal(last, d.boot):
		d.recovery, d.running = log.RecoverProcessCrash, true
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	_, err = d.fs.Stat(d.path(cleanFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	d.recovery = log.RecoverClean
	if err := d.fs.Remove(d.path(cleanFile)); err != nil {
		return err
	}
	return d.fs.SyncDir(d.root)
}

// recovered notes that nothing is left to recover from before this boot. A
// process that dies earlier leaves the mark of the boot before, so that the
// next one still expects what a power loss leaves.
func (d *dataDir) recovered() error {
	if d.running {
		return nil
	}
	err := d.write(bootFile, d.boot)
	d.running = err == nil
	return err
}

// close gives the directory back. clean says that nothing needs recovery.
func (d *dataDir) close(clean bool) error {
	var err error
	if clean {
		err = d.write(cleanFile, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"))
	}
	return errors.Join(err, d.lock.Close())
}

// write replaces a small file whole, durable on return.
func (d *dataDir) write(name string, b []byte) error {
	tmp := d.path(name + ".tmp")
	f, err := d.fs.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(tmp, d.path(name)); err != nil {
		return err
	}
	return d.fs.SyncDir(d.root)
}

func (d *dataDir) read(name string) ([]byte, error) {
	f, err := d.fs.OpenFile(d.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	return b, errors.Join(err, f.Close())
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

// discardPartition removes the data of a partition that has moved elsewhere, and has forgotten what it voted.
// In between a crash may come: while its data are in the trash, and only there, the next start forgets
// (finishDiscards). A vote without a log would be taken for a log that was lost.
func (d *dataDir) discardPartition(id [16]byte, index int32, forget func() error) error {
	if err := vfs.ReplaceFile(d.fs, d.moved(id, index), nil); err != nil {
		return err
	}
	to := filepath.Join(d.trash(), fmt.Sprintf("%s-%d.%d", hex.EncodeToString(id[:]), index, time.Now().UnixMilli()))
	err := d.fs.Rename(d.partition(id, index), to)
	if errors.Is(err, fs.ErrNotExist) {
		return forget()
	}
	if err == nil {
		err = errors.Join(d.fs.SyncDir(d.topic(id)), d.fs.SyncDir(d.trash()))
	}
	if err == nil {
		err = forget()
	}
	if err == nil {
		err = d.fs.RemoveAll(to)
	}
	return err
}

// hasPartition says whether there are data of a partition.
func (d *dataDir) hasPartition(id [16]byte, index int32) (bool, error) {
	entries, err := d.fs.ReadDir(d.partition(id, index))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// moved is a file that says that a replica was here, voted, and has moved elsewhere: should it come back, it
// has forgotten what it acknowledged, and under the same name. It goes with the topic.
func (d *dataDir) moved(id [16]byte, index int32) string { return d.partition(id, index) + ".moved" }

func (d *dataDir) wasHere(id [16]byte, index int32) (bool, error) {
	_, err := d.fs.Stat(d.moved(id, index))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// finishDiscards is called at a start, before anything is opened.
func (d *dataDir) finishDiscards(forget func(id [16]byte, index int32) error) error {
	entries, err := d.fs.ReadDir(d.trash())
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, index, ok := discardedPartition(e.Name())
		if !ok {
			continue
		}
		again, err := d.hasPartition(id, index) // it has come back since, and votes
		if err == nil && !again {
			err = forget(id, index)
		}
		if err == nil {
			err = d.fs.RemoveAll(filepath.Join(d.trash(), e.Name()))
		}
		if err != nil {
			return fmt.Errorf("cluster: removal of a partition that has moved elsewhere: %w", err)
		}
	}
	return nil
}

// discardedPartition reads a name that discardPartition gives.
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
func (d *dataDir) discard(id [16]byte) error {
	to, err := d.moveToTrash(hex.EncodeToString(id[:]), time.Now())
	if err != nil || to == "" {
		return err
	}
	return d.fs.RemoveAll(to)
}

func (d *dataDir) moveToTrash(name string, now time.Time) (to string, err error) {
	to = filepath.Join(d.trash(), fmt.Sprintf("%s.%d", name, now.UnixMilli()))
	err = d.fs.Rename(filepath.Join(d.topics(), name), to)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return to, errors.Join(d.fs.SyncDir(d.topics()), d.fs.SyncDir(d.trash()))
}

// sweepOrphans moves data of topics that the metadata do not know to the
// trash. It acts on committed metadata only: an image that does not even know
// its cluster would call everything an orphan.
func (d *dataDir) sweepOrphans(im *metadata.Image) {
	if im.ClusterID() != d.meta.ClusterID {
		return
	}
	entries, err := d.fs.ReadDir(d.topics())
	if err != nil {
		d.logger.Error("topics are not swept", "err", err)
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
		to, err := d.moveToTrash(e.Name(), time.Now())
		d.logger.Warn("data of a topic that does not exist moved to the trash; it is removed in a day", "folder", to, "err", err)
	}
	d.emptyTrash(time.Now())
}

// emptyTrash removes what has been there long enough.
func (d *dataDir) emptyTrash(now time.Time) {
	entries, err := d.fs.ReadDir(d.trash())
	if err != nil {
		d.logger.Error("the trash is not emptied", "err", err)
		return
	}
	for _, e := range entries {
		_, stamp, _ := strings.Cut(e.Name(), ".")
		at, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || now.Sub(time.UnixMilli(at)) < trashKept {
			continue
		}
		if err := d.fs.RemoveAll(filepath.Join(d.trash(), e.Name())); err != nil {
			d.logger.Error("the trash is not emptied", "folder", e.Name(), "err", err)
		}
	}
}
