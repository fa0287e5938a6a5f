package command

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/config"
	"weir/cluster/space"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

// clusterView is what a cluster says of itself at one moment.
type clusterView struct {
	id         string
	controller int32 // -1: not known
	topics     int
	brokers    []brokerView    // sorted; also those that only partitions know of
	partitions []partitionView // sorted
}

// brokerState is what can be said of a broker from outside.
type brokerState string

const (
	brokerUp       brokerState = "up"
	brokerDrained  brokerState = "drained"   // it answers, and is to lead nothing and to get no replicas
	brokerNoAnswer brokerState = "no answer" // the cluster thinks that it lives, and it does not answer here
	brokerFenced   brokerState = "fenced"    // registered, and the controller has heard nothing of it for a while
	brokerGone     brokerState = "gone"      // not registered, or fenced where the cluster does not tell; partitions have replicas there
)

// answers says whether the broker does its work.
func (s brokerState) answers() bool { return s == brokerUp || s == brokerDrained }

type brokerView struct {
	id      int32
	address string
	rack    string
	state   brokerState
	lowDisk string // where its disk is low: what there is
}

type partitionView struct {
	Topic    string  `json:"topic"`
	Internal bool    `json:"internal"`
	Number   int32   `json:"partition"`
	Leader   int32   `json:"leader"` // -1: none
	Epoch    int32   `json:"leader_epoch"`
	Replicas []int32 `json:"replicas"` // the first is the preferred leader
	InSync   []int32 `json:"in_sync"`
	Offline  []int32 `json:"offline"`
	Adding   []int32 `json:"adding,omitempty"`   // of a move that is under way
	Removing []int32 `json:"removing,omitempty"` // of a move that is under way

	Leaderless      bool `json:"leaderless"`
	UnderReplicated bool `json:"under_replicated"`
}

func (p partitionView) String() string { return fmt.Sprintf("%s[%d]", p.Topic, p.Number) }

// goal is where the replicas are to be when a move that is under way has ended.
func (p partitionView) goal() []int32 {
	return slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return slices.Contains(p.Removing, id) })
}

func (v *clusterView) broker(id int32) (brokerView, bool) {
	i := slices.IndexFunc(v.brokers, func(b brokerView) bool { return b.id == id })
	if i < 0 {
		return brokerView{}, false
	}
	return v.brokers[i], true
}

func (v *clusterView) partition(topic string, number int32) (partitionView, bool) {
	i := slices.IndexFunc(v.partitions, func(p partitionView) bool { return p.Topic == topic && p.Number == number })
	if i < 0 {
		return partitionView{}, false
	}
	return v.partitions[i], true
}

// openCluster connects with the command's flags and reads what the cluster is. The client is the caller's to close.
func (s *Streams) openCluster(ctx context.Context, o *connect.Options) (*connect.Client, *clusterView, error) {
	cl, err := s.open(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	v, err := readCluster(ctx, cl)
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	return cl, v, nil
}

// readCluster asks for brokers and partitions. Which brokers are fenced and what moves only newer brokers
// tell; without it the rest is still worth having.
func readCluster(ctx context.Context, cl *connect.Client) (*clusterView, error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	m, err := cl.Admin.Metadata(ctx)
	if err != nil {
		return nil, cl.Explain("cannot see the cluster of "+cl.Seeds, err)
	}
	v := &clusterView{id: m.Cluster, controller: m.Controller, topics: len(m.Topics)}
	for _, b := range m.Brokers {
		v.addBroker(b.NodeID, b.Host, b.Port, b.Rack, brokerUp)
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeFencedBrokers = true
	if resp, err := req.RequestWith(ctx, cl); err == nil && resp.ErrorCode == 0 {
		for _, b := range resp.Brokers {
			if _, known := v.broker(b.NodeID); known {
				continue
			}
			state := brokerUp // it came between the two requests
			if b.IsFenced {
				state = brokerFenced
			}
			v.addBroker(b.NodeID, b.Host, b.Port, b.Rack, state)
		}
	}
	for _, t := range m.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			v.partitions = append(v.partitions, partitionView{
				Topic: t.Topic, Internal: t.IsInternal, Number: p.Partition, Leader: p.Leader, Epoch: p.LeaderEpoch,
				Replicas: p.Replicas, InSync: p.ISR, Offline: append([]int32{}, p.OfflineReplicas...),
				Leaderless: p.Leader < 0, UnderReplicated: len(p.ISR) < len(p.Replicas),
			})
			for _, id := range p.Replicas {
				if _, known := v.broker(id); !known {
					v.addBroker(id, "", 0, nil, brokerGone)
				}
			}
		}
	}
	if moves, err := listMoves(ctx, cl, nil); err == nil {
		for i := range v.partitions {
			p := &v.partitions[i]
			if move, moving := moves[topicPartition{p.Topic, p.Number}]; moving {
				p.Adding, p.Removing = move.AddingReplicas, move.RemovingReplicas
			}
		}
	}
	slices.SortFunc(v.brokers, func(a, b brokerView) int { return cmp.Compare(a.id, b.id) })
	return v, nil
}

func (v *clusterView) addBroker(id int32, host string, port int32, rack *string, state brokerState) {
	b := brokerView{id: id, state: state}
	if host != "" {
		b.address = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	if rack != nil {
		b.rack = *rack
	}
	v.brokers = append(v.brokers, b)
}

// pingTimeout bounds the wait for a broker's sign of life.
const pingTimeout = 3 * time.Second

// ping asks each broker that should live for a sign of it, by its own address, whether it is drained and whether its
// disk is low.
func (v *clusterView) ping(ctx context.Context, cl *connect.Client) {
	ctx, cancel := context.WithTimeout(ctx, min(cl.Timeout, pingTimeout))
	defer cancel()
	var wait sync.WaitGroup
	for i := range v.brokers {
		b := &v.brokers[i]
		if b.state != brokerUp {
			continue
		}
		wait.Go(func() {
			if _, err := cl.Broker(int(b.id)).Request(ctx, kmsg.NewPtrApiVersionsRequest()); err != nil {
				b.state = brokerNoAnswer
				return
			}
			if c := b.setting(ctx, cl, config.BrokerDrained); c != nil && strings.EqualFold(text(c.Value), "true") {
				b.state = brokerDrained
			}
			b.lowDisk = b.diskReason(ctx, cl)
		})
	}
	wait.Wait()
}

// diskReason says how much room a broker has whose disk is low, else nothing. The broker says whether it is, by
// calling its folder cordoned (KIP-1066).
func (b *brokerView) diskReason(ctx context.Context, cl *connect.Client) string {
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{} // of no partition
	resp, err := cl.Broker(int(b.id)).Request(ctx, req)
	if err != nil {
		return ""
	}
	for _, dir := range resp.(*kmsg.DescribeLogDirsResponse).Dirs {
		if !dir.IsCordoned {
			continue
		}
		reason := fmt.Sprintf("%s has %s free of %s", dir.Dir, output.Bytes(dir.UsableBytes), output.Bytes(dir.TotalBytes))
		if c := b.setting(ctx, cl, config.FreeBytesMin); c != nil {
			if mark, err := strconv.ParseInt(text(c.Value), 10, 64); err == nil {
				reason += fmt.Sprintf(", %s is %s", config.FreeBytesMin, output.Bytes(space.Mark(mark, dir.TotalBytes)))
			}
		}
		return reason
	}
	return ""
}

// setting is a configuration value of a broker, nil when it does not say: one of Kafka does not know Weir's own keys.
func (b *brokerView) setting(ctx context.Context, cl *connect.Client, key string) *kmsg.DescribeConfigsResponseResourceConfig {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.id)), []string{key}
	req.Resources = append(req.Resources, r)
	resp, err := cl.Broker(int(b.id)).Request(ctx, req)
	if err != nil {
		return nil
	}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for i := range r.Configs {
			if r.Configs[i].Name == key {
				return &r.Configs[i]
			}
		}
	}
	return nil
}

// listMoves are the partitions whose replicas are being moved, of all topics when of is nil.
func listMoves(ctx context.Context, cl *connect.Client, of []topicPartition) (map[topicPartition]kmsg.ListPartitionReassignmentsResponseTopicPartition, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis = int32(min(cl.Timeout.Milliseconds(), 1<<31-1))
	byTopic := map[string][]int32{}
	for _, at := range of {
		byTopic[at.topic] = append(byTopic[at.topic], at.partition)
	}
	for topic, partitions := range byTopic {
		t := kmsg.NewListPartitionReassignmentsRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	moves := map[topicPartition]kmsg.ListPartitionReassignmentsResponseTopicPartition{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if len(p.AddingReplicas)+len(p.RemovingReplicas) > 0 {
				moves[topicPartition{t.Topic, p.Partition}] = p
			}
		}
	}
	return moves, nil
}
