package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/log"
	"weir/segment/vfs"
)

// threeFolders are the data folders of one node.
func threeFolders(t *testing.T) (dirs []string, setting string) {
	t.Helper()
	root := t.TempDir()
	for i := range 3 {
		dirs = append(dirs, filepath.Join(root, fmt.Sprint(i)))
	}
	return dirs, strings.Join(dirs, ",")
}

// oneInEach makes three topics with a record each, one in each of three folders.
func oneInEach(t *testing.T, n *Node) {
	t.Helper()
	for i := range 3 {
		appendRecord(t, mustTopic(t, n, fmt.Sprint("t", i), 1, nil), 0, time.Now(), "v")
	}
}

// folderFor returns the topic whose only partition is in that folder, of those made for it.
func folderFor(t *testing.T, n *Node, place int) *Topic {
	t.Helper()
	for _, topic := range n.Topics() {
		if n.Folder(topic, 0) == place {
			return topic
		}
	}
	t.Fatalf("no partition is in folder %d", place)
	return nil
}

func contents(t *testing.T, topic *Topic, want int64) {
	t.Helper()
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.LogEndOffset(); got != want {
		t.Errorf("%s has %d records, want %d", topic.Name, got, want)
	}
}

// TestFoldersAreFilledAlike: each new replica goes where there are fewest, stays there, and goes with its topic.
func TestFoldersAreFilledAlike(t *testing.T) {
	dirs, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	topic := mustTopic(t, n, "t", 9, nil)
	count := func() (in [3]int) {
		for i := range 9 {
			in[n.Folder(topic, int32(i))]++
		}
		return in
	}
	if got := count(); got != [3]int{3, 3, 3} {
		t.Errorf("the folders have %v", got)
	}
	for i := range int32(9) {
		appendRecord(t, topic, i, time.Now(), "v")
	}
	placed := topic.folders
	closeNode(t, n)

	n = openNode(t, setting, nil)
	defer func() { closeNode(t, n) }()
	topic = n.Topic("t")
	for i, f := range topic.folders {
		if f.root != placed[i].root {
			t.Errorf("partition %d was in %s and is in %s", i, placed[i].root, f.root)
		}
		if f.recovery != log.RecoverClean {
			t.Errorf("%s recovers by %v", f.root, f.recovery)
		}
		if p, err := topic.Partition(int32(i)); err != nil || p.LogEndOffset() != 1 {
			t.Errorf("partition %d: %v", i, err)
		}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "topics", fmt.Sprintf("%x", topic.ID))); err != nil {
			t.Error(err)
		}
	}
	deleteTopic(t, n, topic)
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "topics", fmt.Sprintf("%x", topic.ID))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left in %s: %v", dir, err)
		}
	}
}

// TestFolderJoinsLater: a node with one folder is given another; what is in the first stays.
func TestFolderJoinsLater(t *testing.T) {
	dirs, _ := threeFolders(t)
	n := openNode(t, dirs[0], nil)
	appendRecord(t, mustTopic(t, n, "old", 1, nil), 0, time.Now(), "v")
	closeNode(t, n)
	n = openNode(t, dirs[0]+","+dirs[1], nil)
	defer closeNode(t, n)
	contents(t, n.Topic("old"), 1)
	if got := n.Folder(n.Topic("old"), 0); got != 0 {
		t.Errorf("the old topic is in folder %d", got)
	}
	if got := n.Folder(mustTopic(t, n, "new", 1, nil), 0); got != 1 {
		t.Errorf("the new topic is in folder %d", got)
	}
}

// TestFolderFailsAlone: a sync fails in one folder. What is in it is offline, nothing else is, new topics go
// elsewhere, and the next start has everything that was acknowledged.
func TestFolderFailsAlone(t *testing.T) {
	_, setting := threeFolders(t)
	inj := vfs.NewInjector()
	n := startOn(t, setting, inj)
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprint("t", i))
		appendRecord(t, mustTopic(t, n, names[i], 1, nil), 0, time.Now(), "before")
	}
	failing := folderFor(t, n, 1)
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Err: errors.New("the disk is gone")})
	if err := tryAppend(t, failing); err == nil {
		t.Error("a record that was not synced was acknowledged")
	}
	var bad *FolderError
	offline := 0
	for _, name := range names {
		if n.Folder(n.Topic(name), 0) == 1 {
			offline++
			awaitTrue(t, func() bool { _, err := n.Topic(name).Replica(0); return errors.As(err, &bad) })
			continue
		}
		appendRecord(t, n.Topic(name), 0, time.Now(), "beside")
	}
	if offline != 2 {
		t.Errorf("%d partitions were in the folder, want 2", offline)
	}
	for i := range 4 {
		if got := n.Folder(mustTopic(t, n, fmt.Sprint("new", i), 1, nil), 0); got == 1 {
			t.Error("a new topic went to the folder that has failed")
		}
	}
	select {
	case err := <-n.Fatal():
		t.Errorf("the node is to end: %v", err)
	default:
	}
	if got := n.Folders(); got[0].Err != nil || got[1].Err == nil || got[2].Err != nil || got[1].Free != -1 || got[2].Free <= 0 {
		t.Errorf("%+v", got)
	}
	closeNode(t, n)

	n = openNode(t, setting, nil)
	defer closeNode(t, n)
	for i, f := range n.folders {
		want := log.RecoverClean
		if i == 1 {
			want = log.RecoverProcessCrash
		}
		if f.recovery != want {
			t.Errorf("folder %d recovers by %v, want %v", i, f.recovery, want)
		}
	}
	for _, name := range names {
		awaitLed(t, n, name)
		p, err := n.Topic(name).Partition(0)
		if err != nil || p.LogEndOffset() < 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFolderThatCannotBeRead: at a start it fails alone, its partitions are not begun anew elsewhere, topics can be
// deleted meanwhile, and it is whole when it is back.
func TestFolderThatCannotBeRead(t *testing.T) {
	dirs, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	for i := range 6 {
		appendRecord(t, mustTopic(t, n, fmt.Sprint("t", i), 1, nil), 0, time.Now(), "v")
	}
	kept, gone := folderFor(t, n, 2).Name, ""
	for _, topic := range n.Topics() {
		if n.Folder(topic, 0) == 2 && topic.Name != kept {
			gone = topic.Name
		}
	}
	closeNode(t, n)
	away := dirs[2] + "-away"
	if err := os.Rename(dirs[2], away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dirs[2], nil, 0o644); err != nil { // no folder can be made there
		t.Fatal(err)
	}

	n = openNode(t, setting, nil)
	var bad *FolderError
	for _, topic := range n.Topics() {
		_, err := topic.Partition(0)
		if here := topic.Name != kept && topic.Name != gone; here && err != nil || !here && !errors.As(err, &bad) {
			t.Errorf("%s: %v", topic.Name, err)
		}
	}
	id := n.Topic(gone).ID
	deleteTopic(t, n, n.Topic(gone))
	closeNode(t, n)
	if err := errors.Join(os.Remove(dirs[2]), os.Rename(away, dirs[2])); err != nil {
		t.Fatal(err)
	}

	n = openNode(t, setting, nil)
	defer closeNode(t, n)
	contents(t, n.Topic(kept), 1)
	if _, err := os.Stat(n.folders[2].topic(id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a topic that was deleted meanwhile is still there: %v", err)
	}
}

// TestOnlyReplicaInLostFolder: nothing is begun anew for a partition whose only log is in a folder that is not named
// any more; with the folder named again it is as it was.
func TestOnlyReplicaInLostFolder(t *testing.T) {
	dirs, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	oneInEach(t, n)
	lost := folderFor(t, n, 1).Name
	closeNode(t, n)
	n = openNode(t, dirs[0]+","+dirs[2], nil)
	var folder *LostFolderError
	if _, err := n.Topic(lost).Partition(0); !errors.As(err, &folder) {
		t.Errorf("got %v, want LostFolderError", err)
	}
	closeNode(t, n)
	n = openNode(t, setting, nil)
	defer closeNode(t, n)
	contents(t, n.Topic(lost), 1)
}

// TestForeignFolders: a folder of another node, or another process's, or out of its place stops the start.
func TestForeignFolders(t *testing.T) {
	dirs, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	other := openNode(t, t.TempDir(), nil)
	defer closeNode(t, other)
	var locked *LockedError
	if _, err := Open(context.Background(), brokerConfig(t, filepath.Join(t.TempDir(), "x")+","+dirs[1], nil), nil, quiet); !errors.As(err, &locked) {
		t.Errorf("in use: %v", err)
	}
	closeNode(t, n)
	var meta *MetaError
	for name, setting := range map[string]string{
		"of another data directory": filepath.Join(t.TempDir(), "x") + "," + dirs[1],
		"a further one first":       dirs[1] + "," + dirs[0],
		"a first one further":       filepath.Join(t.TempDir(), "x") + "," + dirs[0],
	} {
		if _, err := Open(context.Background(), brokerConfig(t, setting, nil), nil, quiet); !errors.As(err, &meta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(context.Background(), brokerConfig(t, setting, map[string]string{"node.id": "2"}), nil, quiet); !errors.As(err, &meta) {
		t.Errorf("of another node: %v", err)
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), brokerConfig(t, filepath.Join(t.TempDir(), "y")+","+blocked, nil), nil, quiet); err == nil {
		t.Error("a new node began with less than it was given")
	}
	n = openNode(t, setting, nil)
	closeNode(t, n)
}

// TestFolderLeftOutByMistake: a replica whose folder is gone begins anew in another one. When the old one is there again
// and the new one is still empty, it goes back: all brokers may have been started without their folders. When something
// has come into the new one, that counts.
func TestFolderLeftOutByMistake(t *testing.T) {
	for _, filled := range []bool{false, true} {
		dirs, setting := threeFolders(t)
		n := openNode(t, setting, nil)
		oneInEach(t, n)
		name := folderFor(t, n, 1).Name
		closeNode(t, n)

		n = openNode(t, dirs[0]+","+dirs[2], nil)
		f := settleOneOfTwo(t, n, name)
		want := 1
		if filled {
			want = slices.Index(dirs, f.root)
			fillPartition(t, f.partition(n.Topic(name).ID, 0))
		}
		closeNode(t, n)

		for range 2 { // and it stays so
			n = openNode(t, setting, nil)
			if got := n.Folder(n.Topic(name), 0); got != want {
				t.Errorf("filled %v: it is in folder %d, want %d", filled, got, want)
			}
			if !filled {
				contents(t, n.Topic(name), 1)
			}
			closeNode(t, n)
		}
	}
}

// fillPartition makes a log with one entry.
func fillPartition(t *testing.T, dir string) {
	t.Helper()
	l, err := log.Open(log.Config{Dir: dir})
	if err == nil {
		_, err = l.Append([]log.Entry{{Kind: log.KindNoop, Epoch: 1}})
	}
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
}

// settleOneOfTwo finds a folder for a topic's only partition, as if it had a replica on another broker, too.
func settleOneOfTwo(t *testing.T, n *Node, name string) *folder {
	t.Helper()
	meta := *n.Topic(name).meta
	meta.Partitions = slices.Clone(meta.Partitions)
	meta.Partitions[0].Replicas = []int32{n.ID(), 99}
	f, err := n.settle(&Topic{Name: name, ID: meta.ID, meta: &meta}, 0, n.crowds)
	if err != nil || f == nil {
		t.Fatalf("%v, %v", f, err)
	}
	if was, err := n.dir.wasHere(meta.ID, 0); err != nil || !was {
		t.Errorf("that it was elsewhere is not known (%v)", err)
	}
	return f
}

// wantNoVote wants a partition's replica to be without its vote.
func wantNoVote(t *testing.T, f *folder, topic [16]byte, index int32) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(f.partition(topic, index), "no-vote")); err != nil {
		t.Errorf("the replica has its vote: %v", err)
	}
}

// TestDiskIsNotMounted: a node starts without one of its disks, begins a folder in the empty place, and puts a replica
// into it. With the disk there again the log of before is opened, and has no vote: what the replica acknowledged
// meanwhile is under the disk.
func TestDiskIsNotMounted(t *testing.T) {
	dirs, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	oneInEach(t, n)
	name := folderFor(t, n, 1).Name
	closeNode(t, n)
	disk := dirs[1] + "-disk"
	if err := os.Rename(dirs[1], disk); err != nil {
		t.Fatal(err)
	}

	n = openNode(t, setting, nil)
	f := settleOneOfTwo(t, n, name)
	if f != n.folders[1] {
		t.Errorf("it was put into %s", f.root)
	}
	fillPartition(t, f.partition(n.Topic(name).ID, 0))
	closeNode(t, n)
	if err := errors.Join(os.Rename(dirs[1], dirs[1]+"-below"), os.Rename(disk, dirs[1])); err != nil {
		t.Fatal(err)
	}

	var said bytes.Buffer
	n, err := Open(context.Background(), brokerConfig(t, setting, nil), []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}},
		slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Folder(n.Topic(name), 0); got != 1 {
		t.Errorf("it is in folder %d", got)
	}
	closeNode(t, n)
	if !strings.Contains(said.String(), "it has no vote until a leader has brought it up to date") { // being alone, it has regained it since
		t.Errorf("it has its vote: %s", said.String())
	}
}

// TestOldDataInTheWay: a replica that is put where an older log of it lies has no vote either, and a removal takes all logs.
func TestOldDataInTheWay(t *testing.T) {
	_, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	defer closeNode(t, n)
	topic := mustTopic(t, n, "t", 1, nil)
	const index = 7 // which is not there
	for _, f := range n.folders {
		fillPartition(t, f.partition(topic.ID, index))
	}
	f, err := n.choose(topic.ID, index, n.crowds())
	if err != nil {
		t.Fatal(err)
	}
	wantNoVote(t, f, topic.ID, index)
	n.removeLeft(topic, index)
	for _, f := range n.folders {
		if has, err := f.hasPartition(topic.ID, index); err != nil || has {
			t.Errorf("%s still has it (%v)", f.root, err)
		}
	}
	if home, directory, err := n.home(topic.ID, index); home != n.dir.folder || directory != nil || err != nil {
		t.Errorf("its folder is remembered: %x, %v", directory, err)
	}
}

// TestSetAsideIsNoted: what was set aside in a further folder is known to have been here also when that folder is gone
// after the next start.
func TestSetAsideIsNoted(t *testing.T) {
	dirs, setting := threeFolders(t)
	n := openNode(t, setting, nil)
	oneInEach(t, n)
	topic := folderFor(t, n, 1)
	closeNode(t, n)
	if err := SetAside(vfs.OS, dirs[1], topic.ID, 0); err != nil {
		t.Fatal(err)
	}
	n = openNode(t, setting, nil)
	defer closeNode(t, n)
	if was, err := n.dir.wasHere(topic.ID, 0); err != nil || !was {
		t.Errorf("it is not known that it was here (%v)", err)
	}
	if _, err := n.Topic(topic.Name).Partition(0); err == nil {
		t.Error("a replica that was set aside leads")
	}
}

// TestFolderIsReadOnly: a disk on which nothing can be made fails alone, and is not taken for one in use.
func TestFolderIsReadOnly(t *testing.T) {
	dirs, setting := threeFolders(t)
	closeNode(t, openNode(t, setting, nil))
	inj := vfs.NewInjector(vfs.Rule{Kinds: vfs.OpLock, Path: lockFile, Nth: 2, Err: fs.ErrPermission})
	n := startOn(t, setting, inj)
	defer closeNode(t, n)
	var locked *LockedError
	if got := n.Folders()[1]; got.Path != dirs[1] || !errors.Is(got.Err, fs.ErrPermission) || errors.As(got.Err, &locked) {
		t.Errorf("%+v", got)
	}
}
