package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

// byteRate is a pflag.Value for bytes a second: 20MiB/s, 20MiB.
type byteRate struct{ sizeValue }

func (v *byteRate) Type() string { return "RATE" }

func (v *byteRate) String() string {
	if v.sizeValue == 0 {
		return ""
	}
	return v.sizeValue.String() + "/s"
}

func (v *byteRate) Set(s string) error {
	if err := v.sizeValue.Set(strings.TrimSuffix(s, "/s")); err != nil || v.sizeValue == 0 {
		return fmt.Errorf("%q is not a rate: write 500KiB/s or 20MiB/s", s)
	}
	return nil
}

// setThrottle sets the rate of all brokers that may lead a partition while it moves.
func (o *partitionMoveOptions) setThrottle(ctx context.Context, cl *connect.Client, v *clusterView, p partitionView) error {
	var brokers []int32
	for _, b := range v.brokers {
		if b.state != brokerGone && (slices.Contains(p.Replicas, b.id) || slices.Contains(o.to, b.id)) {
			brokers = append(brokers, b.id)
		}
	}
	value := strconv.FormatInt(int64(o.throttle.sizeValue), 10)
	return alterBrokers(ctx, cl, v, brokers, config.ThrottledRate, &value, "cannot throttle the move")
}

// liftThrottle unsets the rate of the brokers that have one of their own, as Kafka's tool does, once no partition moves but
// p, whose move has ended.
func liftThrottle(ctx context.Context, s *Streams, cl *connect.Client, p partitionView) error {
	v, err := readCluster(ctx, cl)
	if err != nil {
		return err
	}
	for _, other := range v.partitions {
		if len(other.Adding)+len(other.Removing) > 0 && other.String() != p.String() {
			s.note("the brokers that are throttled stay so while %v moves", other)
			return nil
		}
	}
	var brokers []int32
	for _, b := range v.brokers {
		if b.state != brokerUp {
			continue
		}
		if c := b.setting(ctx, cl, config.ThrottledRate); c != nil && c.Source == kmsg.ConfigSourceDynamicBrokerConfig {
			brokers = append(brokers, b.id)
		}
	}
	if len(brokers) == 0 {
		return nil
	}
	return alterBrokers(ctx, cl, v, brokers, config.ThrottledRate, nil, "cannot lift the throttle")
}

// copied is how much of a partition that moves its new replicas have, and are to have; false when brokers do not say.
func copied(ctx context.Context, cl *connect.Client, p partitionView) (have, want int64, ok bool) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	size := func(broker int32) int64 {
		dirs, err := cl.Admin.DescribeBrokerLogDirs(ctx, broker, nil)
		if err != nil {
			return 0
		}
		at, _ := dirs.LookupPartition(p.Topic, p.Number)
		return at.Size
	}
	if len(p.Adding) == 0 {
		return 0, 0, false
	}
	whole := size(p.Leader)
	for _, id := range p.Adding {
		have += min(size(id), whole)
		want += whole
	}
	return have, want, want > 0
}

// copying tells at stderr how far a move is, whenever another tenth of it is done.
type copying struct{ told int64 }

// tell is about the one partition of goals.
func (c *copying) tell(ctx context.Context, s *Streams, cl *connect.Client, v *clusterView, goals map[topicPartition][]int32) {
	for at := range goals {
		p, _ := v.partition(at.topic, at.partition)
		have, want, ok := copied(ctx, cl, p)
		if tenth := 1 + 10*have/max(want, 1); ok && tenth > c.told {
			c.told = tenth
			s.note("%v: %s of %s copied", p, output.Bytes(have), output.Bytes(want))
		}
	}
}
