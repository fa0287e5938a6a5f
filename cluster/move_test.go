package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/partition"
	"weir/protocol/recordbatch"
	"weir/segment/vfs"
)

// smallSegments has a topic in several files.
var smallSegments = map[string]string{"segment.bytes": "300", "index.interval.bytes": "100"}

// values reads all records of a topic's only partition.
func values(t *testing.T, n *Node, topic string) (all []string) {
	t.Helper()
	awaitLed(t, n, topic)
	p, err := n.Topic(topic).Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	for next := p.LogStartOffset(); next < p.HighWatermark(); {
		r, err := p.Read(next, 1<<20, true)
		if err != nil || r.Bytes == 0 {
			t.Fatalf("read at %d: %v", next, err)
		}
		b, err := r.AppendTo(nil)
		if err = errors.Join(err, r.Release()); err != nil {
			t.Fatal(err)
		}
		next = r.NextOffset
		for len(b) > 0 {
			h, err := recordbatch.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			for record, err := range recordbatch.Records(b, 0) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, string(record.Value))
			}
			b = b[h.SizeBytes():]
		}
	}
	return all
}

// wantValues wants "0", "1", ... below count.
func wantValues(t *testing.T, n *Node, topic string, count int) {
	t.Helper()
	got := values(t, n, topic)
	if len(got) != count {
		t.Errorf("%d records, want %d", len(got), count)
	}
	for i, v := range got {
		if v != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, v)
		}
	}
}

// wantOnly wants the data of a topic's only partition in one folder, and nothing of moves anywhere.
func wantOnly(t *testing.T, n *Node, topic string, place int) {
	t.Helper()
	id := n.Topic(topic).ID
	if got := n.Folder(n.Topic(topic), 0); got != place {
		t.Errorf("%s is in folder %d, want %d", topic, got, place)
	}
	for i, f := range n.folders {
		if has, err := f.hasPartition(id, 0); err != nil || has != (i == place) {
			t.Errorf("folder %d has data: %v, %v; want them in folder %d", i, has, err, place)
		}
	}
	wantNoLeftover(t, n, id)
}

func wantNoLeftover(t *testing.T, n *Node, id [16]byte) {
	t.Helper()
	for _, f := range n.folders {
		for _, name := range []string{MovingFolder, TrashFolder} {
			entries, err := os.ReadDir(f.path(name))
			if err != nil {
				t.Error(err)
			}
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), hex.EncodeToString(id[:])) {
					t.Errorf("%s is left in %s of %s", e.Name(), name, f.root)
				}
			}
		}
	}
}

// produceValues appends "0", "1", ... below count to a topic's only partition.
func produceValues(t *testing.T, n *Node, topic string, count int) {
	t.Helper()
	for i := range count {
		appendRecord(t, n.Topic(topic), 0, time.Now(), fmt.Sprint(i))
	}
}

// startMoving is startOn with a disk that may take its time: all that is moved is synced.
func startMoving(t *testing.T, dir string, inj *vfs.Injector) *Node {
	t.Helper()
	n, err := openOn(context.Background(), vfs.Inject(vfs.OS, inj), brokerConfig(t, dir, nil),
		[]metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustMove(t *testing.T, n *Node, topic string, place int) {
	t.Helper()
	if err := n.MoveReplica(topic, 0, n.folders[place].root); err != nil {
		t.Fatal(err)
	}
}

// awaitMoves waits until no move is under way.
func awaitMoves(t *testing.T, n *Node) {
	t.Helper()
	awaitTrue(t, func() bool {
		n.moves.mu.Lock()
		defer n.moves.mu.Unlock()
		return len(n.moves.running) == 0
	})
}

// TestMoveUnderLoad: a replica goes through all folders while records come in, and loses none.
func TestMoveUnderLoad(t *testing.T) {
	_, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	mustTopic(t, n, "t", 1, smallSegments)
	var count atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			p, err := n.Topic("t").Partition(0)
			if err != nil {
				continue // it is being moved
			}
			err = p.Propose(testBatch(t, time.Now(), fmt.Sprint(count.Load())), partition.AcksAll).Wait(context.Background())
			switch {
			case err == nil:
				count.Add(1)
			case errors.Is(err, partition.ErrClosed):
				// Whether it came in is to be looked at, as an idempotent producer does.
				awaitLed(t, n, "t")
				if p, err := n.Topic("t").Partition(0); err == nil && p.LogEndOffset() > count.Load() {
					count.Add(1)
				}
			}
		}
	}()
	for _, place := range []int{1, 2, 0, 2} {
		was := count.Load()
		awaitTrue(t, func() bool { return count.Load() > was+20 })
		mustMove(t, n, "t", place)
		awaitMoves(t, n)
	}
	close(stop)
	<-stopped
	wantValues(t, n, "t", int(count.Load()))
	wantOnly(t, n, "t", 2)
	closeNode(t, n)

	n = openNode(t, setting, nil)
	defer closeNode(t, n)
	wantValues(t, n, "t", int(count.Load()))
	wantOnly(t, n, "t", 2)
}

// cloneFolders copies what a kill leaves of a node's folders, and returns the setting for them.
func cloneFolders(t *testing.T, dirs []string) string {
	t.Helper()
	for range 10 {
		root := t.TempDir()
		var clones []string
		var err error
		for i, dir := range dirs {
			to := filepath.Join(root, fmt.Sprint(i))
			err = errors.Join(err, os.CopyFS(to, os.DirFS(dir)))
			clones = append(clones, to)
		}
		if err == nil {
			return strings.Join(clones, ",")
		}
		if !errors.Is(err, fs.ErrNotExist) { // a removal that has begun before
			t.Fatal(err)
		}
	}
	t.Fatal("the folders do not come to rest")
	return ""
}

// namesChange are the operations between which a start can tell a difference; what happens within a copy is for package
// log to test.
const namesChange = vfs.OpMkdir | vfs.OpRename | vfs.OpRemove | vfs.OpSyncDir

// TestMoveKilled: at whichever change of a name the process is killed, the next start has one log, whole, and
// nothing beside it; where it is depends on how far the move was.
func TestMoveKilled(t *testing.T) {
	const count = 6
	arrived := false
	for at := 1; ; at++ {
		dirs, setting := threeFolders(t)
		inj, gate := vfs.NewInjector(), vfs.NewGate()
		n := startMoving(t, setting, inj)
		mustTopic(t, n, "t", 1, smallSegments)
		produceValues(t, n, "t", count)
		inj.Add(vfs.Rule{Kinds: namesChange, Nth: at, Times: -1, Gate: gate})
		moved := make(chan struct{})
		mustMove(t, n, "t", 1)
		go func() {
			defer close(moved)
			awaitMoves(t, n)
		}()
		select {
		case <-gate.Entered():
		case <-moved:
			inj.Clear()
			closeNode(t, n)
			if !arrived {
				t.Error("no crash found the replica moved")
			}
			t.Logf("%d crashes", at-1)
			return
		}
		clone := cloneFolders(t, dirs)
		gate.Open()
		<-moved
		wantOnly(t, n, "t", 1)
		closeNode(t, n)

		for range 2 { // and it stays so
			n = openNode(t, clone, nil)
			wantValues(t, n, "t", count)
			place := n.Folder(n.Topic("t"), 0)
			if place == 0 && arrived {
				t.Errorf("crash %d: it is back in the first folder", at)
			}
			arrived = place == 1
			wantOnly(t, n, "t", place)
			closeNode(t, n)
		}
		if t.Failed() {
			t.Fatalf("crash %d", at)
		}
	}
}

// TestMoveFails: whichever change of a name fails, the replica goes on in one of the folders, or its folder has
// failed and the next start has it, whole.
func TestMoveFails(t *testing.T) {
	const count = 6
	for at := 1; ; at++ {
		_, setting := threeFolders(t)
		inj := vfs.NewInjector()
		n := startMoving(t, setting, inj)
		mustTopic(t, n, "t", 1, smallSegments)
		produceValues(t, n, "t", count)
		broken := errors.New("the disk is gone")
		inj.Add(vfs.Rule{Kinds: namesChange | vfs.OpReadDir, Nth: at, Err: broken})
		before := len(inj.Trace())
		mustMove(t, n, "t", 2)
		awaitMoves(t, n)
		inj.Clear()
		var failed vfs.Op
		for _, op := range inj.Trace()[before:] {
			if op.Err != nil {
				failed = op
			}
		}
		if n.folders[2].failed() == nil && len(n.fatal) == 0 {
			n.reconcile(n.meta().Image()) // as the next look does, if it was the open that failed
			if _, err := n.Topic("t").Replica(0); err != nil {
				t.Fatalf("operation %d, %+v: %v", at, failed, err)
			}
			wantValues(t, n, "t", count)
		}
		_ = n.Close() // after a failure it says so
		n = openNode(t, setting, nil)
		if _, err := n.Topic("t").Replica(0); err != nil {
			t.Fatalf("operation %d, %+v: %v", at, failed, err)
		}
		wantValues(t, n, "t", count)
		if failed.Kind != vfs.OpRename || filepath.Base(filepath.Dir(failed.NewPath)) != TrashFolder { // else the original stays
			wantOnly(t, n, "t", n.Folder(n.Topic("t"), 0))
		}
		closeNode(t, n)
		if failed.Kind == 0 {
			t.Logf("%d failures", at-1)
			return
		}
		if t.Failed() {
			t.Fatalf("operation %d, %+v", at, failed)
		}
	}
}

// Where a move is held up: while the replica goes on, and when it has been closed.
var (
	inTheCopy = vfs.Rule{Kinds: vfs.OpTruncate, Nth: 2}
	inTheEnd  = vfs.Rule{Kinds: vfs.OpCreate, Path: "checkpoint"}
)

// moveHeld begins a move of a new topic from folder 0 to 1 and holds it up.
func moveHeld(t *testing.T, at vfs.Rule) (n *Node, gate *vfs.Gate, setting string) {
	t.Helper()
	_, setting = threeFolders(t)
	inj := vfs.NewInjector()
	gate = vfs.NewGate()
	t.Cleanup(gate.Open)
	n = startMoving(t, setting, inj)
	mustTopic(t, n, "t", 1, smallSegments)
	produceValues(t, n, "t", 20)
	at.Gate = gate
	inj.Add(at)
	mustMove(t, n, "t", 1)
	<-gate.Entered()
	return n, gate, setting
}

// TestMoveCalledOff: a wish for the folder where the replica is ends its move, and one for another folder leads there.
func TestMoveCalledOff(t *testing.T) {
	for to := range 3 {
		n, gate, _ := moveHeld(t, inTheCopy)
		if m, ok := n.Move(n.Topic("t"), 0); !ok || m.Folder != 1 || m.SizeBytes == 0 || m.Lag == 0 {
			t.Errorf("the move is at %+v, %v", m, ok)
		}
		appendRecord(t, n.Topic("t"), 0, time.Now(), "20") // it goes on meanwhile
		mustMove(t, n, "t", to)
		gate.Open()
		awaitMoves(t, n)
		wantOnly(t, n, "t", to)
		wantValues(t, n, "t", 21)
		if m, ok := n.Move(n.Topic("t"), 0); ok {
			t.Errorf("there is still a move: %+v", m)
		}
		closeNode(t, n)
	}
}

// TestTargetHangs: a replica whose target hangs when it has been closed is led again where it was, and nothing is left of
// the move when the disk comes back.
func TestTargetHangs(t *testing.T) {
	_, setting := threeFolders(t)
	inj, gate := vfs.NewInjector(), vfs.NewGate()
	n, err := openOn(context.Background(), vfs.Inject(vfs.OS, inj), brokerConfig(t, setting, map[string]string{"log.write.timeout.ms": "2000"}),
		[]metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNode(t, n)
	defer gate.Open()
	mustTopic(t, n, "t", 1, smallSegments)
	produceValues(t, n, "t", 20)
	at := inTheEnd
	at.Gate = gate
	inj.Add(at)
	mustMove(t, n, "t", 1)
	<-gate.Entered()
	awaitLed(t, n, "t")
	appendRecord(t, n.Topic("t"), 0, time.Now(), "20")
	gate.Open()
	awaitMoves(t, n)
	wantOnly(t, n, "t", 0)
	wantValues(t, n, "t", 21)
}

// TestTopicGoesWhileItMoves: nothing is left of it, and no folder is taken for failed.
func TestTopicGoesWhileItMoves(t *testing.T) {
	for _, at := range []vfs.Rule{inTheCopy, inTheEnd} {
		n, gate, _ := moveHeld(t, at)
		id := n.Topic("t").ID
		deleteTopic(t, n, n.Topic("t"))
		gate.Open()
		awaitMoves(t, n)
		awaitTrue(t, func() bool {
			_, directory, err := n.home(id, 0)
			return directory == nil && err == nil // the last of it is forgotten
		})
		for _, f := range n.folders {
			if _, err := os.Stat(f.topic(id)); !errors.Is(err, fs.ErrNotExist) || f.failed() != nil {
				t.Errorf("the topic is left in %s: %v, %v", f.root, err, f.failed())
			}
		}
		wantNoLeftover(t, n, id)
		closeNode(t, n)
	}
}

// TestStopWhileReplicaMoves: the node stops, and the replica is where it was.
func TestStopWhileReplicaMoves(t *testing.T) {
	for _, at := range []vfs.Rule{inTheCopy, inTheEnd} {
		n, gate, setting := moveHeld(t, at)
		stopped := make(chan error)
		go func() { stopped <- n.Close() }()
		<-n.ctx.Done()
		gate.Open()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		n = openNode(t, setting, nil)
		wantOnly(t, n, "t", 0)
		wantValues(t, n, "t", 20)
		closeNode(t, n)
	}
}

// TestMoveToFullDisk: the replica stays, and goes on.
func TestMoveToFullDisk(t *testing.T) {
	_, setting := threeFolders(t)
	inj := vfs.NewInjector()
	n := startMoving(t, setting, inj)
	defer closeNode(t, n)
	mustTopic(t, n, "t", 1, smallSegments)
	produceValues(t, n, "t", 20)
	inj.Add(vfs.Rule{Kinds: vfs.OpWrite, Path: "*.log", Nth: 3, Err: syscall.ENOSPC})
	mustMove(t, n, "t", 1)
	awaitMoves(t, n)
	wantOnly(t, n, "t", 0)
	if err := n.folders[1].failed(); err != nil {
		t.Error(err)
	}
	appendRecord(t, n.Topic("t"), 0, time.Now(), "20")
	wantValues(t, n, "t", 21)
}

// TestMoveChecks: what is refused, and what is there already.
func TestMoveChecks(t *testing.T) {
	dirs, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	defer closeNode(t, n)
	topic := mustTopic(t, n, "t", 1, nil)
	n.folders[2].fail(errors.New("the disk is gone"))
	var unknown *NoFolderError
	var failed *FolderError
	for name, x := range map[string]struct {
		topic string
		index int32
		path  string
		is    func(error) bool
	}{
		"no folder of the broker's": {"t", 0, dirs[0] + "x", func(err error) bool { return errors.As(err, &unknown) }},
		"failed":                    {"t", 0, dirs[2], func(err error) bool { return errors.As(err, &failed) }},
		"no such topic":             {"u", 0, dirs[1], func(err error) bool { return errors.Is(err, ErrUnknownPartition) }},
		"no such partition":         {"t", 1, dirs[1], func(err error) bool { return errors.Is(err, ErrUnknownPartition) }},
		"a negative one":            {"t", -1, dirs[1], func(err error) bool { return errors.Is(err, ErrUnknownPartition) }},
		"there already":             {"t", 0, dirs[0] + "/", func(err error) bool { return err == nil }},
	} {
		if err := n.MoveReplica(x.topic, x.index, x.path); !x.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m, ok := n.Move(topic, 0); ok {
		t.Errorf("there is a move: %+v", m)
	}
	n.moves.wish(partitionKey{topic.ID, 7}, n.folders[1])
	for i, want := range []int{1, 0} { // it is for once
		if f, err := n.choose(topic.ID, 7, map[*folder]int{n.folders[1]: 5}); err != nil || f != n.folders[want] {
			t.Errorf("choice %d is %v, %v", i, f.root, err)
		}
	}
}

// TestOldDataWhereAReplicaMoves: they go, and do not come back.
func TestOldDataWhereAReplicaMoves(t *testing.T) {
	_, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	topic := mustTopic(t, n, "t", 1, smallSegments)
	produceValues(t, n, "t", 20)
	for _, f := range n.folders[1:] {
		fillPartition(t, f.partition(topic.ID, 0))
	}
	mustMove(t, n, "t", 1)
	awaitMoves(t, n)
	for range 2 {
		wantOnly(t, n, "t", 1)
		wantValues(t, n, "t", 20)
		closeNode(t, n)
		n = openNode(t, setting, nil)
	}
	closeNode(t, n)
}
