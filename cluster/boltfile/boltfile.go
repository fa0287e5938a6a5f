// Package boltfile opens bbolt's files the way all of a node's are opened: checked first, made under
// another name, with the same options.
package boltfile

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// Options are those of every file.
func Options() *bbolt.Options {
	return &bbolt.Options{
		Timeout:         time.Second, // another process holds the file: say so instead of waiting for ever
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: 1 << 20, // the file grows once at first, not at every entry
	}
}

// Create makes an empty file under another name first, so that a crash leaves either none or a whole
// one. Its content is durable on return, its name after a SyncDir.
func Create(path string) error {
	temporary := path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temporary, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		return err
	}
	if err := errors.Join(db.Sync(), db.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// SyncDir makes the names in the folder of a file durable.
func SyncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
