package cluster

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/cluster/space"
	"weir/partition"
	"weir/segment/vfs"
)

// smallDisk is the system's file system, which says of its room what a test wants.
type smallDisk struct {
	vfs.FS
	free atomic.Int64
	err  atomic.Pointer[error]
}

const smallDiskBytes = 100 << 30

func (d *smallDisk) FreeBytes(string) (free, total int64, err error) {
	if err := d.err.Load(); err != nil {
		return 0, 0, *err
	}
	return d.free.Load(), smallDiskBytes, nil
}

func startOnDisk(t *testing.T, d *smallDisk) *Node {
	t.Helper()
	n, err := openOn(context.Background(), d, brokerConfig(t, t.TempDir(), nil), []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

// await waits until the node has seen how much room there is.
func (d *smallDisk) await(t *testing.T, n *Node, freeBytes int64, want space.Level) {
	t.Helper()
	d.free.Store(freeBytes)
	deadline := time.Now().Add(10 * time.Second)
	for s := n.Room(); s.Level != want || s.FreeBytes != freeBytes; s = n.Room() {
		if time.Now().After(deadline) {
			t.Fatalf("%+v, want level %d of %d bytes", s, want, freeBytes)
		}
		time.Sleep(time.Millisecond)
	}
}

// propose sends a batch, and returns what becomes of it.
func propose(t *testing.T, topic *Topic) error {
	t.Helper()
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	return p.Propose(testBatch(t, time.Now(), "v"), partition.AcksAll).Wait(t.Context())
}

// TestLowDisk: below the mark producers are refused, below a quarter of it groups and transactions, too; what lets go
// of records is not, and with room again everything goes on by itself.
func TestLowDisk(t *testing.T) {
	d := &smallDisk{FS: vfs.OS}
	d.free.Store(smallDiskBytes)
	n := startOnDisk(t, d)
	topic := mustTopic(t, n, "t", 1, nil)
	other := mustTopic(t, n, "other", 1, nil)
	own, err := n.EnsureInternalTopic(t.Context(), metadata.OffsetsTopic)
	if err != nil {
		t.Fatal(err)
	}
	takes := func(topic *Topic) {
		t.Helper()
		if err := propose(t, topic); err != nil {
			t.Errorf("%s: %v", topic.Name, err)
		}
	}
	refuses := func(topic *Topic, freeBytes int64) {
		t.Helper()
		var storage *partition.StorageError
		var full *NoRoomError
		if err := propose(t, topic); !errors.As(err, &storage) || !errors.As(err, &full) || *full != (NoRoomError{n.ID(), freeBytes, 1 << 30}) {
			t.Errorf("%s: got %v, want *NoRoomError of %d bytes", topic.Name, err, freeBytes)
		}
	}
	takes(topic)
	takes(own)

	d.await(t, n, 1<<30-1, space.Low)
	refuses(topic, 1<<30-1)
	takes(own)
	if !slices.Equal(n.lowDisks(), []int32{n.ID()}) {
		t.Errorf("the brokers with low disks are %v", n.lowDisks())
	}
	results, err := n.CreateTopics(t.Context(), []TopicSpec{
		{Name: "here", Partitions: -1, Replicas: -1, Assignment: [][]int32{{n.ID()}}}, {Name: "anywhere", Partitions: 1, Replicas: 1},
	}, false)
	var invalid *metadata.InvalidAssignmentError
	if err != nil || !errors.As(results[0].Err, &invalid) || results[1].Err != nil {
		t.Errorf("topics on a low disk: %v, %+v", err, results)
	}

	d.await(t, n, 1<<28-1, space.Critical)
	refuses(topic, 1<<28-1)
	refuses(own, 1<<28-1)
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.EndTransaction(t.Context(), partition.Marker{ProducerID: 1, CoordinatorEpoch: 1}); err != nil {
		t.Errorf("a marker: %v", err)
	}
	if start, err := p.DeleteRecords(t.Context(), 1); err != nil || start != 1 {
		t.Errorf("deletion of records: %v, start %d", err, start)
	}
	deleteTopic(t, n, other)

	d.await(t, n, 5<<28, space.Ample)
	takes(topic)
	takes(own)
}

// TestLeadsWithRoomAgain: a replica that is alone, and stopped leading since nothing could be written, leads again as soon
// as the disk has room.
func TestLeadsWithRoomAgain(t *testing.T) {
	inj := vfs.NewInjector()
	d := &smallDisk{FS: vfs.Inject(vfs.OS, inj)}
	d.free.Store(smallDiskBytes)
	n := startOnDisk(t, d)
	topic := mustTopic(t, n, "t", 1, nil)
	if err := propose(t, topic); err != nil {
		t.Fatal(err)
	}
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	inj.Add(vfs.Rule{Kinds: vfs.OpWrite, Path: "*.log", Times: -1, Err: syscall.ENOSPC})
	d.await(t, n, 0, space.Critical)
	if _, err := p.EndTransaction(t.Context(), partition.Marker{ProducerID: 1, CoordinatorEpoch: 1}); err == nil {
		t.Error("a marker was taken by a full disk")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	eventually(t, ctx, "it leads no more", func() bool { _, leads := p.Leading(); return !leads })
	inj.Clear()
	d.await(t, n, smallDiskBytes, space.Ample)
	eventually(t, ctx, "it leads again", func() bool {
		topic := n.TopicByID(topic.ID)
		if p, err := topic.Partition(0); err != nil || p == nil {
			return false
		}
		return propose(t, topic) == nil
	})
}

// TestUnknownRoom: a file system that does not say how much room it has stops nobody.
func TestUnknownRoom(t *testing.T) {
	d := &smallDisk{FS: vfs.OS}
	failed := errors.ErrUnsupported
	d.err.Store(&failed)
	n := startOnDisk(t, d)
	topic := mustTopic(t, n, "t", 1, nil)
	if err := propose(t, topic); err != nil {
		t.Error(err)
	}
	d.err.Store(nil)
	d.await(t, n, 0, space.Critical)
	d.err.Store(&failed)
	deadline := time.Now().Add(10 * time.Second)
	for propose(t, topic) != nil {
		if time.Now().After(deadline) {
			t.Fatal("refused for want of room that nobody knows of")
		}
	}
}

// TestTakenBetweenLooks: what is taken after a look counts at once, and has the next look come early.
func TestTakenBetweenLooks(t *testing.T) {
	r := newRoom()
	r.own.Store(&space.State{Level: space.Ample, FreeBytes: 1500, MarkBytes: 1000})
	r.left.Store(500)
	for i, x := range []struct {
		bytes int
		want  space.Level
		early bool
	}{{200, space.Ample, false}, {200, space.Ample, true}, {100, space.Ample, true}, {1, space.Low, true}} {
		if got := r.take(x.bytes, space.Low); got.Level != x.want {
			t.Errorf("batch %d: level %d, want %d", i, got.Level, x.want)
		}
		select {
		case <-r.look:
			if !x.early {
				t.Errorf("batch %d: a look that is not needed", i)
			}
		default:
			if x.early {
				t.Errorf("batch %d: no look", i)
			}
		}
	}
	r.own.Store(new(space.State)) // no mark
	if got := r.take(1<<30, space.Low); got.Level != space.Ample {
		t.Errorf("without a mark: %+v", got)
	}
}

// TestOtherDisks: a leader goes by what a majority of its replicas' brokers have said last, for as long as that holds.
func TestOtherDisks(t *testing.T) {
	n := startNode(t, nil)
	says := func(from int32, s space.State) {
		t.Helper()
		if _, err := n.handleRoom(t.Context(), from, encodeRoom(s)); err != nil {
			t.Fatal(err)
		}
	}
	low := space.State{Level: space.Low, FreeBytes: 7, MarkBytes: 9}
	says(7, low)
	says(8, space.State{Level: space.Critical})
	if got := n.lowDisks(); len(got) != 2 || !slices.Contains(got, 7) || !slices.Contains(got, 8) {
		t.Errorf("low disks: %v", got)
	}
	said := *n.room.others.Load()
	if said[7].State != low {
		t.Errorf("broker 7 has said %+v", said[7])
	}
	says(7, space.State{})
	if got := n.lowDisks(); !slices.Equal(got, []int32{8}) {
		t.Errorf("low disks: %v", got)
	}
	for _, bad := range [][]byte{nil, {roomVersion}, append([]byte{roomVersion + 1}, encodeRoom(low)[1:]...), append([]byte{roomVersion, 3}, make([]byte, 16)...), append(encodeRoom(low), 0)} {
		if _, err := n.handleRoom(t.Context(), 7, bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}

	old := said[7]
	old.until = time.Now().Add(-time.Second)
	ample, critical := space.State{}, space.State{Level: space.Critical}
	me := n.ID()
	for i, x := range []struct {
		replicas []int32
		own      space.State
		others   map[int32]otherRoom
		limit    space.Level
		want     bool
	}{
		{[]int32{me}, ample, said, space.Low, true},
		{[]int32{me}, low, nil, space.Low, false},
		{[]int32{me}, low, nil, space.Critical, true},
		{[]int32{me, 7, 9}, ample, said, space.Low, true},
		{[]int32{me, 7, 8}, ample, said, space.Low, false},
		{[]int32{me, 7, 8}, ample, said, space.Critical, true},
		{[]int32{me, 7, 8}, critical, said, space.Critical, false},
		{[]int32{me, 5, 9}, critical, said, space.Critical, true}, // elsewhere
		{[]int32{me, 7}, ample, said, space.Low, false},
		{[]int32{me, 7}, ample, map[int32]otherRoom{7: old}, space.Low, true},
	} {
		has, other := majorityHasRoom(me, x.own, x.replicas, x.others, x.limit)
		if has != x.want || !has && len(x.replicas) > 1 && x.others[other].Level < x.limit {
			t.Errorf("%d: a majority has room: %t, and not broker %d", i, has, other)
		}
	}
	if err := n.full(1); err != nil {
		t.Errorf("a follower on a disk with room: %v", err)
	}
	n.room.own.Store(&space.State{Level: space.Critical, MarkBytes: 1 << 60})
	if err := n.full(1); !vfs.IsNoSpace(err) {
		t.Errorf("a follower on a full disk: %v", err)
	}
}
