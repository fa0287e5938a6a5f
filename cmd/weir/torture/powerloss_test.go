//go:build torture

package torture

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// safeLoad puts one broker under a load whose acknowledgements all promise the disk.
func safeLoad(t *testing.T, b *broker, seed uint64) *load {
	t.Helper()
	l := &load{t: t, b: b, pause: 5 * time.Millisecond, opts: []kgo.Opt{fitsSmallSegment}, topics: []topic{
		{name: "safe", number: 1, partitions: 3},
		{name: "small-segments", number: 2, partitions: 4, configs: []string{"segment.bytes", "65536"}},
	}}
	for _, t := range l.topics {
		b.createTopic(t.name, t.partitions, t.configs...)
	}
	l.start(seed, styles[:3]) // those of acks=all
	return l
}

// TestPowerLoss cuts the power of a real ext4 under load, time and again:
// what was acknowledged with acks=all, on topics without write.caching, and
// what a consumer was shown of them, is there when it comes back.
func TestPowerLoss(t *testing.T) {
	needMount(t)
	losses := setting(t, "WEIR_TORTURE_LOSSES", 5)
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 0))
	disk := newImage(t, 768)
	data := filepath.Join(disk.dir, "data")
	b := newBroker(t, data)
	b.start()
	l := safeLoad(t, b, s)
	ended := 0
	for range losses {
		time.Sleep(time.Duration(200+rng.IntN(800)) * time.Millisecond) // the moment is what is drawn
		disk.losePower(b)
		if rng.IntN(2) == 0 {
			// Left alone, the broker notices and ends by itself: it must
			// not acknowledge anything that no disk takes.
			select {
			case <-b.exited:
				ended++
			case <-time.After(patience):
				t.Errorf("the broker runs on without a disk")
			}
		}
		b.kill()
		disk.unmount()
		disk.mount()
		// The machine did not restart, the broker is to think that it did.
		if err := os.WriteFile(filepath.Join(data, "running"), []byte("another boot\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		b.start()
	}
	l.stopProducing()
	l.stopConsuming()
	report := l.judge()
	t.Logf("%d power losses, the broker ended by itself in %d of them", losses, ended)
	if report.Acked == 0 || report.Polled == 0 {
		t.Errorf("too little happened to show anything: %+v", report)
	}
	b.stop()
	disk.unmount()
}
