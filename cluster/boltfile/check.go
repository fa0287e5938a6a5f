package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
)

// The layout of a bbolt file, version 2, as far as a walk over its pages needs it. Numbers are in
// the byte order of the machine.
const (
	magic       = 0xED0CDAED
	version     = 2
	pageHeader  = 16 // id 8, flags 2, count 2, overflow 4
	elementSize = 16
	branchFlag  = 0x01
	leafFlag    = 0x02
	bucketFlag  = 0x01 // flag of a leaf element
	inBucket    = 16   // root 8, sequence 8
	metaSize    = 64   // magic 4, version 4, page size 4, flags 4, root 16, freelist 8, high page 8, txid 8, checksum 8
	minPage     = 1024
	maxPage     = 64 << 10
)

// DamageError: the pages of a file are not what bbolt wrote. Nothing in it was changed.
type DamageError struct {
	Path string
	Err  error
}

func (e *DamageError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }
func (e *DamageError) Unwrap() error { return e.Err }

// Check reads the file, which nobody has open, and follows every page from the root. bbolt itself
// trusts its pages: a number out of range in one ends in a panic on a goroutine nobody can recover,
// or in a bus error. At the top are to be the buckets named, in order, or none if the file has never
// been opened by its owner.
//
// Errors: *DamageError, those of reading.
func Check(path string, buckets ...string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	meta, err := newestMeta(data)
	if err == nil {
		w := &walk{data: data, pageBytes: meta.pageBytes, end: meta.end, seen: map[uint64]bool{}}
		if err = w.tree(meta.root, keys{}); err == nil {
			err = w.buckets(meta.root, buckets)
		}
	}
	if err != nil {
		return &DamageError{Path: path, Err: err}
	}
	return nil
}

type metaPage struct {
	pageBytes uint64
	root, end uint64 // pages below end are in use
	txid      uint64
}

// newestMeta returns the valid meta page with the higher transaction id; the first is at 0, the
// second one page behind it. One of the two may be torn: that is what there are two for.
func newestMeta(data []byte) (best metaPage, err error) {
	found := false
	for size := uint64(minPage); size <= maxPage; size *= 2 {
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

func parseMeta(data []byte, at uint64) (m metaPage, ok bool) {
	if at+pageHeader+metaSize > uint64(len(data)) {
		return m, false
	}
	b := data[at+pageHeader:][:metaSize]
	order := binary.NativeEndian
	if order.Uint32(b) != magic || order.Uint32(b[4:]) != version {
		return m, false
	}
	sum := fnv.New64a()
	sum.Write(b[:56])
	if sum.Sum64() != order.Uint64(b[56:]) {
		return m, false
	}
	m = metaPage{pageBytes: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]), end: order.Uint64(b[40:]), txid: order.Uint64(b[48:])}
	return m, m.pageBytes >= minPage && m.pageBytes <= maxPage && m.pageBytes&(m.pageBytes-1) == 0
}

type walk struct {
	data      []byte
	pageBytes uint64
	end       uint64
	seen      map[uint64]bool
}

// buckets checks the names at the top: a missing one would be made anew, empty. A file that was
// never opened by its owner has none.
func (w *walk) buckets(root uint64, want []string) error {
	page := w.data[root*w.pageBytes:]
	var names []string
	for i := range int(binary.NativeEndian.Uint16(page[10:])) {
		if e, ok := viewElement(page, pageHeader+i*elementSize, false); ok {
			names = append(names, string(e.key))
		}
	}
	if len(names) > 0 && !slices.Equal(names, want) {
		return fmt.Errorf("buckets are %q", names)
	}
	return nil
}

// keys are the bounds of a page's keys: min ≤ key < max, where nil is no bound.
type keys struct{ min, max []byte }

func (k keys) hold(key []byte) bool {
	return (k.min == nil || bytes.Compare(key, k.min) >= 0) && (k.max == nil || bytes.Compare(key, k.max) < 0)
}

// tree checks the page of that id and all below it.
func (w *walk) tree(id uint64, bounds keys) error {
	if id < 2 || id >= w.end || w.seen[id] {
		return fmt.Errorf("page %d is out of range or reached twice", id)
	}
	page := w.data[id*w.pageBytes:]
	overflow := uint64(binary.NativeEndian.Uint32(page[12:]))
	if got := binary.NativeEndian.Uint64(page); got != id || overflow >= w.end-id {
		return fmt.Errorf("page %d says it is page %d with %d more", id, got, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if w.seen[i] {
			return fmt.Errorf("page %d is reached twice", i)
		}
		w.seen[i] = true
	}
	if err := w.page(page[:(overflow+1)*w.pageBytes], bounds); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// page checks one page, or a bucket kept inside a leaf, which looks the same.
func (w *walk) page(page []byte, bounds keys) error {
	if len(page) < pageHeader {
		return errors.New("too short")
	}
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if flags != branchFlag && flags != leafFlag {
		return fmt.Errorf("flags %#x", flags)
	}
	if pageHeader+count*elementSize > len(page) || (flags == branchFlag && count == 0) {
		return fmt.Errorf("%d elements", count)
	}
	elements := make([]elementView, count)
	for i := range elements {
		var ok bool
		if elements[i], ok = viewElement(page, pageHeader+i*elementSize, flags == branchFlag); !ok {
			return fmt.Errorf("element %d lies outside the page", i)
		}
		if key := elements[i].key; !bounds.hold(key) || (i > 0 && bytes.Compare(elements[i-1].key, key) >= 0) {
			return fmt.Errorf("element %d is out of order", i)
		}
	}
	return w.below(elements, bounds.max)
}

// below checks what the elements of a page point to.
func (w *walk) below(elements []elementView, max []byte) error {
	for i, e := range elements {
		var err error
		switch {
		case e.branch:
			bounds := keys{min: e.key, max: max}
			if i+1 < len(elements) {
				bounds.max = elements[i+1].key
			}
			err = w.tree(e.page, bounds)
		case e.bucket && len(e.value) < inBucket:
			err = errors.New("bucket too short")
		case e.bucket:
			if root := binary.NativeEndian.Uint64(e.value); root != 0 {
				err = w.tree(root, keys{})
			} else {
				err = w.page(e.value[inBucket:], keys{})
			}
		}
		if err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// elementView is one element of a page: a child page in a branch, a value in a leaf.
type elementView struct {
	key    []byte
	branch bool
	page   uint64
	bucket bool
	value  []byte
}

// viewElement reads an element. In a branch it is: position of the key from the element 4, key
// size 4, page 8. In a leaf: flags 4, position of the key from the element 4, key size 4, value
// size 4; the value follows the key.
func viewElement(page []byte, at int, branch bool) (v elementView, ok bool) {
	u32 := func(i int) uint64 { return uint64(binary.NativeEndian.Uint32(page[at+i:])) }
	key, keyBytes, valueBytes := u32(4), u32(8), u32(12)
	if branch {
		key, keyBytes, valueBytes = u32(0), u32(4), 0
		v.branch, v.page = true, binary.NativeEndian.Uint64(page[at+8:])
	} else {
		v.bucket = u32(0)&bucketFlag != 0
	}
	key += uint64(at)
	if key+keyBytes+valueBytes > uint64(len(page)) {
		return v, false
	}
	v.key, v.value = page[key:][:keyBytes], page[key+keyBytes:][:valueBytes]
	return v, true
}
