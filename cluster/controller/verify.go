package controller

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"

	"weir/cluster/boltfile"
	"weir/cluster/metadata"
)

// checkFile looks at raft.db before bbolt does, which would panic on a damaged page and make a new
// database of an empty file. A missing one is made under another name first, so that a crash
// leaves either none or a whole one.
func (c *Controller) checkFile(path string) (fresh bool, err error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist) && !c.config.New:
		return false, fmt.Errorf("%w: %s does not exist", ErrEmpty, path)
	case errors.Is(err, os.ErrNotExist):
		return true, boltfile.Create(path)
	case err != nil:
		return false, err
	case info.Size() == 0:
		return false, &CorruptError{Path: path, Reason: "the file is empty"}
	}
	err = boltfile.Check(path, "conf", "logs")
	if damage := (*boltfile.DamageError)(nil); errors.As(err, &damage) {
		err = &CorruptError{Path: path, Reason: "pages", Err: damage.Err}
	}
	return false, err
}

// verify checks what the library takes on trust, and restores the newest snapshot: the library
// would fall back to an older one, or to none, and then panic on the entries that are missing in
// between. empty says that there is no state at all, which only a new directory may have.
func (c *Controller) verify(logs *logStore, stable *stableStore) (empty bool, err error) {
	snapshot, err := c.restoreNewest()
	if err != nil {
		return false, err
	}
	path := filepath.Join(c.config.Dir, "raft.db")
	lastTerm, err := verifyLog(logs, snapshot)
	if err != nil {
		return false, &CorruptError{Path: path, Reason: "log", Err: err}
	}
	term, err := stable.GetUint64([]byte("CurrentTerm"))
	if err != nil && err.Error() != "not found" {
		return false, &CorruptError{Path: path, Reason: "current term", Err: err}
	}
	_, err = stable.vote()
	if err != nil && err.Error() != "not found" {
		return false, &CorruptError{Path: path, Reason: "vote", Err: err}
	}
	voted := err == nil
	if owner, err := stable.read(keyServerID); err == nil && string(owner) != string(c.config.serverID()) {
		return false, fmt.Errorf("controller: the state in %s belongs to %s, this broker is %s", path, owner, c.config.serverID())
	} else if err != nil && err.Error() != "not found" {
		return false, &CorruptError{Path: path, Reason: "server id", Err: err}
	}
	if lastTerm > 0 {
		if term < lastTerm {
			return false, &CorruptError{Path: path, Reason: fmt.Sprintf("current term %d is before the log's %d", term, lastTerm)}
		}
		return false, nil
	}
	switch {
	case !c.config.New:
		return false, fmt.Errorf("%w: %s", ErrEmpty, c.config.Dir)
	case !c.config.Bootstrap:
		return true, stable.ownedBy(c.config.serverID())
	case term > 1 || voted:
		return false, &CorruptError{Path: path, Reason: fmt.Sprintf("term %d without a log: this broker knows a group already and cannot begin one", term)}
	case term == 1: // the first start ended between the term and the first entry
		return true, stable.SetUint64([]byte("CurrentTerm"), 0)
	}
	return true, nil
}

// restoreNewest loads the newest snapshot into the machine; nil when there is none.
func (c *Controller) restoreNewest() (*raft.SnapshotMeta, error) {
	dir := filepath.Join(c.config.Dir, "snapshots")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	newest := slices.MaxFunc(names, compareSnapshots)
	meta, image, err := c.readSnapshot(newest)
	if err != nil {
		return nil, &CorruptError{Path: filepath.Join(dir, newest), Reason: "newest snapshot", Err: err}
	}
	c.machine.Restore(image)
	return meta, nil
}

// readSnapshot reads a snapshot whole. Its state has a checksum, its metadata have none: they are
// held against the name.
func (c *Controller) readSnapshot(name string) (*raft.SnapshotMeta, *metadata.Image, error) {
	meta, state, err := c.snapshots.Open(name)
	if err != nil {
		return nil, nil, err
	}
	image, err := metadata.ReadImage(state)
	if err = errors.Join(err, state.Close()); err != nil {
		return nil, nil, err
	}
	if n := numbers(name); len(n) != 3 || n[0] != meta.Term || n[1] != meta.Index || image.Index() > meta.Index {
		return nil, nil, fmt.Errorf("metadata say term %d and index %d, state says index %d", meta.Term, meta.Index, image.Index())
	}
	return meta, image, nil
}

// compareSnapshots orders names of the form term-index-milliseconds.
func compareSnapshots(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

func numbers(name string) []uint64 {
	var out []uint64
	for part := range strings.SplitSeq(name, "-") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}

// verifyLog reads every entry behind the snapshot: each must be there, whole, and of a term that
// does not go back. It returns the last term of log and snapshot, 0 when there is neither.
func verifyLog(logs *logStore, snapshot *raft.SnapshotMeta) (lastTerm uint64, err error) {
	first, err := logs.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := logs.LastIndex()
	if err != nil {
		return 0, err
	}
	from := uint64(1)
	if snapshot != nil {
		from, lastTerm = snapshot.Index+1, snapshot.Term
	}
	if last >= from && first > from {
		return 0, fmt.Errorf("entries %d to %d are missing", from, first-1)
	}
	for i := from; i <= last; i++ {
		var e raft.Log
		if err := logs.GetLog(i, &e); err != nil {
			return 0, fmt.Errorf("entry %d of %d: %w", i, last, err)
		}
		if e.Term < lastTerm {
			return 0, fmt.Errorf("entry %d has term %d after %d", i, e.Term, lastTerm)
		}
		lastTerm = e.Term
	}
	return lastTerm, nil
}
