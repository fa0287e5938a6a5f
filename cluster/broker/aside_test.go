package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/partition"
	"weir/segment/vfs"
)

// TestSetAside: a replica whose folder was set aside while its broker was down, with its votes, is filled again by its
// group, and is in sync then; so is one whose setting aside was cut short before the folder had gone.
func TestSetAside(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	id := makeTopic(t, brokers, cluster.TopicSpec{Name: "t", Partitions: -1, Replicas: -1, Assignment: [][]int32{{1, 2, 3}, {3, 1, 2}}})
	cl := newClient(t, brokers)
	produceNumbers(t, cl, "t", 1, 100)
	inSync := func() bool {
		n := brokers[0].Node()
		for i := range int32(2) {
			if len(n.Leadership(n.TopicByID(id), i).ISR) < 3 {
				return false
			}
		}
		return true
	}
	brokertest.Eventually(t, "all replicas are in sync", inSync)
	data := brokers[2].Node().DataDir()
	replica := func(b *broker.Broker, index int32) *partition.Partition {
		p, err := b.Node().TopicByID(id).Replica(index)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	folder := filepath.Dir(replica(brokers[2], 0).Dir())
	brokertest.Stop(t, brokers[2])
	brokers[2] = nil

	if err := cluster.SetAside(vfs.OS, data, id, 0); err != nil {
		t.Fatal(err)
	}
	if err := cluster.SetAside(vfs.OS, data, id, 1); err != nil {
		t.Fatal(err)
	}
	aside, err := filepath.Glob(filepath.Join(data, cluster.DamagedFolder, "*-1.*"))
	if err != nil || len(aside) != 1 {
		t.Fatal(aside, err)
	}
	if err := os.Rename(aside[0], filepath.Join(folder, "1")); err != nil { // the rename that a crash has undone
		t.Fatal(err)
	}
	produceNumbers(t, cl, "t", 101, 200)
	brokers[2] = brokertest.StartIn(t, data, map[string]string{
		"node.id": "3", "peer.listener": "127.0.0.1:0", "peer.seeds": brokers[0].Node().PeerAddress(),
	})
	brokertest.Eventually(t, "the replicas have everything", func() bool {
		for i := range int32(2) {
			if replica(brokers[2], i).HighWatermark() < replica(brokers[0], i).HighWatermark() {
				return false
			}
		}
		return true
	})
	brokertest.Eventually(t, "all replicas are in sync again", inSync)
	brokertest.Stop(t, brokers[1]) // what the filled replica has now counts
	brokers[1] = nil
	produceNumbers(t, cl, "t", 201, 300)
	consumeNumbers(t, brokers[2:], "t", 300)
}
