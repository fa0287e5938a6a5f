package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/seek"
)

type groupResetOptions struct {
	conn       connect.Options
	group      string
	to         string
	shift      string
	topics     []string
	allTopics  bool
	partitions []int32
	execute    bool
	force      bool
	undo       string
	format     output.Format
}

func newGroupReset(s *Streams) *cobra.Command {
	var o groupResetOptions
	cmd := &cobra.Command{
		Use:   "reset GROUP",
		Short: "Set the committed offsets of a group to a position",
		Long: `Set the offsets that a consumer group has committed. Without --execute it only shows what would change: for each
partition the offset now and then, how many records are read again (-) or left out (+), the lag after, and when
the next record was written on both sides.

  weir group reset billing --to earliest --topic orders
  weir group reset billing --to -1h --topic orders -p 0,3 --execute
  weir group reset billing --to @2026-11-23T09:00:00Z --all-topics
  weir group reset billing --shift-by -100 --topic orders
  weir group reset billing --to group:audit --topic orders
  weir group reset billing --to file:before.csv --execute

What was committed before is kept in the undo file, as topic,partition,offset, which --to file: and Kafka's own tool
(kafka-consumer-groups --reset-offsets --from-file) read.

The group must have no members; --force removes them first. They join again and go on at the new offsets, and
what they were working on may be read twice or left out.

` + positionHelp + ` Also file:FILE.`,
		Args:              between(1, 1),
		ValidArgsFunction: completeGroups(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.group = args[0]
			return runGroupReset(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "position of the next record to read")
	f.StringVar(&o.shift, "shift-by", "", "instead of --to: so many offsets on (10) or back (-10) from what is committed")
	f.BoolVar(&o.allTopics, "all-topics", false, "everything that the group has committed")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions (default all)")
	o.addFlags(cmd, s)
	completeWords(cmd, "to", true, append([]string{"file:"}, positionWords...)...)
	return cmd
}

// addFlags are those that clone has as well.
func (o *groupResetOptions) addFlags(cmd *cobra.Command, s *Streams) {
	f := cmd.Flags()
	f.StringSliceVar(&o.topics, "topic", nil, "topics")
	f.BoolVar(&o.execute, "execute", false, "do it; without, it is only shown")
	f.BoolVar(&o.force, "force", false, "remove the group's members first")
	f.StringVar(&o.undo, "undo", "", "file for the offsets committed before, or none (default weir-undo-GROUP-TIME.csv)")
	_ = cmd.RegisterFlagCompletionFunc("topic", completeTopics(s, &o.conn, -1))
	formatFlag(cmd, &o.format, listFormats)
	withConnection(s, cmd, &o.conn)
}

func runGroupReset(ctx context.Context, s *Streams, o groupResetOptions) error {
	target, err := o.target(s)
	if err != nil {
		return err
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	r := reset{s: s, cl: cl, o: &o, target: target, undo: undoFile{name: o.undo}}
	members, err := r.members(ctx)
	if err != nil {
		return err
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	if !o.execute {
		return r.show(members)
	}
	if len(members) > 0 && !o.force {
		return r.refuse(members)
	}
	return r.execute(ctx, members)
}

// reset is one run.
type reset struct {
	s      *Streams
	cl     *connect.Client
	o      *groupResetOptions
	target resetTarget
	undo   undoFile

	rows []resetRow // the plan
}

// resetRow is what happens to one partition.
type resetRow struct {
	Topic       string  `json:"topic"`
	Partition   int32   `json:"partition"`
	Current     *int64  `json:"current_offset"` // null: nothing is committed
	New         int64   `json:"new_offset"`
	Change      *int64  `json:"change"` // null where nothing is committed
	LagAfter    int64   `json:"lag_after"`
	CurrentTime *string `json:"current_record_time"`    // of the first record from there on; null: there is none
	NewTime     *string `json:"new_record_time"`        // likewise
	Asked       *int64  `json:"asked_offset,omitempty"` // where the log does not hold what was asked for
}

func (r *resetRow) String() string { return fmt.Sprintf("%s[%d]", r.Topic, r.Partition) }

// members reads who is in the group. One that does not exist has none: it is told, and made by a reset.
func (r *reset) members(ctx context.Context) ([]kadm.DescribedGroupMember, error) {
	groups, err := knownGroups(ctx, r.cl, []string{r.o.group})
	var e *fault.Error
	if errors.As(err, &e) && e.Code == kerr.GroupIDNotFound.Message {
		r.s.note("group %s does not exist yet. %s", r.o.group, e.Why)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return groups[0].Members, nil
}

func (r *reset) show(members []kadm.DescribedGroupMember) error {
	if err := r.write(r.rows); err != nil {
		return err
	}
	r.s.note("Nothing has changed: --execute resets %s of group %s.", output.Plural(int64(len(r.rows)), "partition"), r.o.group)
	if len(members) > 0 {
		r.s.note("It has %s: stop its consumers first.", output.Plural(int64(len(members)), "member"))
	}
	return nil
}

func (r *reset) refuse(members []kadm.DescribedGroupMember) error {
	var clients []string
	for _, m := range members {
		clients = append(clients, m.ClientID+"@"+hostOf(m.ClientHost))
	}
	const few = 5
	if clients = distinct(clients); len(clients) > few {
		clients = append(clients[:few], fmt.Sprintf("%d more", len(clients)-few))
	}
	return &fault.Error{
		What: fmt.Sprintf("group %q has %s", r.o.group, output.Plural(int64(len(members)), "member")), Code: kerr.NonEmptyGroup.Message,
		Why: "They go on where they are and commit over a reset: " + strings.Join(clients, ", "),
		Do:  "Stop them, or say --force: it removes them, and they join again and go on at the new offsets",
	}
}

// execute carries the plan out. Members may come back between their removal and the commit, which is then
// refused as a whole: all is done again, from the removal on.
func (r *reset) execute(ctx context.Context, members []kadm.DescribedGroupMember) error {
	limit, cancel := asking(ctx, r.cl)
	defer cancel()
	for {
		if len(members) > 0 {
			if err := r.remove(limit, members); err != nil {
				return err
			}
			if err := r.plan(limit); err != nil { // they may have committed
				return err
			}
		}
		if err := r.undo.write(r); err != nil {
			return err
		}
		responses, err := r.commit(limit)
		if !r.o.force || !refusedForMembers(responses, err) {
			return r.outcome(responses, err)
		}
		if members, err = r.members(limit); err != nil {
			return err
		}
	}
}

// remove takes members out of the group as if they had left.
func (r *reset) remove(ctx context.Context, members []kadm.DescribedGroupMember) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = r.o.group
	for _, m := range members {
		out := kmsg.NewLeaveGroupRequestMember()
		out.MemberID, out.InstanceID, out.Reason = m.MemberID, m.InstanceID, kmsg.StringPtr("offsets are reset")
		req.Members = append(req.Members, out)
	}
	r.s.note("Removing %s of group %s.", output.Plural(int64(len(members)), "member"), r.o.group)
	what := fmt.Sprintf("cannot remove the members of group %q", r.o.group)
	resp, err := req.RequestWith(ctx, r.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return r.cl.Explain(what, err)
	}
	for _, m := range resp.Members {
		if err := kerr.ErrorForCode(m.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownMemberID) { // that one has gone
			return fault.Explain(what, err)
		}
	}
	return nil
}

func (r *reset) commit(ctx context.Context) (kadm.OffsetResponses, error) {
	var offsets kadm.Offsets
	for _, row := range r.rows {
		offsets.AddOffset(row.Topic, row.Partition, row.New, -1)
	}
	return r.cl.Admin.CommitOffsets(ctx, r.o.group, offsets)
}

// refusedForMembers reports whether a commit was refused because the group is not empty.
func refusedForMembers(responses kadm.OffsetResponses, err error) bool {
	if err == nil {
		err = responses.Error()
	}
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress)
}

// outcome tells what has been committed.
func (r *reset) outcome(responses kadm.OffsetResponses, err error) error {
	what := fmt.Sprintf("cannot reset group %q", r.o.group)
	if err != nil {
		return r.cl.Explain(what, err)
	}
	if refusedForMembers(responses, nil) {
		return &fault.Error{What: what, Code: kerr.NonEmptyGroup.Message, Why: "A member has joined it meanwhile", Do: "Stop its consumers, or say --force", Err: responses.Error()}
	}
	var done []resetRow
	for _, row := range r.rows {
		if o, ok := responses.Lookup(row.Topic, row.Partition); !ok || o.Err != nil {
			r.s.note("%s %v", r.s.colour("31", "error:"), fault.Explain(fmt.Sprintf("cannot reset %v", &row), o.Err))
			continue
		}
		done = append(done, row)
	}
	if err := r.write(done); err != nil {
		return err
	}
	r.undo.tell(r)
	if failed := len(r.rows) - len(done); failed > 0 {
		return fault.Partly(failed, len(r.rows), "partitions")
	}
	return nil
}

func (r *reset) write(rows []resetRow) error {
	number := func(n *int64, format string) string {
		if n == nil {
			return ""
		}
		return fmt.Sprintf(format, *n)
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return output.List(r.s.Out, r.o.format, rows, []output.Column[resetRow]{
		{Name: "TOPIC", Cell: func(r resetRow) string { return r.Topic }},
		{Name: "PARTITION", Cell: func(r resetRow) string { return strconv.Itoa(int(r.Partition)) }},
		{Name: "CURRENT", Cell: func(r resetRow) string { return number(r.Current, "%d") }},
		{Name: "NEW", Cell: func(r resetRow) string { return strconv.FormatInt(r.New, 10) }},
		{Name: "CHANGE", Cell: func(r resetRow) string { return number(r.Change, "%+d") }},
		{Name: "LAG-AFTER", Cell: func(r resetRow) string { return output.Count(r.LagAfter) }},
		{Name: "CURRENT-RECORD", Cell: func(r resetRow) string { return text(r.CurrentTime) }},
		{Name: "NEW-RECORD", Cell: func(r resetRow) string { return text(r.NewTime) }},
	})
}

// target reads what the flags ask for, before anybody is asked.
func (o *groupResetOptions) target(s *Streams) (resetTarget, error) {
	var t resetTarget
	name, fromFile := strings.CutPrefix(o.to, "file:")
	switch {
	case (o.to == "") == (o.shift == ""):
		return t, fault.Usage("say where to: --to POSITION or --shift-by N")
	case o.undo != "" && !o.execute:
		return t, fault.Usage("--undo goes with --execute: nothing changes without it")
	case o.force && !o.execute:
		return t, fault.Usage("--force goes with --execute: nobody is removed without it")
	case len(o.topics) > 0 && o.allTopics:
		return t, fault.Usage("--topic and --all-topics: say one")
	case len(o.topics) == 0 && !o.allTopics && !fromFile:
		return t, fault.Usage("say which topics: --topic NAME or --all-topics")
	case len(o.partitions) > 0 && len(o.topics) != 1:
		return t, fault.Usage("--partition goes with one --topic")
	}
	var err error
	switch {
	case o.shift != "":
		n, err := strconv.ParseInt(o.shift, 10, 64)
		if err != nil || n == 0 {
			return t, fault.Usage("--shift-by %s: write how many offsets, as 10 or -10", o.shift)
		}
		t.shift = n
	case fromFile:
		t.file, err = readOffsetsFile(name)
	default:
		if t.point, err = seek.Parse(o.to, s.Now()); err != nil {
			err = fault.Usage("--to: %v", err)
		}
	}
	return t, err
}
