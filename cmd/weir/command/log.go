package command

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weir/cluster"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/log"
	"weir/partition"
	"weir/segment"
	"weir/segment/vfs"
)

func newLog(s *Streams) *cobra.Command {
	return group("log", "Check and mend the logs of a broker that does not run", newLogVerify(s), newLogRepair(s))
}

// replicaFolder is the folder of one partition's replica.
type replicaFolder struct {
	path string
	data string // the data folder that it is in; empty for a copy elsewhere
}

// identity reads whose folder it is from its name, topics/ID/N.
func (f replicaFolder) identity() (topic [16]byte, index int32, ok bool) {
	id, err := hex.DecodeString(filepath.Base(filepath.Dir(f.path)))
	n, err2 := strconv.ParseInt(filepath.Base(f.path), 10, 32)
	if err != nil || err2 != nil || len(id) != 16 || f.data == "" {
		return topic, 0, false
	}
	return [16]byte(id), int32(n), true
}

// lockedFolders finds the replicas at and below paths, and takes the data folders that they are in, so that no broker
// opens them meanwhile. The closer gives them back.
func lockedFolders(paths []string) (folders []replicaFolder, locks closers, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, locks.Close())
		}
	}()
	held := map[string]bool{}
	for _, path := range paths {
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, locks, err
		}
		found, err := findReplicas(path)
		if err != nil {
			return nil, locks, &fault.Error{What: "cannot read " + path, Why: reason(err), Err: err}
		}
		if len(found) == 0 {
			return nil, locks, &fault.Error{What: "no log in " + path, Do: "Name a data folder or a partition's folder"}
		}
		for _, dir := range found {
			f := replicaFolder{path: dir, data: dataFolder(dir)}
			if f.data != "" && !held[f.data] {
				lock, err := vfs.OS.Lock(filepath.Join(f.data, cluster.LockFile))
				if err != nil {
					return nil, locks, lockError(f.data, err)
				}
				held[f.data], locks = true, append(locks, lock)
			}
			folders = append(folders, f)
		}
	}
	slices.SortFunc(folders, func(a, b replicaFolder) int { return strings.Compare(a.path, b.path) })
	return slices.Compact(folders), locks, nil
}

func lockError(data string, err error) error {
	if errors.Is(err, vfs.ErrLocked) {
		return &fault.Error{What: "a broker has " + data + " open", Do: "Stop it first: its logs change while it runs", Err: err}
	}
	return &fault.Error{What: "cannot take " + data, Why: reason(err), Err: err}
}

type closers []io.Closer

func (c closers) Close() error {
	var err error
	for _, x := range c {
		err = errors.Join(err, x.Close())
	}
	return err
}

// findReplicas lists the folders at and below path that hold a log, or are named like those of a data folder.
func findReplicas(path string) (found []string, err error) {
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name != path && (d.Name() == cluster.TrashFolder || d.Name() == cluster.DamagedFolder) {
			return filepath.SkipDir // no replica of anybody
		}
		listing, err := segment.List(vfs.OS, name)
		if err == nil && (len(listing.Bases) > 0 || replicaFolder{name, dataFolder(name)}.named()) {
			found = append(found, name)
		}
		return err
	})
	return found, err
}

func (f replicaFolder) named() bool {
	_, _, ok := f.identity()
	return ok
}

// dataFolder is the data folder that a replica's folder is in, two levels below its topics; empty for none.
func dataFolder(replica string) string {
	topics := filepath.Dir(filepath.Dir(replica))
	data := filepath.Dir(topics)
	if _, err := os.Stat(filepath.Join(data, cluster.LockFile)); err != nil || filepath.Base(topics) != cluster.TopicsFolder {
		return ""
	}
	return data
}

// checkReplica checks a replica's log and what is kept of its producers.
func checkReplica(f replicaFolder) (*log.Checked, error) {
	recovery := log.RecoverProcessCrash // a copy elsewhere is to be whole
	if f.data != "" {
		var err error
		if recovery, err = cluster.Recovery(vfs.OS, f.data); err != nil {
			return nil, err
		}
	}
	c, err := log.Check(f.path, vfs.OS, recovery)
	if err != nil {
		return nil, err
	}
	if id, index, ok := f.identity(); ok && c.TopicID == ([16]byte{}) {
		c.TopicID, c.Partition = id, index
	} else if ok && (id != c.TopicID || index != c.Partition) {
		c.Findings = append(c.Findings, log.Finding{Kind: log.Corrupt, Path: f.path, Offset: -1,
			Reason: fmt.Sprintf("it belongs to partition %d of topic %x", c.Partition, c.TopicID)})
	}
	bad, whole, err := partition.BadCheckpoints(vfs.OS, f.path)
	if err != nil {
		return nil, err
	}
	kind := log.Leftover // a start goes by another one, or reads the log
	if whole == 0 && c.FirstRaftIndex > 1 {
		kind = log.Corrupt
		if len(bad) == 0 {
			c.Findings = append(c.Findings, log.Finding{Kind: kind, Path: f.path, Offset: -1, Reason: "no checkpoint tells of what lies below the first entry"})
		}
	}
	for _, path := range bad {
		c.Findings = append(c.Findings, log.Finding{Kind: kind, Path: path, Offset: -1, Reason: "the state of producers in it is damaged"})
	}
	return c, nil
}

// findingText says what was found and where, for a person.
func findingText(f log.Finding) string {
	s := fmt.Sprintf("%s: %s", f.Path, f.Reason)
	if f.Position > 0 || f.Offset >= 0 {
		s += fmt.Sprintf(", at position %d", f.Position)
	}
	if f.Offset >= 0 {
		s += fmt.Sprintf(", offset %s", output.Count(f.Offset))
	}
	return s
}
