package cluster

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"weir/cluster/config"
)

const metaFile = "meta.json"

// metaVersion is that of a data folder's layout.
const metaVersion = 1

// MetaError says that a data directory is not this node's to open.
type MetaError struct {
	Path   string
	Reason string
}

func (e *MetaError) Error() string { return fmt.Sprintf("data directory %s: %s", e.Path, e.Reason) }

// folderMeta is meta.json, written once.
type folderMeta struct {
	Version     int    `json:"version"`
	ClusterID   string `json:"cluster.id"`
	NodeID      int32  `json:"node.id"`
	DirectoryID string `json:"directory.id"`                // 32 hex digits
	Main        string `json:"main.directory.id,omitempty"` // that of the first of the node's folders; empty in that
}

func newFolderMeta(clusterID string, nodeID int32, main string) folderMeta {
	return folderMeta{Version: metaVersion, ClusterID: clusterID, NodeID: nodeID, DirectoryID: hex.EncodeToString(randomID()), Main: main}
}

// newClusterID draws the id of a new cluster.
func newClusterID() string { return base64.RawURLEncoding.EncodeToString(randomID()) }

func randomID() []byte {
	id := make([]byte, 16)
	rand.Read(id)
	return id
}

func (m folderMeta) directory() (id [16]byte) {
	b, _ := hex.DecodeString(m.DirectoryID) // checked when read
	copy(id[:], b)
	return id
}

// readMeta reads meta.json. found is false in a folder that has none. Errors: *MetaError for one that is
// garbled or of another version, those of the file system.
func (f *folder) readMeta() (found bool, err error) {
	b, err := f.read(metaFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, &f.meta); err != nil {
		return false, &MetaError{Path: f.path(metaFile), Reason: err.Error()}
	}
	id, err := hex.DecodeString(f.meta.DirectoryID)
	switch {
	case f.meta.Version != metaVersion:
		return false, &MetaError{Path: f.root, Reason: fmt.Sprintf("has layout version %d, want %d", f.meta.Version, metaVersion)}
	case err != nil || len(id) != 16 || f.meta.ClusterID == "":
		return false, &MetaError{Path: f.path(metaFile), Reason: "cluster.id or directory.id is missing"}
	}
	return true, nil
}

// writeMeta begins a folder.
func (f *folder) writeMeta(m folderMeta) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	f.meta = m
	return f.write(metaFile, append(b, '\n'))
}

// checkOwner says whether the folder is the node's. Error: *MetaError.
func (f *folder) checkOwner(cfg *config.Broker) error {
	switch m := f.meta; {
	case m.NodeID != cfg.NodeID:
		return &MetaError{Path: f.root, Reason: fmt.Sprintf("belongs to node %d, this is node %d", m.NodeID, cfg.NodeID)}
	case cfg.ClusterID != "" && cfg.ClusterID != m.ClusterID:
		return &MetaError{Path: f.root, Reason: fmt.Sprintf("belongs to cluster %s, the configuration names %s", m.ClusterID, cfg.ClusterID)}
	}
	return nil
}

// errNotNew: a folder that lost its meta.json is not new: beginning afresh there would hide everything in it.
func (f *folder) errNotNew() error {
	return &MetaError{Path: f.root, Reason: metaFile + " is missing but there are data beside it; refusing to begin afresh over them"}
}
