package partition

import (
	"math"

	"weir/segment/vfs"
)

// BadCheckpoints lists the files in a partition's folder that should hold its producers' state and do not: a start goes by
// an older one, or reads the log from its first entry. whole counts those that are. It changes nothing.
func BadCheckpoints(fsys vfs.FS, dir string) (bad []string, whole int, err error) {
	have, err := checkpoints(fsys, dir)
	if err != nil {
		return nil, 0, err
	}
	for _, raftIndex := range have {
		name := checkpointName(dir, raftIndex)
		b, err := readSmallFile(fsys, name)
		if err != nil {
			return nil, 0, err
		}
		if s, err := decodeState(b, math.MaxInt32); err != nil || s.at.raftIndex != raftIndex {
			bad = append(bad, name)
		} else {
			whole++
		}
	}
	return bad, whole, nil
}
