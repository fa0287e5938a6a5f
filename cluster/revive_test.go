package cluster

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/partition"
	"weir/segment/vfs"
)

// startOn starts a node whose partitions are on a disk that fails as told.
func startOn(t *testing.T, dir string, inj *vfs.Injector) *Node {
	t.Helper()
	n, err := openOn(context.Background(), vfs.Inject(vfs.OS, inj), brokerConfig(t, dir, map[string]string{"log.write.timeout.ms": "500"}),
		[]metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitOffline waits until a topic's replica is offline, and awaitLed until it leads.
func awaitOffline(t *testing.T, n *Node, topic string) (why error) {
	t.Helper()
	awaitTrue(t, func() bool {
		_, why = n.Topic(topic).Replica(0)
		return why != nil
	})
	return why
}

func awaitLed(t *testing.T, n *Node, topic string) {
	t.Helper()
	awaitTrue(t, func() bool {
		_, err := n.Topic(topic).Partition(0)
		return err == nil
	})
}

func awaitTrue(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) { // it has no signal
		if time.Now().After(deadline) {
			t.Fatal("not in time")
		}
	}
}

func tryAppend(t *testing.T, topic *Topic) error {
	t.Helper()
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	return p.Propose(testBatch(t, time.Now(), "v"), partition.AcksAll).Wait(context.Background())
}

// TestDeletedWhileItCloses: a topic that is deleted while one of its replicas is being closed, to be opened again, goes when
// that is closed; nothing takes the disk for failed.
func TestDeletedWhileItCloses(t *testing.T) {
	inj, gate, dir := vfs.NewInjector(), vfs.NewGate(), t.TempDir()
	n := startOn(t, dir, inj)
	defer closeNode(t, n)
	topic := mustTopic(t, n, "t", 2, nil)
	appendRecord(t, topic, 0, time.Now(), "x")
	inj.Add(vfs.Rule{Kinds: vfs.OpTruncate, Path: "*.log", Gate: gate})
	topic.partitions[0].Retire(errors.New("for the test"))
	<-gate.Entered()
	deleteTopic(t, n, topic)
	there := func() bool {
		_, err := os.Stat(n.dir.topic(topic.ID))
		return err == nil
	}
	if !there() {
		t.Error("the folder has gone from under a log that is being closed")
	}
	gate.Open()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	eventually(t, ctx, "its folder has gone", func() bool { return !there() })
	select {
	case err := <-n.Fatal():
		t.Error("the node ends: ", err)
	default:
	}
}

// TestHungDisk: a partition whose disk hangs goes offline and says why, the others do not suffer, and
// it is led again when the disk comes back.
func TestHungDisk(t *testing.T) {
	inj, gate := vfs.NewInjector(), vfs.NewGate()
	defer gate.Open()
	n := startOn(t, t.TempDir(), inj)
	defer closeNode(t, n)
	hangs := mustTopic(t, n, "hangs", 1, nil)
	appendRecord(t, hangs, 0, time.Now(), "before")
	inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Gate: gate})
	var storage *partition.StorageError
	if err := tryAppend(t, hangs); !errors.As(err, &storage) {
		t.Errorf("its producer hears %v", err)
	}
	var offline *OfflineError
	var hang *partition.HungError
	if err := awaitOffline(t, n, "hangs"); !errors.As(err, &offline) || !errors.As(err, &hang) {
		t.Errorf("it is offline because of %v", err)
	}
	well := mustTopic(t, n, "well", 1, nil) // reconciles
	appendRecord(t, well, 0, time.Now(), "v")
	if _, err := n.Topic("hangs").Partition(0); !errors.As(err, &hang) {
		t.Errorf("it is offline because of %v", err)
	}
	gate.Open()
	awaitLed(t, n, "hangs")
	appendRecord(t, n.Topic("hangs"), 0, time.Now(), "after")
	if p, err := n.Topic("hangs").Partition(0); err != nil || p.LogEndOffset() < 2 {
		t.Errorf("the log is not what it was (%v)", err)
	}
}

// startWhenFree starts a node on a directory that an ending one may still have.
func startWhenFree(t *testing.T, dir string) *Node {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		n, err := Open(context.Background(), brokerConfig(t, dir, nil), []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
		var locked *LockedError
		if err == nil {
			return n
		}
		if !errors.As(err, &locked) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestStopWithHungDisk: a node stops although its disk does not come back, and the next start finds
// all that was acknowledged.
func TestStopWithHungDisk(t *testing.T) {
	for caching, name := range map[string]string{"false": "hangs before", "true": "hangs while it stops"} {
		t.Run(name, func(t *testing.T) {
			inj, gate, dir := vfs.NewInjector(), vfs.NewGate(), t.TempDir()
			defer gate.Open()
			n := startOn(t, dir, inj)
			topic := mustTopic(t, n, "t", 1, map[string]string{"write.caching": caching})
			appendRecord(t, topic, 0, time.Now(), "v")
			inj.Add(vfs.Rule{Kinds: vfs.OpSync, Path: "*.log", Times: -1, Gate: gate})
			if caching == "false" {
				if err := tryAppend(t, topic); err == nil {
					t.Error("acknowledged without a disk")
				}
				awaitOffline(t, n, "t")
			}
			began := time.Now()
			if err := n.Close(); err == nil {
				t.Error("closed cleanly")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the stop took %v", took)
			}
			gate.Open()
			n = startWhenFree(t, dir)
			defer closeNode(t, n)
			if p, err := n.Topic("t").Partition(0); err != nil || p.HighWatermark() < 1 {
				t.Errorf("what was acknowledged is gone (%v)", err)
			}
		})
	}
}
