package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

func (i *injectedFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	kind := OpOpen
	if flag&os.O_CREATE != 0 {
		kind = OpCreate
	}
	if err := i.begin(kind, name); err != nil {
		return nil, err
	}
	f, err := i.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &injectedFile{File: f, inj: i.inj}, nil
}

func (i *injectedFS) Stat(name string) (fs.FileInfo, error) {
	if err := i.begin(OpStat, name); err != nil {
		return nil, err
	}
	return i.fs.Stat(name)
}

func (i *injectedFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	if err := i.begin(OpReadDir, dir); err != nil {
		return nil, err
	}
	return i.fs.ReadDir(dir)
}

func (i *injectedFS) MkdirAll(dir string, perm fs.FileMode) error {
	if err := i.begin(OpMkdir, dir); err != nil {
		return err
	}
	return i.fs.MkdirAll(dir, perm)
}

func (i *injectedFS) Rename(oldName, newName string) error {
	if _, err := i.inj.begin(Op{Kind: OpRename, Path: oldName, NewPath: newName}); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return i.fs.Rename(oldName, newName)
}

func (i *injectedFS) Remove(name string) error {
	if err := i.begin(OpRemove, name); err != nil {
		return err
	}
	return i.fs.Remove(name)
}

func (i *injectedFS) RemoveAll(name string) error {
	if err := i.begin(OpRemove, name); err != nil {
		return err
	}
	return i.fs.RemoveAll(name)
}

func (i *injectedFS) SyncDir(dir string) error {
	if err := i.begin(OpSyncDir, dir); err != nil {
		return err
	}
	return i.fs.SyncDir(dir)
}

func (i *injectedFS) Lock(name string) (io.Closer, error) {
	if err := i.begin(OpLock, name); err != nil {
		return nil, err
	}
	return i.fs.Lock(name)
}

func (i *injectedFS) FreeBytes(dir string) (free, total int64, err error) {
	if err := i.begin(OpFreeBytes, dir); err != nil {
		return 0, 0, err
	}
	return i.fs.FreeBytes(dir)
}

// injectedFile passes Name and Fd on; what a map or sendfile reads is beyond the rules.
type injectedFile struct {
	File
	inj *Injector
}

func (f *injectedFile) begin(kind OpKind, off, length int64) (int, error) {
	pass, err := f.inj.begin(Op{Kind: kind, Path: f.Name(), Offset: off, Length: length})
	return pass, wrapInjected(kind, f.Name(), err)
}

func (f *injectedFile) ReadAt(p []byte, off int64) (int, error) {
	pass, fault := f.begin(OpRead, off, int64(len(p)))
	if fault == nil {
		return f.File.ReadAt(p, off)
	}
	n, err := f.File.ReadAt(p[:pass], off)
	if err == io.EOF {
		err = nil
	}
	return n, errors.Join(fault, err)
}

func (f *injectedFile) WriteAt(p []byte, off int64) (int, error) {
	pass, fault := f.begin(OpWrite, off, int64(len(p)))
	if fault == nil {
		return f.File.WriteAt(p, off)
	}
	n, err := f.File.WriteAt(p[:pass], off)
	return n, errors.Join(fault, err)
}

func (f *injectedFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	length := 0
	for _, b := range bufs {
		length += len(b)
	}
	pass, fault := f.begin(OpWrite, off, int64(length))
	if fault == nil {
		return f.File.WritevAt(bufs, off)
	}
	var part [][]byte
	for _, b := range bufs {
		part = append(part, b[:min(pass, len(b))])
		pass -= min(pass, len(b))
	}
	n, err := f.File.WritevAt(part, off)
	return n, errors.Join(fault, err)
}

func (f *injectedFile) Sync() error {
	_, fault := f.begin(OpSync, 0, 0)
	if fault == nil {
		return f.File.Sync()
	}
	f.failSync()
	return fault
}

// failSync is that of the Mem at the bottom, if there is one.
func (f *injectedFile) failSync() {
	if lossy, ok := f.File.(interface{ failSync() }); ok {
		lossy.failSync()
	}
}

func (f *injectedFile) Truncate(size int64) error {
	if _, err := f.begin(OpTruncate, 0, size); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *injectedFile) Preallocate(off, length int64) error {
	if _, err := f.begin(OpPreallocate, off, length); err != nil {
		return err
	}
	return f.File.Preallocate(off, length)
}

func (f *injectedFile) Size() (int64, error) {
	if _, err := f.begin(OpSize, 0, 0); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *injectedFile) Close() error {
	if _, err := f.begin(OpClose, 0, 0); err != nil {
		return errors.Join(err, f.File.Close()) // the descriptor is gone after a failed close, as in POSIX
	}
	return f.File.Close()
}
