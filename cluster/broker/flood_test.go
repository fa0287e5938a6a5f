package broker_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/recordbatch"
)

// idleConnections is how many a test opens: as many as the limit on open files
// has room for, both ends being in this process, up to 5,000.
func idleConnections(t *testing.T) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if testing.Short() || limit.Cur < 12_000 {
		return min(2000, int(limit.Cur)/3)
	}
	return 5000
}

// TestIdleConnections: they cost little, also those that stopped in the middle
// of a request, and others are served.
func TestIdleConnections(t *testing.T) {
	v := newVictim(t, nil)
	n := idleConnections(t)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := heap()
	conns := make([]net.Conn, n)
	half := sized(90<<20, header(0, 9)...) // of a Produce of 90 MiB
	var wg sync.WaitGroup
	for from := range 8 {
		wg.Go(func() {
			for i := from; i < n; i += 8 {
				conn, err := net.Dial("tcp", v.addr)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = conn
				if i%4 == 0 {
					if _, err := conn.Write(half[:4+i%len(half)/2]); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	v.eventually("all are accepted", func() bool { return v.b.Stats().ConnectionsOpen.Load() == int64(n)+1 })
	v.check()
	if each := int64(heap()-before) / int64(n); each > 32<<10 {
		t.Errorf("an idle connection takes %d bytes, client side included", each)
	}
	for _, conn := range conns {
		if conn != nil {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	v.recovered()
}

// TestSlowReaders: clients that ask for much and read nothing hold no memory,
// and are forgotten when they go.
func TestSlowReaders(t *testing.T) {
	v := newVictim(t, nil)
	c := dial(t, v.addr)
	c.createTopic("t", 1, map[string]string{"max.message.bytes": "10000000"})
	const batch = 8 << 20
	for range 2 {
		p := c.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, recordbatch.Record{Timestamp: testTime, Value: make([]byte, batch)}))
		if p.ErrorCode != 0 {
			t.Fatal(protocol.ErrorCode(p.ErrorCode))
		}
	}
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	v.eventually("the producer is gone", func() bool { return v.b.Stats().ConnectionsOpen.Load() == 1 })
	runtime.GC()
	v.fds = openFiles(t)
	req := fetchRequest(11, "t", [16]byte{}, 0, 0)
	req.MaxBytes = 50 << 20
	req.Topics[0].Partitions[0].PartitionMaxBytes = 50 << 20
	frame := frameOf(req, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	already := v.b.Stats().Requests.Load()
	var readers []net.Conn
	for range 50 {
		conn := v.attack()
		for range 20 {
			if _, err := conn.Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		readers = append(readers, conn)
	}
	// Of each only the first is handled: its answer fills the socket.
	v.eventually("their requests have arrived", func() bool { return v.b.Stats().Requests.Load() >= already+50 })
	v.check()
	runtime.ReadMemStats(&after)
	if got := int64(after.HeapAlloc) - int64(before.HeapAlloc); got > 64<<20 {
		t.Errorf("%d answers of 16 MiB each take %d MiB of heap", 50*20, got>>20)
	}
	// One that reads in the end gets all of it.
	var size [4]byte
	if _, err := io.ReadFull(readers[0], size[:]); err != nil || binary.BigEndian.Uint32(size[:]) < 2*batch {
		t.Errorf("the answer has %d bytes (%v)", binary.BigEndian.Uint32(size[:]), err)
	} else if _, err := io.CopyN(io.Discard, readers[0], int64(binary.BigEndian.Uint32(size[:]))); err != nil {
		t.Error(err)
	}
	for _, conn := range readers {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	v.recovered()
}

// TestPipelineBeyondReadAhead: far more requests than are read ahead are all
// answered, in order.
func TestPipelineBeyondReadAhead(t *testing.T) {
	v := newVictim(t, nil)
	conn := v.attack()
	const n = 3000
	var sent []byte
	for i := range int32(n) {
		req := kmsg.NewPtrListOffsetsRequest() // waits for its turn; every third is answered at once
		req.Version = 5
		if i%3 == 0 {
			api := kmsg.NewPtrApiVersionsRequest()
			sent = append(sent, frameOf(api, i)...)
			continue
		}
		sent = append(sent, frameOf(req, i)...)
	}
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		written <- err
	}()
	for i := range uint32(n) {
		var head [8]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if got := binary.BigEndian.Uint32(head[4:]); got != i {
			t.Fatalf("answer %d is to request %d", i, got)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[:4]))-4); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	v.recovered()
}

// manyPartitions is a fetch of n partitions, most of which do not exist.
func manyPartitions(version int16, n int) *kmsg.FetchRequest {
	req := fetchRequest(version, "healthy", [16]byte{}, 0, 0)
	for i := 1; i < n; i++ {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes = int32(i), 1<<20
		p.CurrentLeaderEpoch, p.LastFetchedEpoch = -1, -1
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	return req
}

// TestFetchPartitionsLimit: 10,000 in one fetch are served, one more is not,
// be it in the request or in what a session has gathered.
func TestFetchPartitionsLimit(t *testing.T) {
	v := newVictim(t, nil)
	c := dial(t, v.addr)
	const most = 10_000
	if got := ask[*kmsg.FetchResponse](c, manyPartitions(11, most)); got.ErrorCode != 0 || len(got.Topics[0].Partitions) != most {
		t.Errorf("%v for %d partitions", protocol.ErrorCode(got.ErrorCode), len(got.Topics[0].Partitions))
	}
	if got := ask[*kmsg.FetchResponse](c, manyPartitions(11, most+1)); protocol.ErrorCode(got.ErrorCode) != protocol.CodeInvalidRequest || len(got.Topics) != 0 {
		t.Errorf("one more: %v", protocol.ErrorCode(got.ErrorCode))
	}
	if answer := v.sendAndRead(frameOf(manyPartitions(4, most+1), 1)); len(answer) != 0 {
		t.Error("version 4 has no place for an error, and was answered")
	}
	first := manyPartitions(11, most)
	first.SessionEpoch = 0
	opened := ask[*kmsg.FetchResponse](c, first)
	if opened.SessionID == 0 {
		t.Fatal("no session")
	}
	grow := fetchRequest(11, "healthy", [16]byte{}, most, 0)
	grow.SessionID, grow.SessionEpoch = opened.SessionID, 1
	if got := protocol.ErrorCode(ask[*kmsg.FetchResponse](c, grow).ErrorCode); got != protocol.CodeInvalidRequest {
		t.Errorf("a session that grows over it: %v", got)
	}
	if err := c.conn.Close(); err != nil {
		t.Error(err)
	}
	v.recovered()
}

// TestSessionSlots: clients beyond the slots are served without a session.
func TestSessionSlots(t *testing.T) {
	v := newVictim(t, map[string]string{"max.incremental.fetch.session.cache.slots": "2"})
	c := dial(t, v.addr)
	for i := range 5 {
		req := fetchRequest(11, "healthy", [16]byte{}, 0, 0)
		req.SessionEpoch = 0
		got := ask[*kmsg.FetchResponse](c, req)
		if got.ErrorCode != 0 || len(got.Topics[0].Partitions[0].RecordBatches) == 0 {
			t.Errorf("client %d: %v", i, protocol.ErrorCode(got.ErrorCode))
		}
		if (got.SessionID != 0) != (i < 2) {
			t.Errorf("client %d has session %d", i, got.SessionID)
		}
	}
	for _, x := range []struct {
		id, epoch int32
		want      protocol.ErrorCode
	}{
		{math.MaxInt32, 1, protocol.CodeFetchSessionIDNotFound},
		{-1, 7, protocol.CodeFetchSessionIDNotFound},
		{0, -2, protocol.CodeFetchSessionIDNotFound},
		{0, math.MinInt32, protocol.CodeFetchSessionIDNotFound},
	} {
		req := fetchRequest(11, "healthy", [16]byte{}, 0, 0)
		req.SessionID, req.SessionEpoch = x.id, x.epoch
		if got := protocol.ErrorCode(ask[*kmsg.FetchResponse](c, req).ErrorCode); got != x.want {
			t.Errorf("session %d epoch %d: %v, want %v", x.id, x.epoch, got, x.want)
		}
	}
	if err := c.conn.Close(); err != nil {
		t.Error(err)
	}
	v.recovered()
}

// TestParkedFetchesOfTheGone: fetches that park for clients that leave are
// given up at once, by a close as by half of one.
func TestParkedFetchesOfTheGone(t *testing.T) {
	v := newVictim(t, nil)
	req := fetchRequest(11, "healthy", [16]byte{}, 0, v.produced)
	req.MaxWaitMillis = math.MaxInt32
	var conns []net.Conn
	for i := range 200 {
		conn := v.attack()
		if _, err := conn.Write(frameOf(req, int32(i))); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	v.eventually("they are parked", func() bool { return v.b.Stats().RequestsHeld.Load() == int64(len(conns)) })
	for i, conn := range conns {
		end := conn.Close
		if i%2 == 0 {
			end = conn.(*net.TCPConn).CloseWrite
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	v.eventually("they are gone", func() bool { return v.b.Stats().ConnectionsOpen.Load() == 1 })
	for _, conn := range conns {
		_ = conn.Close()
	}
	v.recovered()
}

// TestRepeatedNames: what a request names twice is answered once; otherwise
// some bytes ask for an answer of any size.
func TestRepeatedNames(t *testing.T) {
	v := newVictim(t, nil)
	c := dial(t, v.addr)
	c.createTopic("wide", 100, nil)
	const group = "a group with a name"
	if got := commit(c, group, "wide", 0, 1, ""); got != 0 {
		t.Fatal(got)
	}
	const times = 20_000
	meta, configs := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrDescribeConfigsRequest()
	producers, offsets := kmsg.NewPtrDescribeProducersRequest(), kmsg.NewPtrOffsetFetchRequest()
	meta.Version, configs.Version, offsets.Version = 9, 4, 8
	configs.IncludeDocumentation, configs.IncludeSynonyms = true, true
	topic := kmsg.NewDescribeProducersRequestTopic()
	topic.Topic = "wide"
	for range times {
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = kmsg.StringPtr("wide")
		meta.Topics = append(meta.Topics, mt)
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, "wide"
		configs.Resources = append(configs.Resources, r)
		topic.Partitions = append(topic.Partitions, 3)
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		offsets.Groups = append(offsets.Groups, g)
	}
	producers.Topics = append(producers.Topics, topic)
	for _, req := range []kmsg.Request{meta, configs, producers, offsets} {
		sent, got := len(frameOf(req, 1)), 0
		id := c.send(req)
		frame := c.frame()
		if got = len(frame); got > 10*sent {
			t.Errorf("%T: %d bytes are answered by %d", req, sent, got)
		}
		if int32(binary.BigEndian.Uint32(frame)) != id {
			t.Fatal("not the answer")
		}
	}
	if err := c.conn.Close(); err != nil {
		t.Error(err)
	}
	v.fds = openFiles(t) // the topic's
	v.recovered()
}

// TestPartitionsTwice: CreatePartitions that names a topic twice does nothing.
func TestPartitionsTwice(t *testing.T) {
	v := newVictim(t, nil)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 2, 10_000
	for i := range int32(2) {
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = "healthy", 2+i
		req.Topics = append(req.Topics, topic)
	}
	for i, topic := range ask[*kmsg.CreatePartitionsResponse](v.healthy, req).Topics {
		if got := protocol.ErrorCode(topic.ErrorCode); got != protocol.CodeInvalidRequest {
			t.Errorf("mention %d: %v", i, got)
		}
	}
	if n := v.b.Node().Topic("healthy").NumPartitions(); n != 1 {
		t.Errorf("the topic has %d partitions", n)
	}
}

// TestParkedFetchKeepsNoFiles: what a fetch finds and does not send yet is
// given back when it looks again: a topic's files go with the topic.
func TestParkedFetchKeepsNoFiles(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it closes lost files, some time
	v := newVictim(t, nil)
	c := dial(t, v.addr)
	c.createTopic("t", 1, nil)
	fill(t, c, 1, "t")
	var conns []*rawClient
	for range 10 {
		parked := dial(t, v.addr)
		req := fetchRequest(11, "t", [16]byte{}, 0, 0)
		req.MaxWaitMillis, req.MinBytes = 60_000, 1<<20
		parked.send(req)
		conns = append(conns, parked)
	}
	v.eventually("they are parked", func() bool { return v.b.Stats().RequestsHeld.Load() == int64(len(conns)) })
	for i := range 3 { // each wakes them up
		c.produce("t", 0, -1, batchOf(t, plain, recordbatch.CodecNone, record("k", fmt.Sprint(i))))
	}
	for _, parked := range conns {
		_ = parked.conn.Close()
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TopicNames, del.TimeoutMillis = 5, []string{"t"}, 10_000
	if code := ask[*kmsg.DeleteTopicsResponse](c, del).Topics[0].ErrorCode; code != 0 {
		t.Fatal(protocol.ErrorCode(code))
	}
	if err := c.conn.Close(); err != nil {
		t.Error(err)
	}
	v.recovered()
}
