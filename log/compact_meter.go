package log

import "context"

// Meter follows a pass from outside, and holds it up. Its methods are called by the goroutine of the pass, which
// holds no lock then that a writer, a reader or retention waits for. Close waits for it, and ends its context.
type Meter interface {
	// Found is told the bytes of the segments that were compacted before and of those that may be now, also when
	// they are not worth a pass.
	Found(clean, dirty int64)
	// Plan is told that the pass is to read so many bytes more, or fewer, than it was told before.
	Plan(bytes int64)
	// Moved is told of the bytes read and written since it was last called, and returns when the pass may go on.
	// Its error, ctx's among others, ends the pass.
	Moved(ctx context.Context, read, written int64) error
}

// freely is the meter of a pass that nobody follows.
type freely struct{}

var _ Meter = freely{}

// Found implements Meter.
func (freely) Found(int64, int64) {}

// Plan implements Meter.
func (freely) Plan(int64) {}

// Moved implements Meter.
func (freely) Moved(context.Context, int64, int64) error { return nil }

// meteredBytes is how much a pass moves before it tells its meter.
const meteredBytes = 64 << 10

// moved notes bytes that were read and written.
func (p *pass) moved(read, written int64) error {
	p.read += read
	p.written += written
	if p.read+p.written < meteredBytes {
		return nil
	}
	return p.tell()
}

// tell has the meter know of what it does not know yet, and hold the pass up.
func (p *pass) tell() error {
	read, written := p.read, p.written
	p.read, p.written = 0, 0
	err := p.meter.Moved(p.ctx, read, written)
	if err != nil {
		if ended := p.ended(); ended != nil {
			return ended // Close has ended the context
		}
	}
	return err
}
