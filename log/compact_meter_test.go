package log_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

// meter counts, and holds a pass up once it has moved so many bytes.
type meter struct {
	clean, dirty, planned, read, written int64

	holdAt int64         // 0: never
	held   chan struct{} // closed when it is held up
}

func (m *meter) Found(clean, dirty int64) { m.clean, m.dirty = clean, dirty }
func (m *meter) Plan(bytes int64)         { m.planned += bytes }

func (m *meter) Moved(ctx context.Context, read, written int64) error {
	m.read += read
	m.written += written
	if m.holdAt == 0 || m.read+m.written < m.holdAt {
		return nil
	}
	close(m.held)
	<-ctx.Done()
	return ctx.Err()
}

// fill appends two generations of keys, each batch in a segment of its own.
func fill(t testing.TB, l *log.Log) {
	t.Helper()
	value := string(make([]byte, 40<<10))
	for i := range 10 {
		appendRecords(t, l, plain, rec("other", value), rec(fmt.Sprint(i%5), value))
	}
}

// TestCompactMeter: what a pass reads is what it said that it would but for the files' headers, the copy of what stays in front of the first
// difference included, and what it writes is what is in the new files.
func TestCompactMeter(t *testing.T) {
	inj := vfs.NewInjector()
	l := logtest.Open(t, log.Config{Dir: "/l", FS: vfs.Inject(vfs.NewMem(), inj)})
	fill(t, l)
	before := l.SizeBytes()
	m := &meter{}
	got := compact(t, l, 1, log.Compaction{Meter: m})
	if got.Records != 5+9 || m.clean != 0 || m.dirty <= 800<<10 || m.dirty > before {
		t.Errorf("%+v of %+v", m, got)
	}
	if headers := m.planned - m.read; headers < 0 || headers > 2000 || m.read < 2*m.dirty-2000 || m.written != got.BytesAfter {
		t.Errorf("%+v of %+v", m, got)
	}
	m = &meter{}
	compact(t, l, 2, log.Compaction{Meter: m, MinDirtyRatio: 0.5})
	if m.dirty != 0 || m.clean == 0 || m.read+m.written+m.planned != 0 {
		t.Errorf("nothing is to be done, and %+v", m)
	}
}

// TestCompactHeldUp: a pass that waits keeps nobody waiting, neither a writer nor a reader nor retention, and ends
// at once when the log is closed. That is so wherever it waits.
func TestCompactHeldUp(t *testing.T) {
	for _, at := range []int64{1, 300 << 10, 900 << 10, 1200 << 10} {
		l := logtest.Open(t, log.Config{Dir: "/l", FS: vfs.NewMem()})
		fill(t, l)
		m := &meter{holdAt: at, held: make(chan struct{})}
		ended := make(chan error, 1)
		go func() {
			_, err := l.Compact(context.Background(), time.UnixMilli(1), l.LogEndOffset(), log.Compaction{Meter: m}, logtest.Judge{})
			ended <- err
		}()
		<-m.held
		appendRecords(t, l, plain, rec("new", "1"))
		if err := errors.Join(l.Sync(), l.AdvanceStart(4)); err != nil {
			t.Fatal(err)
		}
		if n, err := l.DeleteSegments(); err != nil || n != 2 {
			t.Errorf("%d segments deleted: %v", n, err)
		}
		if got := offsets(t, l); got[0] < 4 || got[len(got)-1] != 20 {
			t.Errorf("records at %v", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, log.ErrClosed) {
			t.Errorf("held up at %d bytes: %v", at, err)
		}
	}
}
