package vfs

// pageBytes is the unit of the page cache and of allocation.
const pageBytes = 4096

// content is the bytes of one file: sparse pages that clones share until one side writes. A clone
// costs the page table. Bytes at and after size are zero in every page.
type content struct {
	pages   []*page // short table: pages past its end, and nil ones, read as zeroes
	size    int64
	held    extents // pages that are allocated on the disk
	written int64   // end of the last byte ever written: what lies after is only preallocated
	owner   *owner
}

type page struct {
	owner *owner // the one content that may write this page
	data  [pageBytes]byte
}

// owner is compared by address, so it must not be of size zero.
type owner struct{ _ byte }

func newContent() *content { return &content{owner: new(owner)} }

// clone returns a copy. Both sides get a new owner, so both copy a page before they write it.
func (c *content) clone() *content {
	c.owner = new(owner)
	return &content{
		pages: append([]*page(nil), c.pages...), size: c.size,
		held: append(extents(nil), c.held...), written: c.written, owner: new(owner),
	}
}

// readAt copies what lies in [off, size) and returns how much.
func (c *content) readAt(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		index, in := at/pageBytes, int(at%pageBytes)
		n := min(len(p)-done, pageBytes-in)
		if index < int64(len(c.pages)) && c.pages[index] != nil {
			copy(p[done:done+n], c.pages[index].data[in:])
		} else {
			clear(p[done : done+n])
		}
		done += n
	}
	return len(p)
}

func (c *content) writeAt(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := off + int64(len(p))
	c.held = c.held.add(pagesOf(off, int64(len(p))))
	for done := 0; done < len(p); {
		at := off + int64(done)
		done += copy(c.writable(at / pageBytes).data[at%pageBytes:], p[done:])
	}
	c.size = max(c.size, end)
	c.written = max(c.written, end)
}

// writable returns a page that no other content sees.
func (c *content) writable(index int64) *page {
	for int64(len(c.pages)) <= index {
		c.pages = append(c.pages, nil)
	}
	p := c.pages[index]
	switch {
	case p == nil:
		p = &page{owner: c.owner}
	case p.owner != c.owner:
		p = &page{owner: c.owner, data: p.data}
	}
	c.pages[index] = p
	return p
}

func (c *content) truncate(size int64) {
	if size < c.size {
		keep := (size + pageBytes - 1) / pageBytes
		c.held = c.held.cut(keep)
		if keep < int64(len(c.pages)) {
			clear(c.pages[keep:])
			c.pages = c.pages[:keep]
		}
		if in := size % pageBytes; in > 0 && keep == int64(len(c.pages)) && c.pages[keep-1] != nil {
			clear(c.writable(keep - 1).data[in:])
		}
		c.written = min(c.written, size)
	}
	c.size = size
}

func (c *content) preallocate(off, length int64) {
	c.held = c.held.add(pagesOf(off, length))
	c.size = max(c.size, off+length)
}
