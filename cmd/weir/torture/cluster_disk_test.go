//go:build torture

package torture

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// led is which partitions a broker leads now, as the history numbers them.
func (c *trio) led(i int) map[int32]bool {
	c.t.Helper()
	client := c.brokers[0].client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := map[int32]bool{}
	for _, to := range c.l.topics {
		topics, err := kadm.NewClient(client).ListTopics(ctx, to.name)
		if err != nil {
			c.t.Fatal(err)
		}
		for p, x := range topics[to.name].Partitions {
			if int(x.Leader) == i+1 {
				all[to.partition(p)] = true
			}
		}
	}
	return all
}

// TestClusterFullDisk fills the disk of one broker: others lead what it led, so
// that everything is written, and it catches up when there is room again.
func TestClusterFullDisk(t *testing.T) {
	needMount(t)
	disk := mountMemory(t, "size=192m")
	c := newTrioIn(t, newProxies(t), map[int]string{1: disk})
	c.begin()
	for range clusterCycles(t) {
		rest := filepath.Join(disk, "rest")
		takeRest(t, rest)
		led := len(c.led(1))
		t.Logf("full, leading %d partitions: all is written after %v", led, c.steady().Round(time.Millisecond))
		c.moment(3 * time.Second)
		if c.rng.IntN(2) == 0 {
			c.kill(1)
			c.launch(1)
			c.moment(3 * time.Second)
		}
		if err := os.Remove(rest); err != nil {
			t.Fatal(err)
		}
		select {
		case <-c.brokers[1].exited:
			t.Errorf("broker 2 ended with its disk full: %v\n%s", c.brokers[1].exit, tail(c.brokers[1].said(), 2000))
			c.launch(1)
		default:
		}
		c.recovered("full disk of broker", 1)
	}
	c.finish()
}

// alterTopic sets a value of a topic, once there is a controller that can.
func (c *trio) alterTopic(to topic, name, value string) {
	c.t.Helper()
	c.admin("alter "+to.name, func(ctx context.Context, a *kadm.Client) error {
		r, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: name, Value: &value}}, to.name)
		if err != nil {
			return err
		}
		one, err := r.On(to.name, nil)
		return cmp.Or(err, one.Err)
	})
}

// TestClusterHungDisk has the disk of one broker hang: others lead what it led,
// the controller too, and it takes part again when the disk comes back.
func TestClusterHungDisk(t *testing.T) {
	needMount(t)
	disk := newImage(t, 768)
	c := newTrioIn(t, newProxies(t), map[int]string{0: disk.dir}, "log.write.timeout.ms=2000")
	t.Cleanup(disk.thaw) // nothing that waits for the disk can be killed
	c.begin()
	for cycle := range clusterCycles(t) {
		led := len(c.led(0))
		disk.freeze()
		c.recovered(fmt.Sprintf("hung disk of the leader of %d", led), 0)
		began := time.Now()
		c.alterTopic(replicated[0], "retention.ms", fmt.Sprint(700_000_000+cycle))
		t.Logf("the controller takes changes after another %v", time.Since(began).Round(time.Millisecond))
		c.moment(3 * time.Second)
		disk.thaw()
		c.recovered("disk that hung", 0)
	}
	c.finish()
	if !bytes.Contains(c.brokers[0].said(), []byte("the disk has not come back")) {
		t.Error("the broker does not say why it led no more")
	}
	c.brokers[0].kill()
}

// losesPower is the end of a broker whose data are on the image.
func (c *trio) losesPower(i int, disk *image) {
	c.t.Helper()
	disk.losePower(c.brokers[i])
	if c.rng.IntN(2) == 0 {
		c.moment(500 * time.Millisecond) // it may notice
	}
	c.kill(i)
	disk.unmount()
	disk.mount()
	// The machine did not restart, the broker is to think that it did.
	if err := os.WriteFile(filepath.Join(c.brokers[i].data, "running"), []byte("another boot\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// TestClusterPowerLoss cuts the power of one broker. Everything acknowledged
// with acks=all is on the disks of a majority: so also when the others are not
// there, or have missed it, when the broker comes back.
func TestClusterPowerLoss(t *testing.T) {
	needMount(t)
	disk := newImage(t, 768)
	c := newTrioIn(t, newProxies(t), map[int]string{1: disk.dir})
	c.begin()
	for range clusterCycles(t) {
		c.losesPower(1, disk)
		c.recovered("without power", 1)
		c.launch(1)
		c.brokers[1].answers()
		c.steady()

		c.pause(0) // it misses what the two others acknowledge
		c.steady()
		c.moment(time.Second)
		c.losesPower(1, disk)
		c.kill(2)
		c.resume(0)
		c.moment(election)
		c.launch(1)
		c.recovered("of two, one missed something and one lost power", 0, 1)
		c.moment(election)
		c.launch(2)
		c.brokers[2].answers()
		c.steady()
	}
	c.damaged = 1
	c.finish()
	c.brokers[1].kill()
	disk.unmount()
}

// files are a broker's segments of a partition, oldest first.
func (c *trio) files(i int, to topic, p int32) (files []*segmentFile) {
	c.t.Helper()
	names, err := filepath.Glob(filepath.Join(c.brokers[i].data, "topics", hexID(c.ids[to.name]), fmt.Sprint(p), "*.log"))
	if err != nil || len(names) == 0 {
		c.t.Fatalf("no segments of %s-%d on broker %d: %v", to.name, p, i+1, err)
	}
	for _, name := range names {
		f := &segmentFile{t: c.t, path: name}
		if f.b, err = os.ReadFile(name); err != nil {
			c.t.Fatal(err)
		}
		at := segmentHeaderBytes
		for f.frames = []int{at}; at+12 < len(f.b); f.frames = append(f.frames, at) {
			n := int(binary.BigEndian.Uint32(f.b[at+8:]))
			if n == 0 {
				break
			}
			at += 12 + n
		}
		files = append(files, f)
	}
	return files
}

func hexID(id [16]byte) string { return hex.EncodeToString(id[:]) }

// lastBatch is the last frame with records of a file, nil for none.
func (f *segmentFile) lastBatch() []byte {
	for i := len(f.frames) - 2; i >= 0; i-- {
		if b := f.b[f.frames[i]:f.frames[i+1]]; b[16] == 2 {
			return b
		}
	}
	return nil
}

// TestClusterTornTail leaves parts of one more append in the log of a follower
// that was killed: it cuts them and catches up.
func TestClusterTornTail(t *testing.T) {
	c := newTrio(t, newProxies(t))
	c.begin()
	for range clusterCycles(t) {
		for _, share := range []float64{0.01, 0.5, 0.99} {
			i := c.rng.IntN(3)
			c.kill(i)
			for _, to := range replicated {
				for p := range to.partitions {
					files := c.files(i, to, p)
					last := files[len(files)-1]
					batch := bytes.Clone(last.lastBatch())
					if batch == nil {
						continue
					}
					next := binary.BigEndian.Uint64(batch) + uint64(binary.BigEndian.Uint32(batch[23:])) + 1
					binary.BigEndian.PutUint64(batch, next)
					// What is missing must not be zeros only, such as gzip ends with: the file has
					// them there, and the frame would be whole.
					whole := len(bytes.TrimRight(batch, "\x00"))
					torn := batch[:max(1, min(int(share*float64(len(batch))), whole-1))]
					if grow := last.end() + len(torn) - len(last.b); grow > 0 {
						last.b = append(last.b, make([]byte, grow)...)
					}
					copy(last.b[last.end():], torn)
					last.save()
				}
			}
			c.launch(i)
			c.brokers[i].answers()
			c.recovered("torn tails on", i)
		}
	}
	c.finish()
}

// TestClusterFlippedBits flips bits in the log of one replica while its broker
// is down, and has it be the only one that a third can learn from. It refuses,
// or gives an error; the bad bytes go to no consumer and no replica.
func TestClusterFlippedBits(t *testing.T) {
	outcomes := map[string]int{}
	for cycle := range clusterCycles(t) {
		t.Run(fmt.Sprint(cycle), func(t *testing.T) {
			c := newTrio(t, newProxies(t))
			c.begin()
			to, p := replicated[c.rng.IntN(len(replicated))], int32(c.rng.IntN(3))
			order := c.rng.Perm(3)
			bad, behind, good := order[0], order[1], order[2]
			c.damaged = bad
			c.kill(behind)
			c.steady()
			time.Sleep(2 * time.Second)
			c.steady()
			c.kill(bad)
			files := c.files(bad, to, p)
			f := files[max(0, len(files)-2)]
			if len(f.frames) < 3 {
				t.Skipf("%s holds nothing yet", f.path)
			}
			position, bit := f.checked(c.rng), byte(1)<<c.rng.IntN(8)
			for position < f.end()/2 { // the one that is behind lacks the second half
				position = f.checked(c.rng)
			}
			f.b[position] ^= bit
			f.save()
			c.kill(good)
			c.launch(bad)
			c.launch(behind)
			c.brokers[bad].answers()
			c.brokers[behind].answers()
			not := map[int32]bool{to.partition(p): true}
			c.steadyBut(not)
			time.Sleep(2 * election) // may replicate, may be read
			switch log := c.brokers[bad].said(); {
			case containsLine(log, "is offline"):
				outcomes[refused]++
			case containsLine(log, "bad bytes in the log", fmt.Sprintf("%q", to.name), filepath.Base(f.path)):
				outcomes["named by the leader, and not sent"]++
			case containsLine(log, "corrupt"), containsLine(log, "checksum"):
				outcomes[atReader]++
			case containsLine(c.brokers[behind].said(), "checksum is"):
				t.Errorf("the other replica was sent bad bytes:\n%s", tail(c.brokers[behind].said(), 2000))
			default:
				outcomes[silence]++
			}
			c.kill(bad)
			f.b[position] ^= bit
			now, err := os.ReadFile(f.path)
			if err != nil {
				t.Fatal(err)
			}
			now[position] ^= bit
			f.b = now
			f.save()
			c.launch(bad)
			c.launch(good)
			c.heal()
			c.recovered("flipped a bit on", bad)
			c.finish()
		})
	}
	t.Logf("outcomes: %v", outcomes)
}
