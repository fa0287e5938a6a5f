package broker_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"weir/cluster"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/cluster/metadata"
	"weir/protocol"
	"weir/protocol/recordbatch"
)

// busyTopic is a topic that clients use until it is gone.
type busyTopic struct {
	t    *testing.T
	name string
	id   [16]byte

	mu    sync.Mutex
	codes map[string]map[protocol.ErrorCode]int // what was answered, by who asked
}

func (b *busyTopic) answered(who string, code int16) protocol.ErrorCode {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.codes[who] == nil {
		b.codes[who] = make(map[protocol.ErrorCode]int)
	}
	b.codes[who][protocol.ErrorCode(code)]++
	return protocol.ErrorCode(code)
}

func (b *busyTopic) count(who string, code protocol.ErrorCode) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.codes[who][code]
}

// use asks a broker again and again, until it says that there is no such topic.
func (b *busyTopic) use(who string, ask func() (code int16, err error)) {
	for b.t.Context().Err() == nil {
		code, err := ask()
		if err != nil {
			b.t.Errorf("%s: %v", who, err)
			return
		}
		switch b.answered(who, code) {
		case protocol.CodeUnknownTopicOrPartition, protocol.CodeUnknownTopicID:
			return
		case protocol.CodeNotLeaderOrFollower:
			<-time.After(10 * time.Millisecond) // clients take a pause, too
		}
	}
}

func (b *busyTopic) write(ctx context.Context, to *kgo.Broker, batch []byte, partition int32) (int16, error) {
	req := produceRequest(0, b.name, b.id, partition, -1, batch)
	req.TransactionID = nil
	resp, err := req.RequestWith(ctx, to)
	if err != nil {
		return 0, err
	}
	return resp.Topics[0].Partitions[0].ErrorCode, nil
}

func (b *busyTopic) read(ctx context.Context, from *kgo.Broker, partition int32) (int16, error) {
	req := fetchRequest(0, b.name, b.id, partition, 0)
	req.MaxWaitMillis, req.MinBytes = 50, 1<<20 // it is parked
	resp, err := req.RequestWith(ctx, from)
	if err != nil || resp.ErrorCode != 0 || len(resp.Topics) == 0 {
		return resp.ErrorCode, err
	}
	return resp.Topics[0].Partitions[0].ErrorCode, nil
}

// TestDeleteBusyTopic: a topic is deleted while it is written, read, compacted and moved, several times under one name.
// Clients hear that it is gone and nothing worse, by name or by id; nothing of it stays on disk, open or mapped; and
// what is made under its name is another topic, which works.
func TestDeleteBusyTopic(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, func(int) map[string]string {
		return map[string]string{"log.retention.check.interval.ms": "20", "log.cleaner.backoff.ms": "20"}
	})
	clients := map[string]*kgo.Client{ // the older versions know topics by name only
		"by name": newClient(t, brokers, kgo.MaxVersions(kversion.V2_8_0())),
		"by id":   newClient(t, brokers),
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var before [16]byte
	for range 2 {
		const partitions = 2
		id := makeTopic(t, brokers, cluster.TopicSpec{Name: "busy", Partitions: partitions, Replicas: 2, Configs: map[string]string{
			"cleanup.policy": "compact", "segment.bytes": "2000", "min.cleanable.dirty.ratio": "0",
		}})
		if id == before {
			t.Fatal("it has the id of the one before")
		}
		before = id
		b := &busyTopic{t: t, name: "busy", id: id, codes: make(map[string]map[protocol.ErrorCode]int)}
		var users sync.WaitGroup
		for who, cl := range clients {
			for _, node := range brokers {
				at := cl.Broker(int(node.Node().ID()))
				p := map[string]int32{"by name": 0, "by id": 1}[who]
				batch := batchOf(t, plain, recordbatch.CodecNone, record(who, strings.Repeat("v", 200)))
				users.Go(func() { b.use("writer "+who, func() (int16, error) { return b.write(t.Context(), at, batch, p) }) })
				users.Go(func() { b.use("reader "+who, func() (int16, error) { return b.read(t.Context(), at, p) }) })
			}
		}
		move := func() {
			var moves []metadata.Reassignment
			for p := range int32(partitions) {
				from := rng.Int32N(3)
				moves = append(moves, metadata.Reassignment{ID: id, Partition: p, Target: []int32{1 + from, 1 + (from+1)%3}})
			}
			if errs, err := brokers[0].Node().Reassign(t.Context(), moves, true); errors.Join(append(errs, err)...) != nil {
				t.Errorf("%v, %v", errs, err)
			}
		}
		for n := 0; n < 60; n += 20 {
			brokertest.Eventually(t, "it is written", func() bool { return b.count("writer by id", 0) > n && b.count("writer by name", 0) > n })
			move()
		}
		if _, err := brokers[0].Node().DeleteTopics(t.Context(), [][16]byte{id}); err != nil {
			t.Fatal(err)
		}
		users.Wait()
		for who, codes := range b.codes {
			for code, n := range codes {
				switch code {
				case protocol.CodeNone, protocol.CodeNotLeaderOrFollower, protocol.CodeUnknownTopicOrPartition, protocol.CodeUnknownTopicID:
				default:
					t.Errorf("%s heard %v, %d times", who, code, n)
				}
			}
		}
		if b.count("writer by id", protocol.CodeUnknownTopicID) == 0 || b.count("reader by name", protocol.CodeUnknownTopicOrPartition) == 0 {
			t.Errorf("they heard %v", b.codes)
		}
		brokertest.Eventually(t, "nothing is left of it", func() bool { return len(leftOf(t, brokers, id)) == 0 })
	}
	makeTopic(t, brokers, cluster.TopicSpec{Name: "busy", Partitions: 2, Replicas: 3})
	produceNumbers(t, clients["by id"], "busy", 1, 50)
	consumeNumbers(t, brokers, "busy", 50)
}

// leftOf names what there is of a topic in the data folders, and in this process: files that are open or mapped.
func leftOf(t *testing.T, brokers []*broker.Broker, id [16]byte) (left []string) {
	t.Helper()
	name := hex.EncodeToString(id[:])
	for _, b := range brokers {
		err := filepath.WalkDir(b.Node().DataDir(), func(path string, _ fs.DirEntry, err error) error {
			if strings.Contains(path, name) {
				left = append(left, path)
			}
			if os.IsNotExist(err) {
				err = nil // on its way out
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	open, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range open {
		if target, err := os.Readlink(fd); err == nil && strings.Contains(target, name) {
			left = append(left, "open: "+target)
		}
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, name) {
			left = append(left, "mapped: "+line)
		}
	}
	return left
}
