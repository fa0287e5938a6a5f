//go:build (linux && (amd64 || arm64 || 386 || arm)) || (darwin && (amd64 || arm64))

package mmap

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/tysonmote/gommap"
)

// mapped is a region in a shared map.
type mapped struct {
	data    gommap.MMap
	count   count // holds data
	closed  atomic.Bool
	release func() // drop without a result, made once so that View allocates nothing
}

func newMapped(fd uintptr, length int64) (Region, error) {
	data, err := gommap.MapRegion(fd, 0, length, gommap.PROT_READ, gommap.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	mappedBytes.Add(length)
	m := &mapped{data: data}
	m.count.holders.Store(1)
	m.release = func() {
		// munmap of a whole map has nothing to fail at that a caller could act on.
		_ = m.drop()
	}
	return m, nil
}

// mapUnavailable reports whether newMapped failed for want of a resource or of support.
func mapUnavailable(err error) bool {
	return errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EAGAIN)
}

func (m *mapped) Len() int64 { return int64(len(m.data)) }
func (m *mapped) Mode() Mode { return ModeMap }

// acquire checks the range and takes a hold of the map.
func (m *mapped) acquire(pos, n int64) error {
	if err := inside(pos, n, int64(len(m.data))); err != nil {
		return err
	}
	if m.closed.Load() || !m.count.tryAcquire() {
		return ErrClosed
	}
	return nil
}

// drop gives a hold back.
func (m *mapped) drop() error {
	if !m.count.release() {
		return nil
	}
	if err := m.data.UnsafeUnmap(); err != nil {
		return err
	}
	mappedBytes.Add(-int64(len(m.data)))
	return nil
}

func (m *mapped) View(pos int64, n int) ([]byte, func(), error) {
	if err := m.acquire(pos, int64(n)); err != nil {
		return nil, nil, err
	}
	end := pos + int64(n)
	return m.data[pos:end:end], m.release, nil
}

var pageBytes = int64(os.Getpagesize())

// pages returns the map from the start of the page that holds pos, where the kernel wants a range
// to begin.
func (m *mapped) pages(pos, n int64) gommap.MMap { return m.data[pos/pageBytes*pageBytes : pos+n] }

// madvPopulateRead is MADV_POPULATE_READ of Linux 5.14, which gommap does not name.
const madvPopulateRead gommap.AdviseFlags = 22

func (m *mapped) Advise(advice Advice, pos, n int64) error {
	if err := m.acquire(pos, n); err != nil {
		return err
	}
	defer m.release()
	if n == 0 {
		return nil
	}
	flags := [...]gommap.AdviseFlags{
		Normal: gommap.MADV_NORMAL, Random: gommap.MADV_RANDOM, Sequential: gommap.MADV_SEQUENTIAL,
		WillNeed: gommap.MADV_WILLNEED, Populate: gommap.MADV_WILLNEED,
	}
	pages := m.pages(pos, n)
	if advice == Populate && runtime.GOOS == "linux" {
		if err := pages.Advise(madvPopulateRead); !errors.Is(err, syscall.EINVAL) {
			return err
		}
	}
	return pages.Advise(flags[advice])
}

func (m *mapped) Resident(pos, n int64) (bool, error) {
	if err := m.acquire(pos, n); err != nil {
		return false, err
	}
	defer m.release()
	if n == 0 {
		return true, nil
	}
	resident, err := m.pages(pos, n).IsResident()
	if err != nil {
		return false, err
	}
	for _, page := range resident {
		if !page {
			return false, nil
		}
	}
	return true, nil
}

func (m *mapped) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	return m.drop()
}
