//go:build !race

package wire

import (
	"io"
	"testing"
)

// A request that is answered at once costs no allocation, whatever its size;
// one that is queued costs none beyond its Reply. (The race detector makes
// pools forget, so this runs without it.)
func TestRequestsDoNotAllocate(t *testing.T) {
	f, _ := tempFile(t, 300_000)
	fd := f.Fd()
	parts := make([]Part, 1)
	handlers := map[string]handlerFunc{
		"echo": echo,
		"queued": func(r *Request) Reply {
			r.Respond(Part{Bytes: echoBytes(r)})
			return (*queuedReply)(&r.ready)
		},
		"file": func(r *Request) Reply {
			parts[0] = Part{Bytes: echoBytes(r), File: FileRange{Reader: f, Fd: fd, HasFd: true, Length: 300_000}}
			return r.Respond(parts[0])
		},
	}
	for name, h := range handlers {
		for _, size := range []int{0, 1000, 100_000} {
			_, addr := startTCP(t, Config{}, h)
			c := dial(t, addr)
			request := produce(1, make([]byte, size))
			copy(request[12:], []byte{0xFF, 0xFF}) // null client id: a name would be copied
			response := int64(4 + 4 + size + framePlus - 10)
			if name == "file" {
				response += 300_000
			}
			buf := make([]byte, response)
			got := testing.AllocsPerRun(500, func() {
				if _, err := c.Write(request); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					t.Fatal(err)
				}
			})
			if got >= 1 {
				t.Errorf("%s of %d bytes: %v allocations per request", name, size, got)
			}
		}
	}
}
