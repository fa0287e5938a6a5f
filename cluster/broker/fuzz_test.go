package broker_test

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"weir/cluster/broker/brokertest"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// FuzzBroker feeds bytes to a broker as one frame: it neither panics nor hangs,
// and takes no more memory than the frame's size allows.
func FuzzBroker(f *testing.F) {
	b := brokertest.Start(f, map[string]string{"max.partitions": "20"})
	batch, err := recordbatch.AppendBatch(nil, plain, recordbatch.CodecNone, []recordbatch.Record{record("k", "v")})
	if err != nil {
		f.Fatal(err)
	}
	for _, api := range protocol.APIs() {
		d := &drawer{rand.New(rand.NewPCG(1, uint64(api.Key))), batch}
		for _, version := range []int16{api.Floor, api.Max} {
			f.Add(frameOf(d.request(api.Key, version), 1)[4:])
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > 64<<10 {
			return // the same, only slower
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		if _, err := attackOnce(b.Addr(), framed(frame)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		runtime.ReadMemStats(&after)
		// The rest of the process allocates, too: opening 20 partitions most of all.
		if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20+uint64(200*len(frame)) {
			t.Errorf("%d bytes made the process allocate %d", len(frame), got)
		}
		if n := b.Stats().HandlerPanics.Load(); n != 0 {
			t.Fatalf("%d handlers panicked", n)
		}
	})
}
