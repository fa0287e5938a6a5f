//go:build torture

package torture

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKill kills the broker at random moments under load, in its start too,
// and now and then stops it in order. After the last start everything that
// was acknowledged (acks=1 and acks=all, write.caching on and off) is there,
// unchanged, in order and without holes, and so is what consumers were shown.
func TestKill(t *testing.T) {
	cycles := setting(t, "WEIR_TORTURE_CYCLES", 25)
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 0))
	b := newBroker(t, filepath.Join(t.TempDir(), "data"), "log.retention.check.interval.ms=200")
	starts := []time.Duration{b.start()}
	l := &load{t: t, b: b, pause: 5 * time.Millisecond, opts: []kgo.Opt{fitsSmallSegment}, topics: []topic{
		{name: "safe", number: 1, partitions: 3},
		{name: "small-segments", number: 2, partitions: 4, configs: []string{"segment.bytes", "65536"}},
		{name: "cached", number: 3, partitions: 2, configs: []string{"write.caching", "true", "flush.ms", "50"}},
	}}
	for _, t := range l.topics {
		b.createTopic(t.name, t.partitions, t.configs...)
	}
	l.start(s, styles)
	kills, stops := 0, 0
	for kills < cycles {
		time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond) // the moment is what is drawn
		if rng.IntN(12) == 0 {
			b.stop()
			stops++
		} else {
			b.kill()
			kills++
		}
		for rng.IntN(6) == 0 { // killed again while it recovers
			b.launch()
			time.Sleep(time.Duration(rng.IntN(80)) * time.Millisecond)
			b.kill()
			kills++
		}
		starts = append(starts, b.start())
	}
	l.stopProducing()
	b.kill()
	b.start()
	l.stopConsuming()
	report := l.judge()
	slices.Sort(starts)
	t.Logf("%d kills, %d stops; until the first answer: median %v, longest %v", kills+1, stops,
		starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)-1].Round(time.Millisecond))
	if report.Acked < cycles || report.Polled < cycles {
		t.Errorf("too little happened to show anything: %+v", report)
	}
	for _, line := range b.complaints() {
		t.Errorf("the broker said: %s", line)
	}
}
