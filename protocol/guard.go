package protocol

// Limits of what a request may make kmsg allocate: decodedPerByte bytes for
// every byte of the body, and a little for small ones. A large body is that of
// Produce and holds records, which are not copied: for what is left of it
// maxRequestBytes is plenty.
const (
	decodedPerByte = 16
	decodedExtra   = 4 << 10
)

// What kmsg allocates besides the fields of its structs.
const (
	stringRounding = 16  // a string's bytes, rounded up to a size class
	tagMapBytes    = 512 // the map of a struct with unknown tags
	tagEntryBytes  = 128 // an entry of it, with the map's growth
)

// walker is one walk over a body. budget is what kmsg may still allocate; steps
// counts fields, structs and tags, which tests hold against the size of the body.
type walker struct {
	reader
	budget int64
	steps  int
}

// checkBody walks a body by the shape of its message before kmsg decodes it and
// returns how many bytes the message takes. kmsg trusts its peer (see
// DESIGN.md): only after this walk are its loops bounded by the body's bytes and
// its allocations by decodedPerByte times as many.
func checkBody(key, version int16, body []byte) (int, error) {
	p := planOf(key, version)
	if p == nil {
		return 0, malformedf("api key %d version %d is not served", key, version)
	}
	w := walker{
		reader: reader{src: body},
		budget: int64(min(len(body), maxRequestBytes))*decodedPerByte + decodedExtra,
	}
	err := w.structure(p)
	return w.pos, err
}

func (w *walker) spend(n int64) error {
	if w.budget -= n; w.budget < 0 {
		return malformedf("message decodes to more than %d times its %d bytes", decodedPerByte, len(w.src))
	}
	return nil
}

func (w *walker) structure(p *plan) error {
	w.steps++
	for i := range p.steps {
		if err := w.field(&p.steps[i], p.flexible); err != nil {
			return err
		}
	}
	if p.flexible {
		return w.tagSection(p)
	}
	return nil
}

func (w *walker) field(s *step, flexible bool) error {
	w.steps++
	switch s.kind {
	case kindFixed:
		return w.skip(s.size)
	case kindArray:
		return w.array(s, flexible)
	case kindStruct:
		return w.group(s)
	}
	n, err := w.length(s, flexible)
	if err != nil || n < 0 {
		return err
	}
	if n > int64(w.left()) {
		return malformedf("%s announces %d bytes with %d left", s.name, n, w.left())
	}
	if s.kind == kindString {
		if err := w.spend(n + stringRounding); err != nil {
			return err
		}
	}
	return w.skip(int(n))
}

// length reads the length of a string or byte array or the count of an array, -1
// for null where null is allowed.
func (w *walker) length(s *step, flexible bool) (n int64, err error) {
	switch {
	case flexible:
		n, err = w.compactLength()
	case s.kind == kindString:
		var short int16
		short, err = w.int16()
		n = int64(short)
	default:
		var long int32
		long, err = w.int32()
		n = int64(long)
	}
	if err != nil {
		return 0, err
	}
	if n < -1 || n == -1 && !s.nullable {
		return 0, malformedf("%s has length %d", s.name, n)
	}
	return n, nil
}

func (w *walker) array(s *step, flexible bool) error {
	n, err := w.length(s, flexible)
	if err != nil {
		return err
	}
	if n > int64(w.left()/s.minBytes) {
		return malformedf("%s announces %d elements with %d bytes left", s.name, n, w.left())
	}
	if err := w.spend(max(n, 0) * int64(s.decoded)); err != nil {
		return err
	}
	if s.plain != nil && s.plain.kind == kindFixed {
		return w.skip(int(max(n, 0)) * s.plain.size)
	}
	for ; n > 0; n-- {
		if s.plain != nil {
			err = w.field(s.plain, flexible)
		} else {
			err = w.structure(s.elem)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) group(s *step) error {
	if s.nullable {
		present, err := w.int8()
		if err != nil || present == -1 {
			return err
		}
		if present != 1 {
			return malformedf("%s has presence %d, want -1 or 1", s.name, present)
		}
		if err := w.spend(int64(s.decoded)); err != nil {
			return err
		}
	}
	return w.structure(s.elem)
}

// tagSection walks the tagged fields of a struct: known ones by their shape,
// which has to fill the announced bytes, unknown ones by length only.
func (w *walker) tagSection(p *plan) error {
	n, err := w.tagCount()
	if err != nil {
		return err
	}
	unknown := false
	for ; n > 0; n-- {
		w.steps++
		number, value, err := w.tag()
		if err != nil {
			return err
		}
		if s := p.tagged(number); s != nil {
			if err := w.taggedField(s, number, len(value)); err != nil {
				return err
			}
			continue
		}
		cost := int64(tagEntryBytes)
		if !unknown {
			cost, unknown = tagMapBytes, true
		}
		if err := w.spend(cost); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) tagged(number uint32) *step {
	for i := range p.tags {
		if p.tags[i].number == number {
			return &p.tags[i].step
		}
	}
	return nil
}

// taggedField walks the size bytes before the position as the field s.
func (w *walker) taggedField(s *step, number uint32, size int) error {
	inner := walker{reader: reader{src: w.src[:w.pos], pos: w.pos - size}, budget: w.budget}
	if err := inner.field(s, true); err != nil {
		return err
	}
	w.budget, w.steps = inner.budget, w.steps+inner.steps
	if inner.left() != 0 {
		return malformedf("tag %d (%s) has %d bytes too many", number, s.name, inner.left())
	}
	return nil
}
