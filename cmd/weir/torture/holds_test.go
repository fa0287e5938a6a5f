//go:build torture

package torture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// descriptors are a process's open ones; deleted are those of files in the data directory that have no name any more.
type descriptors struct {
	total, deleted int
	deletedBytes   int64 // on disk
}

// deletedMark is what Linux puts behind the former name.
const deletedMark = " (deleted)"

func (b *broker) descriptors() (d descriptors) {
	b.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", b.command.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.t.Error(err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		to, err := os.Readlink(name)
		if err != nil {
			continue // closed meanwhile
		}
		d.total++
		if !strings.HasPrefix(to, b.data) || !strings.HasSuffix(to, deletedMark) {
			continue
		}
		d.deleted++
		if info, err := os.Stat(name); err == nil {
			d.deletedBytes += diskBytes(info)
		}
	}
	return d
}

// mappings counts maps of files in a broker's data directory.
type mappings struct{ total, deleted int }

func (b *broker) maps() (m mappings) {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", b.command.Process.Pid))
	if err != nil {
		b.t.Error(err)
	}
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(b.data+"/")) {
			continue
		}
		m.total++
		if bytes.HasSuffix(bytes.TrimSpace(line), []byte(deletedMark)) {
			m.deleted++
		}
	}
	return m
}

// folderBytes is what the files below a folder take on disk; some may go meanwhile.
func folderBytes(t testing.TB, folder string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !e.IsDir() {
			total += diskBytes(info)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return total
}

// diskBytes is what a file takes, which is less than its size where it has holes, and more with room that is reserved.
func diskBytes(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }
