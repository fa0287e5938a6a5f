package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type topicDescribeOptions struct {
	conn   connect.Options
	names  []string
	regex  bool
	all    bool
	format output.Format
}

func newTopicDescribe(s *Streams) *cobra.Command {
	var o topicDescribeOptions
	cmd := &cobra.Command{
		Use:   "describe TOPIC...",
		Short: "Show the partitions, sizes and settings of topics",
		Long: `Show the partitions, sizes and settings of topics. Of the settings those that are not the default are
shown, with where each comes from; --all shows the rest too.

  weir topic describe orders
  weir topic describe -r '^orders' --all -o json`,
		Args:              needs(1),
		ValidArgsFunction: completeTopics(s, &o.conn, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runTopicDescribe(cmd.Context(), s, o)
		},
	}
	cmd.Flags().BoolVarP(&o.regex, "regex", "r", false, "the topics are regular expressions")
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "also the settings that are the default")
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

type topicDescription struct {
	Topic      string         `json:"topic"`
	ID         string         `json:"id"`
	Internal   bool           `json:"internal"`
	Records    int64          `json:"records"`
	SizeBytes  *int64         `json:"size_bytes"` // of one copy; null when the broker does not say
	Partitions []partitionRow `json:"partitions"`
	Configs    []configRow    `json:"configs"`
}

type partitionRow struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Epoch     int32   `json:"leader_epoch"`
	Replicas  []int32 `json:"replicas"`
	InSync    []int32 `json:"in_sync"`
	Offline   []int32 `json:"offline,omitempty"`
	Start     int64   `json:"start_offset"`
	End       int64   `json:"end_offset"`
	SizeBytes *int64  `json:"size_bytes"`
	Error     string  `json:"error,omitempty"`
}

type configRow struct {
	Key       string  `json:"key"`
	Value     *string `json:"value"`
	Source    string  `json:"source"`
	Sensitive bool    `json:"sensitive,omitempty"`
}

func runTopicDescribe(ctx context.Context, s *Streams, o topicDescribeOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	topics, err := findTopics(ctx, cl, o.names, o.regex, false)
	if err != nil {
		return err
	}
	described, err := describeTopics(ctx, cl, topics, o.all)
	if err != nil {
		return err
	}
	return writeDescriptions(s.Out, o.format, described)
}

func describeTopics(ctx context.Context, cl *connect.Client, topics []kadm.TopicDetail, all bool) ([]topicDescription, error) {
	where, err := peekPositions(ctx, cl, topics)
	if err != nil {
		return nil, err
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	var names []string
	set := kadm.TopicsSet{}
	for _, t := range topics {
		names = append(names, t.Topic)
		set.Add(t.Topic, t.Partitions.Numbers()...)
	}
	configs, err := cl.Admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, cl.Explain("cannot read the settings of "+strings.Join(names, ", "), err)
	}
	dirs, err := cl.Admin.DescribeAllLogDirs(ctx, set)
	if err != nil {
		dirs = nil // sizes are a convenience: not every broker tells them
	}
	described := make([]topicDescription, len(topics))
	for i, t := range topics {
		d := topicDescription{Topic: t.Topic, ID: topicID(t.ID), Internal: t.IsInternal, Configs: []configRow{}}
		for _, p := range t.Partitions.Sorted() {
			d.addPartition(p, where, dirs)
		}
		r, err := configs.On(t.Topic, nil)
		if err == nil {
			err = r.Err
		}
		if err != nil {
			return nil, fault.Explain(fmt.Sprintf("cannot read the settings of topic %q", t.Topic), err)
		}
		for _, c := range r.Configs {
			if all || c.Source != kmsg.ConfigSourceDefaultConfig {
				d.Configs = append(d.Configs, configRow{c.Key, c.Value, sourceWord(c.Source), c.Sensitive})
			}
		}
		slices.SortFunc(d.Configs, func(a, b configRow) int { return strings.Compare(a.Key, b.Key) })
		described[i] = d
	}
	return described, nil
}

func (d *topicDescription) addPartition(p kadm.PartitionDetail, where *positions, dirs kadm.DescribedAllLogDirs) {
	row := partitionRow{Partition: p.Partition, Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: p.Replicas, InSync: p.ISR, Offline: p.OfflineReplicas}
	b, err := where.bounds(d.Topic, p.Partition)
	if err != nil { // a partition without a leader has no offsets to show, and the rest is worth seeing
		row.Error = err.Error()
	}
	row.Start, row.End = b.Start, b.End
	d.Records += b.End - b.Start
	for _, dir := range dirs[p.Leader] {
		if of, ok := dir.Topics.Lookup(d.Topic, p.Partition); ok {
			row.SizeBytes = &of.Size
			sum := of.Size
			if d.SizeBytes != nil {
				sum += *d.SizeBytes
			}
			d.SizeBytes = &sum
		}
	}
	d.Partitions = append(d.Partitions, row)
}

func (d topicDescription) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s, %s", d.Topic, output.Plural(int64(len(d.Partitions)), "partition"), output.Plural(d.Records, "record"))
	if d.SizeBytes != nil {
		fmt.Fprintf(w, ", %s", output.Bytes(*d.SizeBytes))
	}
	fmt.Fprintf(w, ", id %s\n\n", d.ID)
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	err := output.List(w, output.Table, d.Partitions, []output.Column[partitionRow]{
		{Name: "PARTITION", Cell: func(p partitionRow) string { return number(int64(p.Partition)) }},
		{Name: "LEADER", Cell: func(p partitionRow) string {
			if p.Leader < 0 {
				return "none"
			}
			return number(int64(p.Leader))
		}},
		{Name: "EPOCH", Cell: func(p partitionRow) string { return number(int64(p.Epoch)) }},
		{Name: "REPLICAS", Cell: func(p partitionRow) string { return ids(p.Replicas) }},
		{Name: "IN-SYNC", Cell: func(p partitionRow) string { return ids(p.InSync) }},
		{Name: "START", Cell: func(p partitionRow) string { return number(p.Start) }},
		{Name: "END", Cell: func(p partitionRow) string { return number(p.End) }},
		{Name: "SIZE", Cell: func(p partitionRow) string {
			if p.SizeBytes == nil {
				return ""
			}
			return output.Bytes(*p.SizeBytes)
		}},
	})
	if err != nil {
		return err
	}
	return writeSettings(w, d.Configs)
}

func ids(list []int32) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = strconv.Itoa(int(n))
	}
	return strings.Join(words, ",")
}

// sourceWord says where a setting comes from.
func sourceWord(source kmsg.ConfigSource) string {
	switch source {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceGroupConfig:
		return "group"
	case kmsg.ConfigSourceDynamicBrokerConfig:
		return "broker"
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "cluster"
	case kmsg.ConfigSourceStaticBrokerConfig:
		return "broker file"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	}
	return strings.ToLower(source.String())
}

// settingText shows a value with its unit, where the name tells it: 604800000 (7d00h).
func settingText(key string, value *string, sensitive bool) string {
	switch {
	case sensitive:
		return "(hidden)"
	case value == nil:
		return "(null)"
	}
	n, err := strconv.ParseInt(*value, 10, 64)
	switch {
	case err != nil || n < 1000:
		return *value
	case n == 1<<63-1:
		return *value + " (no limit)"
	case strings.HasSuffix(key, ".ms") && n < int64(1<<63-1)/int64(time.Millisecond):
		return *value + " (" + output.Span(time.Duration(n)*time.Millisecond) + ")"
	case strings.HasSuffix(key, ".bytes"):
		return *value + " (" + output.Bytes(n) + ")"
	}
	return *value
}
