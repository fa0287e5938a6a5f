package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

type groupWatchOptions struct {
	conn      connect.Options
	names     []string
	interval  time.Duration
	committed bool
	format    output.Format
}

func newGroupWatch(s *Streams) *cobra.Command {
	var o groupWatchOptions
	cmd := &cobra.Command{
		Use:   "watch [GROUP...]",
		Short: "Watch the lag of consumer groups",
		Long: `Show again and again how far behind consumer groups are, all or those named, in records and in the time that
the oldest unread one has been waiting; who waits longest comes first. On a terminal the view stays in place,
elsewhere it is a line for each group each time. Ctrl-C ends it.

  weir group watch
  weir group watch billing --interval 5s -o jsonl`,
		ValidArgsFunction: completeGroups(s, &o.conn),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = distinct(args)
			return runGroupWatch(cmd.Context(), s, o)
		},
	}
	cmd.Flags().DurationVar(&o.interval, "interval", time.Second, "between two looks")
	readCommittedFlag(cmd, &o.committed)
	formatFlag(cmd, &o.format, objectFormats)
	withConnection(s, cmd, &o.conn)
	return cmd
}

// groupWatchMin is the shortest interval: a look asks every broker.
const groupWatchMin = 100 * time.Millisecond

// groupLook is a group at one moment.
type groupLook struct {
	Time string   `json:"time"`
	Rate *float64 `json:"records_per_second"` // by which committed offsets move; null at the first look
	groupDescription
}

func runGroupWatch(ctx context.Context, s *Streams, o groupWatchOptions) error {
	if o.interval < groupWatchMin {
		return fault.Usage("--interval %v: it is at least %v", o.interval, groupWatchMin)
	}
	cl, err := s.open(ctx, &o.conn)
	if err != nil {
		return err
	}
	defer cl.Close()
	if len(o.names) > 0 {
		if _, err := knownGroups(ctx, cl, o.names); err != nil { // a mistyped name
			return err
		}
	}
	w := groupWatch{s: s, cl: cl, o: &o}
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for {
		if err := w.look(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type groupWatch struct {
	s  *Streams
	cl *connect.Client
	o  *groupWatchOptions

	at     time.Time                           // of the last look
	before map[string]map[topicPartition]int64 // committed offsets of that look, by group
	lost   bool                                // the last look failed, which was told
	drawn  bool
}

// look reads the groups once and shows them. That nobody answers is told once, and is worth watching.
func (w *groupWatch) look(ctx context.Context) error {
	groups, err := w.read(ctx)
	if err != nil {
		if !w.lost && ctx.Err() == nil {
			w.s.note("%v", err)
		}
		w.lost = true
		return nil
	}
	w.lost = false
	now := w.s.Now()
	looks := w.compare(groups, now)
	switch {
	case w.o.format != output.Table:
		return output.List(w.s.Out, w.o.format, looks, nil)
	case w.s.OutTerminal:
		return w.draw(looks, now)
	}
	return w.lines(looks)
}

func (w *groupWatch) read(ctx context.Context) ([]groupDescription, error) {
	names := w.o.names
	if len(names) == 0 {
		ask, cancel := asking(ctx, w.cl)
		defer cancel()
		listed, err := w.cl.Admin.ListGroups(ask)
		if err != nil && !partlyListed(err) {
			return nil, w.cl.Explain("cannot list groups", err)
		}
		if names = listed.Groups(); len(names) == 0 {
			return nil, nil
		}
	}
	return readGroups(ctx, w.s, w.cl, names, w.o.committed)
}

// compare adds to each group how fast it goes, and sorts: who waits longest comes first.
func (w *groupWatch) compare(groups []groupDescription, now time.Time) []groupLook {
	looks := make([]groupLook, len(groups))
	committed := map[string]map[topicPartition]int64{}
	took := now.Sub(w.at).Seconds()
	for i, g := range groups {
		looks[i] = groupLook{Time: output.Time(now), groupDescription: g}
		offsets := map[topicPartition]int64{}
		moved := int64(0)
		before, known := w.before[g.Group]
		for _, p := range g.Partitions {
			if p.Current == nil {
				continue
			}
			at := topicPartition{p.Topic, p.Partition}
			offsets[at] = *p.Current
			if offset, ok := before[at]; ok {
				moved += *p.Current - offset
			}
		}
		if committed[g.Group] = offsets; known && took > 0 {
			rate := float64(moved) / took
			looks[i].Rate = &rate
		}
		slices.SortStableFunc(g.Partitions, func(a, b groupLagRow) int { return cmp.Compare(b.age(), a.age()) })
	}
	w.at, w.before = now, committed
	slices.SortStableFunc(looks, func(a, b groupLook) int {
		return cmp.Or(cmp.Compare(b.LagSeconds, a.LagSeconds), cmp.Compare(b.Lag, a.Lag), strings.Compare(a.Group, b.Group))
	})
	return looks
}

func (p *groupLagRow) age() float64 {
	if p.LagSeconds == nil {
		return 0
	}
	return *p.LagSeconds
}

// lines writes a line for each group.
func (w *groupWatch) lines(looks []groupLook) error {
	var b strings.Builder
	for _, l := range looks {
		fmt.Fprintf(&b, "%s  %s: %s, %s, %s%s\n", l.Time, l.Group, l.State, output.Plural(int64(len(l.Members)), "member"), l.lag(), l.rate(", "))
	}
	_, err := io.WriteString(w.s.Out, b.String())
	return err
}

func (l *groupLook) rate(before string) string {
	if l.Rate == nil {
		return ""
	}
	return before + output.Rate(int64(*l.Rate+0.5), time.Second, "record")
}

// watchRows is how much fits on a screen.
const watchRows = 40

// Terminal sequences: go to the top left corner, clear to the end of the line, of the screen.
const (
	cursorHome, clearLine, clearRest = "\x1b[H", "\x1b[K", "\x1b[J"
)

// draw writes the view over the one before. A single group is shown with its partitions.
func (w *groupWatch) draw(looks []groupLook, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s on %s. Ctrl-C ends.\n\n", output.Time(now), output.Plural(int64(len(looks)), "group"), w.cl.Seeds)
	var err error
	if len(looks) == 1 && len(w.o.names) == 1 {
		err = looks[0].write(&b)
	} else {
		err = output.List(&b, output.Table, looks, []output.Column[groupLook]{
			{Name: "GROUP", Cell: func(l groupLook) string { return l.Group }},
			{Name: "STATE", Cell: func(l groupLook) string { return l.State }},
			{Name: "MEMBERS", Cell: func(l groupLook) string { return output.Count(int64(len(l.Members))) }},
			{Name: "LAG", Cell: func(l groupLook) string { return output.Count(l.Lag) }},
			{Name: "WAITING", Cell: func(l groupLook) string { return output.Span(seconds(l.LagSeconds)) }},
			{Name: "RATE", Cell: func(l groupLook) string { return l.rate("") }},
		})
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if more := len(lines) - watchRows; more > 0 {
		lines = append(lines[:watchRows], fmt.Sprintf("and %s", output.Plural(int64(more), "more line")))
	}
	view := cursorHome + strings.Join(lines, clearLine+"\n") + clearLine + "\n" + clearRest
	if !w.drawn {
		w.drawn, view = true, "\x1b[2J"+view
	}
	_, werr := io.WriteString(w.s.Out, view)
	return errors.Join(err, werr)
}
