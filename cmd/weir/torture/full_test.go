//go:build torture

package torture

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"weir/cmd/weir/torture/history"
)

// filler is a producer of plain records, one at a time.
type filler struct {
	t      *testing.T
	b      *broker
	l      *load
	id     int
	topic  topic
	client *kgo.Client
	n      uint64 // records sent
	body   []byte
}

func newFiller(l *load, id int, to topic, bytes int) *filler {
	f := &filler{t: l.t.(*testing.T), b: l.b, l: l, id: id, topic: to, body: make([]byte, bytes)}
	f.client = l.b.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(),
		kgo.MaxProduceRequestsInflightPerBroker(1), kgo.RecordDeliveryTimeout(time.Second), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	f.t.Cleanup(f.client.Close)
	return f
}

// put sends one record and waits for its answer.
func (f *filler) put() error {
	f.n++
	value := history.NewValue(f.id, f.n)
	r := &kgo.Record{Topic: f.topic.name, Partition: int32(f.n) % f.topic.partitions, Value: sealed(value, f.body)}
	at := f.topic.partition(r.Partition)
	f.l.record.Add(history.Event{Op: history.Send, Process: f.id, Partition: at, Value: value, Sum: sum(r)})
	err := f.client.ProduceSync(context.Background(), r).FirstErr()
	if err == nil {
		f.l.record.Add(history.Event{Op: history.Ack, Process: f.id, Partition: at, Value: value, Offset: r.Offset})
	}
	return err
}

// fill puts records until one is refused.
func (f *filler) fill() {
	f.t.Helper()
	began := time.Now()
	for f.put() == nil {
		if time.Since(began) > patience {
			f.t.Fatal("the disk does not get full")
		}
	}
}

// resumes wants a record to be taken soon.
func (f *filler) resumes(why string) {
	f.t.Helper()
	began := time.Now()
	for {
		err := f.put()
		if err == nil {
			f.t.Logf("%s: written again after %v", why, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > 10*time.Second {
			f.t.Fatalf("%s, and still: %v\n%s", why, err, tail(f.b.said(), 2000))
		}
	}
}

// TestFullDisk fills the file system under a broker: producers are stopped before
// it is full, everything acknowledged is read meanwhile, and writes go on when there is
// room, given from outside or by deleting records, before and after a kill, which
// the broker survives with not a byte left, too.
func TestFullDisk(t *testing.T) {
	needMount(t)
	disk := mountMemory(t, "size=64m")
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBroker(t, filepath.Join(disk, "data"))
	b.start()
	events := topic{name: "events", number: 1, partitions: 2, configs: []string{"segment.bytes", "4194304"}}
	b.createTopic(events.name, events.partitions, events.configs...)
	l := &load{t: t, b: b, topics: []topic{events}}
	f := newFiller(l, 1, events, 64<<10)

	f.fill()
	t.Logf("full after %d records of 64 KiB", f.n-1)
	stoppedInTime(t, b, disk)
	readsGoOn(t, l)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.resumes("room was made from outside")

	f.fill()
	stoppedInTime(t, b, disk)
	readsGoOn(t, l)
	deleteHalf(t, l, events)
	f.resumes("half of the records were deleted")

	f.fill()
	rest := filepath.Join(disk, "rest")
	takeRest(t, rest)
	b.kill()
	b.start() // on a disk without a single free byte
	readsGoOn(t, l)
	deleteHalf(t, l, events)
	f.resumes("half of the records were deleted after a kill")
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}

	b.stop()
	b.start()
	l.judge()
	b.kill()
}

// stoppedInTime wants room left on the disk, and none to have been missing. On a disk as small as this, what
// segments reserve ahead takes most of what is below the mark.
func stoppedInTime(t *testing.T, b *broker, disk string) {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	free, all := s.Bavail*uint64(s.Bsize), s.Blocks*uint64(s.Bsize)
	t.Logf("%d of %d KiB are left", free>>10, all>>10)
	if free == 0 || bytes.Contains(b.said(), []byte("the disk is full")) {
		t.Errorf("of %d KiB %d are left\n%s", all>>10, free>>10, tail(b.said(), 2000))
	}
}

// takeRest writes a file until nothing is free.
func takeRest(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, os.Getpagesize())
	for err == nil {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// readsGoOn judges everything so far while the disk is full.
func readsGoOn(t *testing.T, l *load) {
	t.Helper()
	now := &load{t: t, b: l.b, topics: l.topics}
	now.record.Add(l.record.Events()...)
	now.judge()
}

// deleteHalf moves the start of each partition half way to its end.
func deleteHalf(t *testing.T, l *load, topic topic) {
	t.Helper()
	b := l.b
	starts, ends := b.bounds(topic.name)
	offsets := kadm.Offsets{}
	for p := range topic.partitions {
		start, _ := starts.Lookup(topic.name, p)
		end, _ := ends.Lookup(topic.name, p)
		half := (start.Offset + end.Offset) / 2
		offsets.AddOffset(topic.name, p, half, -1)
		l.record.Add(history.Event{Op: history.Delete, Partition: topic.partition(p), Offset: half})
	}
	client := b.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := kadm.NewClient(client).DeleteRecords(ctx, offsets)
	if err == nil {
		err = r.Error()
	}
	if err != nil {
		t.Fatalf("delete records on a full disk: %v\n%s", err, tail(b.said(), 2000))
	}
}
