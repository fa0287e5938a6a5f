package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/output"
)

type groupDescribeOptions struct {
	conn   connect.Options
	names  []string
	format output.Format
}

func newGroupDescribe(s *Streams) *cobra.Command {
	var o groupDescribeOptions
	cmd := &cobra.Command{
		Use:   "describe GROUP...",
		Short: "Show the state, members and lag of consumer groups",
		Long: `Show what consumer groups are doing, who is in them, and how many records each partition has that are
not committed yet (its lag).

  weir group describe billing
  weir group describe billing -o json`,
		Args:              needs(1),
		ValidArgsFunction: completeGroups(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runGroupDescribe(cmd.Context(), s, o)
		},
	}
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

type groupDescription struct {
	Group        string           `json:"group"`
	State        string           `json:"state"`
	ProtocolType string           `json:"protocol_type"`
	Protocol     string           `json:"protocol"`
	Coordinator  int32            `json:"coordinator"`
	Lag          int64            `json:"lag"`                    // of partitions where it is known
	Epoch        *int32           `json:"epoch,omitempty"`        // of a group of the consumer protocol
	TargetEpoch  *int32           `json:"target_epoch,omitempty"` // likewise
	Members      []groupMemberRow `json:"members"`
	Partitions   []groupLagRow    `json:"partitions"`
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
	Member    string `json:"member_id,omitempty"`
	Client    string `json:"client_id,omitempty"`
	Host      string `json:"host,omitempty"`
	Error     string `json:"error,omitempty"`
}

func runGroupDescribe(ctx context.Context, s *Streams, o groupDescribeOptions) error {
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	groups, err := knownGroups(ctx, cl, o.names)
	if err != nil {
		return err
	}
	consumers := consumerGroups(ctx, cl, o.names)
	described := make([]groupDescription, len(groups))
	for i, g := range groups {
		described[i] = describeGroup(g)
		if c, ok := consumers[g.Group]; ok {
			described[i].addConsumers(c)
		}
	}
	return writeDescriptions(s.Out, o.format, described)
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

func (d groupDescription) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s, %s, lag %s", d.Group, d.State, output.Plural(int64(len(d.Members)), "member"), output.Count(d.Lag))
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
	if len(d.Partitions) == 0 {
		return nil
	}
	known := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	rows := [][]string{{"TOPIC", "PARTITION", "CURRENT", "END", "LAG", "MEMBER", "CLIENT", "HOST"}}
	failed := slices.ContainsFunc(d.Partitions, func(p groupLagRow) bool { return p.Error != "" })
	if failed {
		rows[0] = append(rows[0], "ERROR")
	}
	for _, p := range d.Partitions {
		row := []string{p.Topic, strconv.Itoa(int(p.Partition)), known(p.Current), strconv.FormatInt(p.End, 10), known(p.Lag), p.Member, p.Client, p.Host}
		if failed {
			row = append(row, p.Error)
		}
		rows = append(rows, row)
	}
	return output.Rows(w, rows)
}
