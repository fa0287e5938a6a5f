package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// roundTrips sends request b.N times, ahead of the responses of size bytes by
// up to window requests, and reads them into nothing.
func roundTrips(b *testing.B, addr string, request []byte, responseBytes, window int) {
	c := dial(b, addr)
	buf := make([]byte, 256<<10)
	ahead := make(chan struct{}, window)
	b.SetBytes(int64(len(request) + responseBytes))
	b.ReportAllocs()
	b.ResetTimer()
	used := cpuTime(b)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range b.N {
			ahead <- struct{}{}
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
		}
	})
	var got int64
	for i := range b.N {
		for got < int64(i+1)*int64(responseBytes) {
			n, err := c.Read(buf)
			if got += int64(n); err != nil {
				b.Fatal(err)
			}
		}
		<-ahead
	}
	wg.Wait()
	b.ReportMetric(float64(cpuTime(b)-used)/float64(b.N), "cpu-ns/op")
}

// cpuTime is what both ends have used, in ns: steadier than elapsed time where
// other programs run beside.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkEcho is one connection whose 64 KiB requests come back.
func BenchmarkEcho(b *testing.B) {
	body := make([]byte, 64<<10)
	for _, window := range []int{1, 5} {
		b.Run(fmt.Sprintf("ahead=%d", window), func(b *testing.B) {
			_, addr := startTCP(b, Config{}, func(r *Request) Reply { return r.Respond(Part{Bytes: r.Body}) })
			roundTrips(b, addr, produce(1, body), 4+len(body), window)
		})
	}
}

// BenchmarkProduce is the shape of a producer: 64 KiB in, 50 bytes out, with
// and without a wait for the disk in between.
func BenchmarkProduce(b *testing.B) {
	body := make([]byte, 64<<10)
	for name, h := range map[string]handlerFunc{
		"ready": func(r *Request) Reply { return r.Respond(Part{Bytes: r.Buffer(50)[:50]}) },
		"queued": func(r *Request) Reply {
			r.Respond(Part{Bytes: r.Buffer(50)[:50]})
			return (*queuedReply)(&r.ready)
		},
	} {
		b.Run(name, func(b *testing.B) {
			_, addr := startTCP(b, Config{}, h)
			roundTrips(b, addr, produce(1, body), 54, 5)
		})
	}
	b.Run("floor", func(b *testing.B) {
		addr := startFloor(b, func(c *net.TCPConn) error {
			buf := make([]byte, 4+framePlus+len(body))
			for {
				if _, err := io.ReadFull(c, buf); err != nil {
					return err
				}
				if _, err := c.Write(buf[:54]); err != nil {
					return err
				}
			}
		})
		roundTrips(b, addr, produce(1, body), 54, 5)
	})
}

// queuedReply is a readyReply that does not say so.
type queuedReply readyReply

func (q *queuedReply) Await(ctx context.Context) (Response, error) {
	return (*readyReply)(q).Await(ctx)
}

// BenchmarkSmall is the request of a heartbeat's size.
func BenchmarkSmall(b *testing.B) {
	for _, window := range []int{1, 50} {
		b.Run(fmt.Sprintf("ahead=%d", window), func(b *testing.B) {
			_, addr := startTCP(b, Config{}, echo)
			roundTrips(b, addr, metadata(1, make([]byte, 60)), 68, window)
		})
	}
}

// startFloor serves one connection with nothing but f.
func startFloor(b *testing.B, f func(*net.TCPConn) error) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				f(c.(*net.TCPConn))
			})
		}
	})
	b.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// BenchmarkFileParts is the shape of a consumer: a head of 100 bytes and 1 MiB
// of file, beside a plain loop of sendfile over the same bytes.
func BenchmarkFileParts(b *testing.B) {
	const rangeBytes = 1 << 20
	f, _ := tempFile(b, rangeBytes)
	head := make([]byte, 100)
	request := metadata(1, make([]byte, 100))
	b.Run("wire", func(b *testing.B) {
		_, addr := startTCP(b, Config{}, fileHandler(f, head, rangeBytes, 1))
		roundTrips(b, addr, request, 4+len(head)+rangeBytes, 2)
	})
	b.Run("floor", func(b *testing.B) {
		addr := startFloor(b, func(c *net.TCPConn) error { return sendfileLoop(c, f, len(request), len(head), rangeBytes) })
		roundTrips(b, addr, request, 4+len(head)+rangeBytes, 2)
	})
}

// fileHandler answers with head and count ranges of rangeBytes.
func fileHandler(f *os.File, head []byte, rangeBytes, count int) handlerFunc {
	fd := f.Fd()
	parts := make([]Part, count)
	for i := range parts {
		parts[i] = Part{Bytes: head, File: FileRange{Reader: f, Fd: fd, HasFd: true, Length: int64(rangeBytes)}}
	}
	reply := Ready(Response{Parts: parts})
	return func(*Request) Reply { return reply }
}

func sendfileLoop(c *net.TCPConn, f *os.File, requestBytes, headBytes, rangeBytes int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	fd := int(f.Fd())
	request, head := make([]byte, requestBytes), make([]byte, 4+headBytes)
	for {
		if _, err := io.ReadFull(c, request); err != nil {
			return err
		}
		if _, err := c.Write(head); err != nil {
			return err
		}
		var position int64
		if err := raw.Write(func(out uintptr) bool {
			for position < int64(rangeBytes) && err == nil {
				if _, err = unix.Sendfile(int(out), fd, &position, rangeBytes-int(position)); err == unix.EAGAIN {
					err = nil
					return false
				}
			}
			return true
		}); err != nil {
			return err
		}
	}
}

// BenchmarkRangeSize shows from which size sendfile beats reading and sending
// together (smallRangeBytes): a response has 8 ranges, each behind 80 bytes.
func BenchmarkRangeSize(b *testing.B) {
	f, _ := tempFile(b, 1<<20)
	head := make([]byte, 80)
	for _, kib := range []int{2, 4, 8, 16, 24, 32, 64} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			_, addr := startTCP(b, Config{}, fileHandler(f, head, kib<<10, 8))
			roundTrips(b, addr, metadata(1, make([]byte, 100)), 4+8*(len(head)+kib<<10), 4)
		})
	}
}
