package command

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fakeCluster answers as a cluster of several brokers would, with whatever trouble a test wants to see in
// words. Moves end when the test lets them.
type fakeCluster struct {
	*cli
	mu         sync.Mutex
	controller int32
	brokers    []*fakeBroker
	partitions []*fakePartition
	asked      []string        // what changed something, in order
	without    []int16         // APIs that it does not speak
	slow       bool            // moves stay under way until settle
	sizes      map[int32]int64 // if not nil, of each partition on a broker that does not lead it
}

type fakeBroker struct {
	id     int32
	rack   string
	fenced bool
	set    map[string]string // its configuration
	listen net.Listener
}

type fakePartition struct {
	topic             string
	number, leader    int32
	replicas, isr, to []int32 // to: of a move that is under way
}

// newFakeCluster has brokers 1 to len(racks).
func newFakeCluster(t *testing.T, racks ...string) *fakeCluster {
	t.Helper()
	f := &fakeCluster{cli: &cli{t: t}, controller: 1}
	var wait sync.WaitGroup
	t.Cleanup(wait.Wait)
	for i, rack := range racks {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		f.brokers = append(f.brokers, &fakeBroker{id: int32(i + 1), rack: rack, listen: l, set: map[string]string{}})
		wait.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wait.Go(func() { f.serve(int32(i+1), c) })
			}
		})
	}
	f.addr = f.brokers[0].listen.Addr().String()
	return f
}

func (f *fakeCluster) add(topic string, number, leader int32, replicas, isr []int32) {
	f.partitions = append(f.partitions, &fakePartition{topic: topic, number: number, leader: leader, replicas: replicas, isr: isr})
}

// settle ends the moves that are under way.
func (f *fakeCluster) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.partitions {
		p.settle()
	}
}

func (p *fakePartition) settle() {
	if p.to != nil {
		p.replicas, p.isr, p.to = p.to, p.to, nil
		if !slices.Contains(p.replicas, p.leader) {
			p.leader = p.replicas[0]
		}
	}
}

func (f *fakeCluster) did() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// serve answers one connection of a broker until the client closes it.
func (f *fakeCluster) serve(broker int32, c net.Conn) {
	defer c.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
		correlation := b[4:8]
		client := int(int16(binary.BigEndian.Uint16(b[8:])))
		body := b[10+max(0, client):]
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if req.IsFlexible() {
			body = body[1:] // no tags
		}
		if err := req.ReadFrom(body); err != nil {
			f.t.Errorf("request %d version %d: %v", key, version, err)
			return
		}
		resp := f.answer(broker, req)
		resp.SetVersion(version)
		out := append(make([]byte, 4), correlation...)
		if resp.IsFlexible() && key != 18 {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (f *fakeCluster) answer(broker int32, req kmsg.Request) kmsg.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		resp := kmsg.NewPtrApiVersionsResponse()
		for key, top := range map[int16]int16{0: 9, 3: 12, 18: 5, 32: 4, 35: 4, 43: 2, 44: 1, 45: 0, 46: 0, 55: 2, 60: 2, 64: 0} {
			if slices.Contains(f.without, key) || key == 35 && f.sizes == nil {
				continue
			}
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = key, top
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
		return resp
	case *kmsg.MetadataRequest:
		return f.metadata(req)
	case *kmsg.DescribeClusterRequest:
		resp := kmsg.NewPtrDescribeClusterResponse()
		resp.ClusterID, resp.ControllerID = "fake", f.controller
		for _, b := range f.brokers {
			if b.fenced && !req.IncludeFencedBrokers {
				continue
			}
			out := kmsg.NewDescribeClusterResponseBroker()
			out.NodeID, out.IsFenced = b.id, b.fenced
			out.Host, out.Port = b.place()
			resp.Brokers = append(resp.Brokers, out)
		}
		return resp
	case *kmsg.ListPartitionReassignmentsRequest:
		return f.moves()
	case *kmsg.AlterPartitionAssignmentsRequest:
		return f.move(req)
	case *kmsg.ElectLeadersRequest:
		resp := kmsg.NewPtrElectLeadersResponse()
		for _, t := range req.Topics {
			for _, n := range t.Partitions {
				p := f.find(t.Topic, n)
				p.leader = p.replicas[0]
				f.asked = append(f.asked, fmt.Sprintf("elect %s[%d]", t.Topic, n))
			}
		}
		return resp
	case *kmsg.UnregisterBrokerRequest:
		f.asked = append(f.asked, fmt.Sprintf("unregister %d", req.BrokerID))
		f.brokers = slices.DeleteFunc(f.brokers, func(b *fakeBroker) bool { return b.id == req.BrokerID })
		return kmsg.NewPtrUnregisterBrokerResponse()
	case *kmsg.DescribeQuorumRequest:
		return f.quorum()
	case *kmsg.DescribeLogDirsRequest:
		return f.logDirs(broker)
	case *kmsg.DescribeConfigsRequest:
		return f.describe(req)
	case *kmsg.IncrementalAlterConfigsRequest:
		return f.alter(req)
	}
	return req.ResponseKind()
}

func (b *fakeBroker) place() (host string, port int32) {
	addr := b.listen.Addr().(*net.TCPAddr)
	return addr.IP.String(), int32(addr.Port)
}

func (f *fakeCluster) find(topic string, number int32) *fakePartition {
	for _, p := range f.partitions {
		if p.topic == topic && p.number == number {
			return p
		}
	}
	return nil
}

// full is all replicas of a partition, those to come and those to go included.
func (p *fakePartition) full() []int32 {
	all := slices.Clone(p.replicas)
	for _, id := range p.to {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

func without(list, others []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(list), func(id int32) bool { return slices.Contains(others, id) })
}

func (f *fakeCluster) metadata(req *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID, resp.ControllerID = kmsg.StringPtr("fake"), f.controller
	for _, b := range f.brokers {
		if b.fenced {
			continue
		}
		out := kmsg.NewMetadataResponseBroker()
		out.NodeID = b.id
		out.Host, out.Port = b.place()
		if b.rack != "" {
			out.Rack = &b.rack
		}
		resp.Brokers = append(resp.Brokers, out)
	}
	for _, p := range f.partitions {
		if req.Topics != nil && !slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.Topic != nil && *t.Topic == p.topic }) {
			continue
		}
		i := slices.IndexFunc(resp.Topics, func(t kmsg.MetadataResponseTopic) bool { return *t.Topic == p.topic })
		if i < 0 {
			t := kmsg.NewMetadataResponseTopic()
			t.Topic, t.TopicID = &p.topic, [16]byte([]byte(fmt.Sprintf("%016s", p.topic)))
			i, resp.Topics = len(resp.Topics), append(resp.Topics, t)
		}
		out := kmsg.NewMetadataResponseTopicPartition()
		out.Partition, out.Leader, out.LeaderEpoch, out.Replicas, out.ISR = p.number, p.leader, 5, p.full(), p.isr
		if p.leader < 0 {
			out.ErrorCode = kerr.LeaderNotAvailable.Code
		}
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, out)
	}
	return resp
}

func (f *fakeCluster) moves() kmsg.Response {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	for _, p := range f.partitions {
		if p.to == nil {
			continue
		}
		t, out := kmsg.NewListPartitionReassignmentsResponseTopic(), kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		out.Partition, out.Replicas, out.AddingReplicas, out.RemovingReplicas = p.number, p.full(), without(p.to, p.replicas), without(p.replicas, p.to)
		t.Topic, t.Partitions = p.topic, append(t.Partitions, out)
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (f *fakeCluster) move(req *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	slices.SortFunc(req.Topics, func(a, b kmsg.AlterPartitionAssignmentsRequestTopic) int { return strings.Compare(a.Topic, b.Topic) })
	for _, t := range req.Topics {
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		slices.SortFunc(t.Partitions, func(a, b kmsg.AlterPartitionAssignmentsRequestTopicPartition) int {
			return int(a.Partition - b.Partition)
		})
		for _, p := range t.Partitions {
			to := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			to.Partition = p.Partition
			at := f.find(t.Topic, p.Partition)
			switch {
			case p.Replicas == nil && at.to == nil:
				to.ErrorCode = kerr.NoReassignmentInProgress.Code
			case p.Replicas == nil:
				f.asked = append(f.asked, fmt.Sprintf("cancel %s[%d]", t.Topic, p.Partition))
				at.to = nil
			default:
				f.asked = append(f.asked, fmt.Sprintf("move %s[%d] to %s", t.Topic, p.Partition, ids(p.Replicas)))
				if at.to = p.Replicas; !f.slow {
					at.settle()
				}
			}
			out.Partitions = append(out.Partitions, to)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (f *fakeCluster) quorum() kmsg.Response {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	t, p := kmsg.NewDescribeQuorumResponseTopic(), kmsg.NewDescribeQuorumResponseTopicPartition()
	t.Topic, p.LeaderID, p.LeaderEpoch, p.HighWatermark = metadataTopic, f.controller, 7, 40
	for _, b := range f.brokers {
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		r.ReplicaID, r.LogEndOffset = b.id, 42-int64(b.id)
		if b.id != f.controller {
			r.LastFetchTimestamp, r.LastCaughtUpTimestamp = 9_000, 8_000
		}
		if b.id > 3 {
			p.Observers = append(p.Observers, r)
		} else {
			p.CurrentVoters = append(p.CurrentVoters, r)
		}
	}
	t.Partitions = append(t.Partitions, p)
	resp.Topics = append(resp.Topics, t)
	return resp
}

func (f *fakeCluster) address(id int32) string {
	host, port := f.brokers[id-1].place()
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// describe tells what was set, and nothing else.
func (f *fakeCluster) describe(req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for _, r := range req.Resources {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		for key, value := range f.named(r.ResourceName).set {
			c := kmsg.NewDescribeConfigsResponseResourceConfig()
			c.Name, c.Value, c.Source = key, &value, kmsg.ConfigSourceDynamicBrokerConfig
			out.Configs = append(out.Configs, c)
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

// named is the broker that a request for its configuration names.
func (f *fakeCluster) named(id string) *fakeBroker {
	for _, b := range f.brokers {
		if strconv.Itoa(int(b.id)) == id {
			return b
		}
	}
	return new(fakeBroker)
}

// alter takes whatever it is told. A broker that is drained hands over at once unless the cluster is slow.
func (f *fakeCluster) alter(req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	for _, r := range req.Resources {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		b := f.named(r.ResourceName)
		for _, c := range r.Configs {
			if c.Op == kmsg.IncrementalAlterConfigOpDelete {
				f.asked = append(f.asked, fmt.Sprintf("unset %s of %s", c.Name, r.ResourceName))
				delete(b.set, c.Name)
				continue
			}
			f.asked = append(f.asked, fmt.Sprintf("set %s=%s of %s", c.Name, *c.Value, r.ResourceName))
			b.set[c.Name] = *c.Value
		}
		resp.Resources = append(resp.Resources, out)
	}
	if !f.slow {
		f.handOver()
	}
	return resp
}

// logDirs gives a partition on its leader 10 MiB, and on the others what sizes says.
func (f *fakeCluster) logDirs(broker int32) kmsg.Response {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = "/data"
	for _, p := range f.partitions {
		t, out := kmsg.NewDescribeLogDirsResponseDirTopic(), kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		if t.Topic, out.Partition, out.Size = p.topic, p.number, f.sizes[broker]; p.leader == broker {
			out.Size = 10 << 20
		}
		t.Partitions = append(t.Partitions, out)
		dir.Topics = append(dir.Topics, t)
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp
}

// handOver has drained brokers lead nothing that another one could.
func (f *fakeCluster) handOver() {
	able := func(id int32) bool {
		return slices.ContainsFunc(f.brokers, func(b *fakeBroker) bool { return b.id == id && b.set["broker.drained"] == "" })
	}
	for _, p := range f.partitions {
		if i := slices.IndexFunc(p.isr, able); i >= 0 && !able(p.leader) {
			p.leader = p.isr[i]
		}
	}
}
