package vfs

import (
	"io/fs"
	"syscall"
	"time"
)

// Stat is FS.Stat.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	elements := split(name)
	n, err := m.walk(elements)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	last := "/"
	if len(elements) > 0 {
		last = elements[len(elements)-1]
	}
	return n.info(last), nil
}

// ReadDir is FS.ReadDir.
func (m *Mem) ReadDir(dir string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.walk(split(dir))
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", dir, err)
	}
	entries := []fs.DirEntry{}
	for _, name := range n.sortedNames() {
		entries = append(entries, fs.FileInfoToDirEntry(n.names[name].info(name)))
	}
	return entries, nil
}

// info describes n under the name it was reached by.
func (n *node) info(name string) fs.FileInfo {
	info := memInfo{name: name, mode: n.perm, modTime: n.modTime}
	if n.dir {
		info.mode |= fs.ModeDir
	} else {
		info.size = n.live.size
	}
	return info
}

type memInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modTime }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
