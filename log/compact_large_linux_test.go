package log_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
)

// BenchmarkCompactLarge compacts a log to its end, in as many passes as that takes: WEIR_BENCH_COMPACT_MIB
// (64) with WEIR_BENCH_COMPACT_KEYS (64 Ki) keys, each at least once and two records a key, of which a pass
// remembers WEIR_BENCH_COMPACT_MAX_KEYS (Compact's default). Beside the time it reports that over the time of
// reading the log once and writing it once, measured in the same run (x-floor), and what the process held in
// memory at most (peak-MiB). Neither finds the log in the page cache. It wants twice the log's bytes of disk, in TMPDIR.
func BenchmarkCompactLarge(b *testing.B) {
	bytes := int64(benchSetting(b, "WEIR_BENCH_COMPACT_MIB", 64)) << 20
	keys := benchSetting(b, "WEIR_BENCH_COMPACT_KEYS", 64<<10)
	c := log.Compaction{MaxKeys: benchSetting(b, "WEIR_BENCH_COMPACT_MAX_KEYS", 0)}
	var floor, compacting time.Duration
	var peak int64
	var passes int
	b.SetBytes(bytes)
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		l := keyedLog(b, dir, bytes, keys)
		floor += readAndWriteOnce(b, dir)
		evict(b, dir)
		b.StartTimer()
		began := time.Now()
		p, n := watchMemory(b, func() int { return compactToEnd(b, l, keys, c) })
		compacting += time.Since(began)
		peak, passes = max(peak, p), passes+n
		b.StopTimer()
		if err := errors.Join(l.Close(), os.RemoveAll(dir)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(compacting.Seconds()/floor.Seconds(), "x-floor")
	b.ReportMetric(floor.Seconds()/float64(b.N), "floor-s")
	b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
	b.ReportMetric(float64(passes)/float64(b.N), "passes")
}

func benchSetting(b *testing.B, name string, fallback int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("%s=%s: want a number from 1 on", name, text)
	}
	return n
}

// keyedLog makes a log of about so many bytes, all of it sealed, durable and out of the page cache. Every
// second record has the next key, the others one at random; values are cut so that there are two records a key.
func keyedLog(b *testing.B, dir string, bytes int64, keys int) *log.Log {
	b.Helper()
	const keyBytes, recordOverhead, batchRecords = 16, 12, 100
	l, err := log.Open(log.Config{Dir: dir, Settings: log.Settings{SegmentBytes: min(256<<20, max(bytes/16, 1<<20))}})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, max(1, bytes/int64(2*keys)-keyBytes-recordOverhead))
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	var batch []byte
	records := make([]recordbatch.Record, 0, batchRecords)
	for i := range 2 * keys {
		key := i / 2
		if i%2 == 1 {
			key = rng.IntN(keys)
		}
		name := binary.BigEndian.AppendUint64(make([]byte, keyBytes-8, keyBytes), uint64(key))
		records = append(records, recordbatch.Record{Timestamp: int64(i), Key: name, Value: value})
		if len(records) < batchRecords && i+1 < 2*keys {
			continue
		}
		if batch, err = recordbatch.AppendBatch(batch[:0], plain, recordbatch.CodecNone, records); err == nil {
			err = put(l, 1, batch)
		}
		if err != nil {
			b.Fatal(err)
		}
		records = records[:0]
	}
	if err := errors.Join(l.Roll(), l.Sync()); err != nil {
		b.Fatal(err)
	}
	evict(b, dir)
	return l
}

// segmentFiles opens the segments of a log, one after the other.
func segmentFiles(b *testing.B, dir string, do func(*os.File) error) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) == 0 {
		b.Fatalf("no segments in %s: %v", dir, err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err == nil {
			err = errors.Join(do(f), f.Close())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// evict has the page cache forget a log that is durable.
func evict(b *testing.B, dir string) {
	segmentFiles(b, dir, func(f *os.File) error {
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// readAndWriteOnce copies the log's bytes to one file beside it and says how long that took, to the disk.
func readAndWriteOnce(b *testing.B, dir string) time.Duration {
	b.Helper()
	to, err := os.Create(filepath.Join(dir, "copy"))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	began := time.Now()
	segmentFiles(b, dir, func(f *os.File) error {
		for {
			n, err := f.Read(buf)
			if err == io.EOF {
				return nil
			}
			if err == nil {
				_, err = to.Write(buf[:n])
			}
			if err != nil {
				return err
			}
		}
	})
	err = unix.Fdatasync(int(to.Fd()))
	took := time.Since(began)
	if err := errors.Join(err, to.Close(), os.Remove(to.Name())); err != nil {
		b.Fatal(err)
	}
	return took
}

// compactToEnd makes passes until nothing is dirty and says how many those were. All keys have to be met.
func compactToEnd(b *testing.B, l *log.Log, keys int, c log.Compaction) (passes int) {
	b.Helper()
	seen, end := 0, l.LogEndOffset()
	for to := int64(0); to < end; passes++ {
		done, err := l.Compact(context.Background(), time.Now(), end, c, logtest.Judge{})
		if err != nil || done.To <= to {
			b.Fatalf("a pass ends at offset %d after %d, want up to %d: %v", done.To, to, end, err)
		}
		to, seen = done.To, seen+done.Keys
	}
	if seen < keys {
		b.Fatalf("%d keys seen, want at least %d", seen, keys)
	}
	return passes
}

// watchMemory runs something and says how many bytes the process held in memory at most meanwhile.
func watchMemory(b *testing.B, run func() int) (peak int64, result int) {
	debug.FreeOSMemory()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			peak = max(peak, residentBytes(b))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	result = run()
	close(stop)
	<-stopped
	return peak, result
}

func residentBytes(b *testing.B) int64 {
	var total, resident int64 // pages
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(text), &total, &resident)
	}
	if err != nil {
		b.Error(err)
	}
	return resident * int64(os.Getpagesize())
}
