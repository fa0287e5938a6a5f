package broker_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/recordbatch"
)

// casesPerVersion is how many frames are made of each version of each API.
const casesPerVersion = 20

// words are the strings that drawn requests are made of: what exists, what
// does not, and what must not.
var words = []string{"t", "g", "nope", "1", "", "..", "__consumer_offsets", "retention.ms", "a\xff\x00", strings.Repeat("long", 100)}

// drawer fills requests with values, legal ones and others.
type drawer struct {
	*rand.Rand
	batch []byte // a good one
}

// fill draws every field of a kmsg struct.
func (d *drawer) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" {
				d.fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.SetZero()
		if d.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			d.fill(v.Elem())
		}
	case reflect.Slice:
		d.fillSlice(v)
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(d.IntN(256)))
		}
	case reflect.String:
		v.SetString(words[d.IntN(len(words))])
	case reflect.Bool:
		v.SetBool(d.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat([]float64{0, 1, -1, 0.5, math.NaN(), math.Inf(1), math.MaxFloat64}[d.IntN(7)])
	default:
		bits := v.Type().Bits()
		v.SetInt([]int64{0, 1, -1, -2, 100, math.MaxInt64 >> (64 - bits), math.MinInt64 >> (64 - bits), d.Int64() >> (64 - bits)}[d.IntN(8)])
	}
}

func (d *drawer) fillSlice(v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b := append([]byte(nil), d.batch...)
		if d.IntN(2) == 0 {
			b = d.mutate(b)
		}
		v.SetBytes(b)
		return
	}
	n := d.IntN(4)
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		d.fill(v.Index(i))
	}
}

// mutate damages bytes in one of the ways that found bugs elsewhere.
func (d *drawer) mutate(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := d.IntN(len(b))
	switch d.IntN(6) {
	case 0: // one bit
		b[at] ^= 1 << d.IntN(8)
	case 1: // one byte at a bound
		b[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[d.IntN(5)]
	case 2: // a length that lies
		copy(b[at:], binary.BigEndian.AppendUint32(nil, uint32(d.Int64())>>d.IntN(32)))
	case 3: // a varint of five bytes
		copy(b[at:], []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	case 4:
		b = b[:at]
	case 5: // a piece twice
		b = append(b[:at:at], b[at/2:]...)
	}
	return b
}

// request draws a request of a version.
func (d *drawer) request(key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	d.fill(reflect.ValueOf(req).Elem())
	req.SetVersion(version)
	return req
}

// TestMutatedRequests sends drawn requests of every version of every API, most
// of them damaged, and looks for a broker that hangs, answers nonsense, panics
// or keeps something.
func TestMutatedRequests(t *testing.T) {
	v := newVictim(t, map[string]string{"max.partitions": "20", "max.incremental.fetch.session.cache.slots": "10"})
	v.healthy.createTopic("t", 2, nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	type sample struct {
		frame []byte
		api   protocol.API
	}
	var samples []sample
	batch := batchOf(t, plain, recordbatch.CodecNone, record("k", "v"))
	for _, api := range protocol.APIs() {
		for version := api.Floor; version <= api.Max; version++ {
			d := &drawer{rand.New(rand.NewPCG(seed, uint64(api.Key)<<16|uint64(version))), batch}
			for i := range casesPerVersion {
				frame := frameOf(d.request(api.Key, version), int32(len(samples)))
				if i > casesPerVersion/4 { // damage the body, keep the frame
					body := d.mutate(frame[4+10:])
					frame = framed(frame[4:4+10], body)
				}
				samples = append(samples, sample{frame, api})
			}
		}
	}
	if len(samples) < 2000 {
		t.Fatalf("%d cases", len(samples))
	}
	var answered atomic.Int64
	var wg sync.WaitGroup
	for from := range 8 {
		wg.Go(func() {
			for i := from; i < len(samples); i += 8 {
				answer, err := attackOnce(v.addr, samples[i].frame)
				if err != nil {
					t.Errorf("%s, frame %x: %v", samples[i].api.Name, samples[i].frame, err)
					return
				}
				if len(answer) == 0 {
					continue
				}
				answered.Add(1)
				if len(answer) < 8 || int(binary.BigEndian.Uint32(answer)) != len(answer)-4 ||
					binary.BigEndian.Uint32(answer[4:]) != binary.BigEndian.Uint32(samples[i].frame[8:]) {
					t.Errorf("%s, frame %x: answered by nonsense: %.40x", samples[i].api.Name, samples[i].frame, answer)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d cases, %d of them answered", len(samples), answered.Load())
	if answered.Load() < int64(len(samples))/10 {
		t.Errorf("only %d of %d cases were answered: they do not get far", answered.Load(), len(samples))
	}
	v.fds += 20 * openFilesPerPartition // of the topics that were made
	v.recovered()
}

// openFilesPerPartition bounds the files that an open partition holds.
const openFilesPerPartition = 4

func attackOnce(addr string, frame []byte) ([]byte, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return exchange(conn, frame)
}
