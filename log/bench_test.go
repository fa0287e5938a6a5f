package log_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
)

func benchLog(b *testing.B) *log.Log {
	b.Helper()
	l, err := log.Open(log.Config{Dir: b.TempDir(), Settings: log.Settings{
		SegmentBytes: 256 << 20, DeleteByRetention: true, RetentionBytes: 512 << 20,
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// sized makes a batch of about n bytes in records of 1 KiB.
func sized(b *testing.B, n int) []byte {
	return logtest.Batch(b, time.Now().UnixMilli(), max(n>>10, 1), string(bytes.Repeat([]byte{'v'}, 1000)))
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			l, batch := benchLog(b), sized(b, size.bytes)
			entries := []log.Entry{{Kind: log.KindBatch, Epoch: 1, Data: batch}}
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := l.Append(entries); err != nil {
					b.Fatal(err)
				}
				if i%4096 == 4095 {
					b.StopTimer()
					if _, err := l.Retain(time.Now(), l.LogEndOffset()); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkAppendSync(b *testing.B) {
	l, batch := benchLog(b), sized(b, 64<<10)
	entries := []log.Entry{{Kind: log.KindBatch, Epoch: 1, Data: batch}}
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(entries); err != nil {
			b.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead measures finding a range, which is then the kernel's to send:
// at the tail, where consumers are who keep up, and in the middle.
func BenchmarkRead(b *testing.B) {
	l, batch := benchLog(b), sized(b, 16<<10)
	for range 4000 {
		appendBatch(b, l, 1, batch)
	}
	end := l.LogEndOffset()
	for _, at := range []struct {
		name   string
		offset int64
	}{{"tail", end - 20}, {"middle", end / 2}} {
		b.Run(at.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := l.Read(at.offset, 1<<20, end, true)
				if err != nil || r.Bytes == 0 {
					b.Fatal(r, err)
				}
				if err := r.Release(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEntryHead asks for the heads of a log in order, as at a start, and for
// the last one, as a follower does.
func BenchmarkEntryHead(b *testing.B) {
	for _, size := range []int{100, 16 << 10} {
		l := benchLog(b)
		batch := logtest.Batch(b, 1, 1, string(bytes.Repeat([]byte{'v'}, size)))
		for range (64 << 20) / len(batch) {
			if _, err := l.Append([]log.Entry{{Kind: log.KindBatch, Epoch: 1, Data: batch}}); err != nil {
				b.Fatal(err)
			}
		}
		for _, way := range []string{"in order", "last"} {
			b.Run(fmt.Sprintf("%s/%dB", way, size), func(b *testing.B) {
				b.ReportAllocs()
				i := l.LastRaftIndex()
				for b.Loop() {
					if way == "in order" {
						i = i%l.LastRaftIndex() + 1
					}
					if _, err := l.EntryHead(i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
