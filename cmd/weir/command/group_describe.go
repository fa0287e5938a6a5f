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
	"weir/cmd/weir/output"
)

type groupDescribeOptions struct {
	conn      connect.Options
	names     []string
	committed bool
	all       bool
	format    output.Format
}

func newGroupDescribe(s *Streams) *cobra.Command {
	var o groupDescribeOptions
	cmd := &cobra.Command{
		Use:   "describe GROUP...",
		Short: "Show the state, members and lag of consumer groups",
		Long: `Show what consumer groups are doing, who is in them, how many records each partition has that are not
committed yet (its lag), and how long the oldest of those has been waiting, by its own timestamp. Of the
settings those that are not the default are shown; --all shows the rest too.

  weir group describe billing
  weir group describe billing -o json`,
		Args:              needs(1),
		ValidArgsFunction: completeGroups(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runGroupDescribe(cmd.Context(), s, o)
		},
	}
	readCommittedFlag(cmd, &o.committed)
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "also the settings that are the default")
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// readCommittedFlag adds the flag that says what the group's consumers are given.
func readCommittedFlag(cmd *cobra.Command, committed *bool) {
	cmd.Flags().BoolVar(committed, "read-committed", false, "count what consumers with isolation.level=read_committed are given")
}

type groupDescription struct {
	Group        string           `json:"group"`
	State        string           `json:"state"`
	ProtocolType string           `json:"protocol_type"`
	Protocol     string           `json:"protocol"`
	Coordinator  int32            `json:"coordinator"`
	Lag          int64            `json:"lag"`                    // of partitions where it is known
	LagSeconds   float64          `json:"lag_seconds"`            // the longest of them
	Epoch        *int32           `json:"epoch,omitempty"`        // of a group of the consumer protocol
	TargetEpoch  *int32           `json:"target_epoch,omitempty"` // likewise
	Members      []groupMemberRow `json:"members"`
	Partitions   []groupLagRow    `json:"partitions"`
	Configs      []configRow      `json:"configs,omitempty"` // of group describe
}

type groupMemberRow struct {
	ID       string  `json:"member_id"`
	Instance *string `json:"instance_id"`
	Client   string  `json:"client_id"`
	Host     string  `json:"host"`
	Epoch    *int32  `json:"epoch,omitempty"` // of members of the consumer protocol, as are the rest
	Current  *string `json:"current,omitempty"`
	Target   *string `json:"target,omitempty"`
}

type groupLagRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Current   *int64 `json:"committed_offset"` // null: nothing is committed
	End       int64  `json:"end_offset"`
	Lag       *int64 `json:"lag"` // null: not known
	// LagSeconds is the age of the oldest record that is not committed, 0 where all are; null: not known.
	LagSeconds *float64 `json:"lag_seconds"`
	Member     string   `json:"member_id,omitempty"`
	Client     string   `json:"client_id,omitempty"`
	Host       string   `json:"host,omitempty"`
	Error      string   `json:"error,omitempty"`
}

func runGroupDescribe(ctx context.Context, s *Streams, o groupDescribeOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	described, err := readGroups(ctx, s, cl, o.names, o.committed)
	if err != nil {
		return err
	}
	settings, err := readSettings(ctx, cl, kmsg.ConfigResourceTypeGroupConfig, o.names, o.all)
	if err != nil {
		return err
	}
	for i := range described {
		described[i].Configs = settings[described[i].Group]
	}
	return writeDescriptions(s.Out, o.format, described)
}

// readGroups describes groups by name.
func readGroups(ctx context.Context, s *Streams, cl *connect.Client, names []string, committed bool) ([]groupDescription, error) {
	groups, err := knownGroups(ctx, cl, names)
	if err != nil {
		return nil, err
	}
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	if committed {
		if err := endAtStable(ctx, cl, groups); err != nil {
			return nil, err
		}
	}
	consumers, err := consumerGroups(ctx, cl, names)
	if err != nil {
		return nil, cl.Explain("cannot read the members of "+strings.Join(names, ", "), err)
	}
	described := make([]groupDescription, len(groups))
	for i, g := range groups {
		oldest, err := firstRecords(ctx, cl, unreadFrom(g), committed)
		if err != nil {
			return nil, err
		}
		described[i] = describeGroup(g)
		if c, ok := consumers[g.Group]; ok {
			described[i].addConsumers(c)
		}
		described[i].setAges(oldest, s.Now())
	}
	return described, nil
}

// endAtStable has the lag of groups end at the last stable offsets.
func endAtStable(ctx context.Context, cl *connect.Client, groups []kadm.DescribedGroupLag) error {
	var topics []string
	for _, g := range groups {
		for topic := range g.Lag {
			topics = append(topics, topic)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	ends, err := listOffsets(ctx, cl.Admin.ListCommittedOffsets, distinct(topics), false)
	if err != nil {
		return cl.Explain("cannot list the last stable offsets", err)
	}
	for _, g := range groups {
		for topic, partitions := range g.Lag {
			for n, l := range partitions {
				if end, ok := ends.Lookup(topic, n); ok && end.Err == nil && l.Err == nil {
					l.Lag -= l.End.Offset - end.Offset
					l.End, l.Lag = end, max(l.Lag, 0)
					partitions[n] = l
				}
			}
		}
	}
	return nil
}

// unreadFrom is where the unread records of a group begin, in partitions that have any.
func unreadFrom(g kadm.DescribedGroupLag) map[topicPartition]int64 {
	from := map[topicPartition]int64{}
	for _, l := range g.Lag.Sorted() {
		if l.Err == nil && l.Lag > 0 {
			from[topicPartition{l.Topic, l.Partition}] = max(l.Commit.At, l.Start.Offset)
		}
	}
	return from
}

// setAges fills in how long the oldest unread records have waited. A record from the future has not.
func (d *groupDescription) setAges(oldest map[topicPartition]unread, now time.Time) {
	for i := range d.Partitions {
		p := &d.Partitions[i]
		u, found := oldest[topicPartition{p.Topic, p.Partition}]
		switch {
		case p.Lag == nil, !found && *p.Lag > 0, found && !u.none && u.timestamp < 0: // not known
		case !found || u.none:
			p.LagSeconds = new(float64)
		default:
			age := max(float64(now.UnixMilli()-u.timestamp)/1000, 0)
			p.LagSeconds = &age
			d.LagSeconds = max(d.LagSeconds, age)
		}
	}
}

func describeGroup(g kadm.DescribedGroupLag) groupDescription {
	d := groupDescription{
		Group: g.Group, State: g.State, ProtocolType: g.ProtocolType, Protocol: g.Protocol, Coordinator: g.Coordinator.NodeID,
		Members: []groupMemberRow{}, Partitions: []groupLagRow{},
	}
	for _, m := range g.Members {
		d.Members = append(d.Members, groupMemberRow{ID: m.MemberID, Instance: m.InstanceID, Client: m.ClientID, Host: hostOf(m.ClientHost)})
	}
	for _, l := range g.Lag.Sorted() {
		row := groupLagRow{Topic: l.Topic, Partition: l.Partition, End: l.End.Offset}
		if l.Commit.At >= 0 {
			row.Current = &l.Commit.At
		}
		switch {
		case l.Err != nil:
			row.Error = l.Err.Error()
		case l.Lag >= 0:
			row.Lag = &l.Lag
			d.Lag += l.Lag
		}
		if l.Member != nil {
			row.Member, row.Client, row.Host = l.Member.MemberID, l.Member.ClientID, hostOf(l.Member.ClientHost)
		}
		d.Partitions = append(d.Partitions, row)
	}
	return d
}

// addConsumers adds what only groups of the consumer protocol have.
func (d *groupDescription) addConsumers(g kadm.DescribedConsumerGroup) {
	d.Epoch, d.TargetEpoch = &g.Epoch, &g.AssignmentEpoch
	members := make(map[string]kadm.ConsumerGroupMember)
	for _, m := range g.Members {
		members[m.MemberID] = m
	}
	for i := range d.Members {
		if m, ok := members[d.Members[i].ID]; ok {
			current, target := assigned(m.Assignment), assigned(m.TargetAssignment)
			d.Members[i].Epoch, d.Members[i].Current, d.Members[i].Target = &m.MemberEpoch, &current, &target
		}
	}
}

// writeMembers writes how far the members of a group of the consumer protocol have come.
func (d groupDescription) writeMembers(w io.Writer) error {
	rows := [][]string{{"MEMBER", "EPOCH", "CURRENT", "TARGET"}}
	for _, m := range d.Members {
		if m.Epoch != nil {
			rows = append(rows, []string{m.ID, strconv.Itoa(int(*m.Epoch)), *m.Current, *m.Target})
		}
	}
	return output.Rows(w, rows)
}

// hostOf takes away the slash that brokers put before an address.
func hostOf(host string) string {
	if len(host) > 1 && host[0] == '/' {
		return host[1:]
	}
	return host
}

// lag says in words how far behind the group is.
func (d *groupDescription) lag() string {
	if d.LagSeconds == 0 {
		return "lag " + output.Count(d.Lag)
	}
	return fmt.Sprintf("lag %s, waiting %s", output.Count(d.Lag), output.Span(seconds(d.LagSeconds)))
}

func (p *groupLagRow) waiting() string {
	if p.LagSeconds == nil {
		return ""
	}
	return output.Span(seconds(*p.LagSeconds))
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second))
}

func (d groupDescription) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s, %s, %s", d.Group, d.State, output.Plural(int64(len(d.Members)), "member"), d.lag())
	if d.Protocol != "" {
		fmt.Fprintf(w, ", %s", d.Protocol)
	}
	fmt.Fprintf(w, ", coordinator %d", d.Coordinator)
	if d.Epoch != nil {
		fmt.Fprintf(w, ", epoch %d, target of epoch %d", *d.Epoch, *d.TargetEpoch)
	}
	fmt.Fprintln(w)
	if d.Epoch != nil && len(d.Members) > 0 {
		if err := d.writeMembers(w); err != nil {
			return err
		}
	}
	if err := d.writePartitions(w); err != nil {
		return err
	}
	return writeSettings(w, d.Configs)
}

func (d groupDescription) writePartitions(w io.Writer) error {
	if len(d.Partitions) == 0 {
		return nil
	}
	known := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	rows := [][]string{{"TOPIC", "PARTITION", "CURRENT", "END", "LAG", "WAITING", "MEMBER", "CLIENT", "HOST"}}
	failed := slices.ContainsFunc(d.Partitions, func(p groupLagRow) bool { return p.Error != "" })
	if failed {
		rows[0] = append(rows[0], "ERROR")
	}
	for _, p := range d.Partitions {
		row := []string{p.Topic, strconv.Itoa(int(p.Partition)), known(p.Current), strconv.FormatInt(p.End, 10), known(p.Lag), p.waiting(), p.Member, p.Client, p.Host}
		if failed {
			row = append(row, p.Error)
		}
		rows = append(rows, row)
	}
	return output.Rows(w, rows)
}
