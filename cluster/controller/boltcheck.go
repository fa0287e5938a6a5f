package controller

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
)

// The layout of a bbolt file, version 2, as far as a walk over its pages needs it. Numbers are in
// the byte order of the machine.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltPageHeader = 16 // id 8, flags 2, count 2, overflow 4
	boltElement    = 16
	boltBranch     = 0x01
	boltLeaf       = 0x02
	boltIsBucket   = 0x01 // flag of a leaf element
	boltInBucket   = 16   // root 8, sequence 8
	boltMeta       = 64   // magic 4, version 4, page size 4, flags 4, root 16, freelist 8, high page 8, txid 8, checksum 8
	boltMinPage    = 1024
	boltMaxPage    = 64 << 10
)

// checkBolt reads the file and follows every page from the root. bbolt itself trusts its pages: a
// number out of range in one ends in a panic on a goroutine nobody can recover, or in a bus error.
func checkBolt(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	meta, err := newestMeta(data)
	if err == nil {
		w := &boltWalk{data: data, pageBytes: meta.pageBytes, end: meta.end, seen: map[uint64]bool{}}
		err = w.tree(meta.root)
	}
	if err != nil {
		return &CorruptError{Path: path, Reason: "pages", Err: err}
	}
	return nil
}

type boltMetaPage struct {
	pageBytes uint64
	root, end uint64 // pages below end are in use
	txid      uint64
}

// newestMeta returns the valid meta page with the higher transaction id; the first is at 0, the
// second one page behind it. One of the two may be torn: that is what there are two for.
func newestMeta(data []byte) (best boltMetaPage, err error) {
	found := false
	for size := uint64(boltMinPage); size <= boltMaxPage; size *= 2 {
		for _, at := range []uint64{0, size} {
			m, ok := parseMeta(data, at)
			if ok && (at == 0 || m.pageBytes == size) && (!found || m.txid > best.txid) {
				best, found = m, true
			}
		}
	}
	if !found {
		return best, errors.New("no valid meta page")
	}
	if best.end < 4 || best.end > uint64(len(data))/best.pageBytes {
		return best, fmt.Errorf("%d pages in use, the file holds %d", best.end, uint64(len(data))/best.pageBytes)
	}
	return best, nil
}

func parseMeta(data []byte, at uint64) (m boltMetaPage, ok bool) {
	if at+boltPageHeader+boltMeta > uint64(len(data)) {
		return m, false
	}
	b := data[at+boltPageHeader:][:boltMeta]
	order := binary.NativeEndian
	if order.Uint32(b) != boltMagic || order.Uint32(b[4:]) != boltVersion {
		return m, false
	}
	sum := fnv.New64a()
	sum.Write(b[:56])
	if sum.Sum64() != order.Uint64(b[56:]) {
		return m, false
	}
	m = boltMetaPage{pageBytes: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]), end: order.Uint64(b[40:]), txid: order.Uint64(b[48:])}
	return m, m.pageBytes >= boltMinPage && m.pageBytes <= boltMaxPage && m.pageBytes&(m.pageBytes-1) == 0
}

type boltWalk struct {
	data      []byte
	pageBytes uint64
	end       uint64
	seen      map[uint64]bool
}

// tree checks the page of that id and all below it.
func (w *boltWalk) tree(id uint64) error {
	if id < 2 || id >= w.end || w.seen[id] {
		return fmt.Errorf("page %d is out of range or reached twice", id)
	}
	page := w.data[id*w.pageBytes:]
	overflow := uint64(binary.NativeEndian.Uint32(page[12:]))
	if got := binary.NativeEndian.Uint64(page); got != id || overflow >= w.end-id {
		return fmt.Errorf("page %d says it is page %d with %d more", id, got, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		w.seen[i] = true
	}
	if err := w.page(page[:(overflow+1)*w.pageBytes]); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// page checks one page, or a bucket kept inside a leaf, which looks the same.
func (w *boltWalk) page(page []byte) error {
	if len(page) < boltPageHeader {
		return errors.New("too short")
	}
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if boltPageHeader+count*boltElement > len(page) {
		return fmt.Errorf("%d elements do not fit", count)
	}
	for i := range count {
		at := boltPageHeader + i*boltElement
		var err error
		switch flags {
		case boltBranch:
			err = w.branchElement(page, at)
		case boltLeaf:
			err = w.leafElement(page, at)
		}
		if err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	if flags != boltBranch && flags != boltLeaf {
		return fmt.Errorf("flags %#x", flags)
	}
	return nil
}

// branchElement is: position of the key from the element 4, key size 4, page 8.
func (w *boltWalk) branchElement(page []byte, at int) error {
	order := binary.NativeEndian
	if uint64(at)+uint64(order.Uint32(page[at:]))+uint64(order.Uint32(page[at+4:])) > uint64(len(page)) {
		return errors.New("key outside the page")
	}
	return w.tree(order.Uint64(page[at+8:]))
}

// leafElement is: flags 4, position of the key from the element 4, key size 4, value size 4; the
// value follows the key.
func (w *boltWalk) leafElement(page []byte, at int) error {
	order := binary.NativeEndian
	value := uint64(at) + uint64(order.Uint32(page[at+4:])) + uint64(order.Uint32(page[at+8:]))
	end := value + uint64(order.Uint32(page[at+12:]))
	if end > uint64(len(page)) {
		return errors.New("value outside the page")
	}
	if order.Uint32(page[at:])&boltIsBucket == 0 {
		return nil
	}
	if end-value < boltInBucket {
		return errors.New("bucket too short")
	}
	if root := order.Uint64(page[value:]); root != 0 {
		return w.tree(root)
	}
	return w.page(page[value+boltInBucket : end])
}
