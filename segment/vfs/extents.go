package vfs

import "slices"

// extents is a set of whole pages as sorted, disjoint, non-touching ranges: what a file holds of
// the disk.
type extents []extent

// extent is the pages [from, to).
type extent struct{ from, to int64 }

// pagesOf returns the pages that the bytes [off, off+length) touch.
func pagesOf(off, length int64) extent {
	return extent{off / pageBytes, (off + length + pageBytes - 1) / pageBytes}
}

func (e extents) total() (pages int64) {
	for _, x := range e {
		pages += x.to - x.from
	}
	return pages
}

// missing returns how many pages of want are not in e.
func (e extents) missing(want extent) int64 {
	pages := want.to - want.from
	for i := e.search(want.from); i < len(e) && e[i].from < want.to; i++ {
		pages -= max(0, min(e[i].to, want.to)-max(e[i].from, want.from))
	}
	return pages
}

// add returns e with the pages of more.
func (e extents) add(more extent) extents {
	if more.from >= more.to {
		return e
	}
	lo := e.search(more.from)
	hi := lo
	for hi < len(e) && e[hi].from <= more.to {
		more.from = min(more.from, e[hi].from)
		more.to = max(more.to, e[hi].to)
		hi++
	}
	return slices.Replace(e, lo, hi, more)
}

// cut returns e without the pages at and after from.
func (e extents) cut(from int64) extents {
	i := e.search(from)
	if i == len(e) {
		return e
	}
	if e[i].from < from {
		e[i].to = min(e[i].to, from)
		i++
	}
	return e[:i]
}

// search returns the first range that ends at or after page.
func (e extents) search(page int64) int {
	i, _ := slices.BinarySearchFunc(e, page, func(x extent, p int64) int {
		if x.to < p {
			return -1
		}
		return 1
	})
	return i
}
