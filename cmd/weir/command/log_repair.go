package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"weir/cluster"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/log"
	"weir/partition"
	"weir/segment"
	"weir/segment/vfs"
)

type logRepairOptions struct {
	paths  []string
	yes    bool
	dryRun bool
	aside  bool
}

func newLogRepair(s *Streams) *cobra.Command {
	var o logRepairOptions
	cmd := &cobra.Command{
		Use:   "repair FOLDER...",
		Short: "Mend what can be mended without losing a record",
		Long: `Mend the logs of a broker that does not run, after saying what is to be done: indexes and checkpoints are made again from
the log, the end of an append that was cut short is removed as a start would, and so are files that nothing needs. Records that
are whole stay as they are.

Where records in the middle are damaged or missing, nothing is cut: what came behind has been acknowledged, and this replica
has vouched for it. With --set-aside the folder of such a replica goes to DATA/damaged, and the broker forgets its votes there.
When it starts, the replica has no vote until the partition's leader has filled it again. So it needs a majority of the other
replicas; of a partition with one replica, nothing comes back: weir dump --records shows what is whole.

  weir log repair weir-data --dry-run
  weir log repair weir-data --yes`,
		Args: needs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			return runLogRepair(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be done")
	f.BoolVar(&o.aside, "set-aside", false, "set replicas aside whose records are damaged or missing, to be filled again by the others")
	return cmd
}

// mending is what is to be done with one replica.
type mending struct {
	replicaFolder
	checked *log.Checked
	corrupt bool
}

func runLogRepair(ctx context.Context, s *Streams, o logRepairOptions) (err error) {
	folders, locks, err := lockedFolders(o.paths)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locks.Close()) }()
	var todo []mending
	left := 0
	for _, f := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := checkReplica(f)
		if err != nil {
			return &fault.Error{What: "cannot check " + f.path, Why: reason(err), Err: err}
		}
		m := mending{f, c, c.Has(log.Corrupt)}
		if c.Sound() {
			continue
		}
		if fmt.Fprint(s.Out, m.plan(o.aside)); m.corrupt && !(o.aside && f.named()) {
			left++
			continue
		}
		todo = append(todo, m)
	}
	if len(todo) > 0 && !o.dryRun {
		if err := s.confirm(o.yes, fmt.Sprintf("Do this to %s?", output.Plural(int64(len(todo)), "folder"))); err != nil {
			return err
		}
	}
	for _, m := range todo {
		if o.dryRun {
			continue
		}
		if err := errors.Join(ctx.Err(), m.do()); err != nil {
			return &fault.Error{What: "cannot mend " + m.path, Why: reason(err), Do: "Begin again: what was done so far does no harm", Err: err}
		}
	}
	return repaired(s, o, len(folders), len(todo), left)
}

func repaired(s *Streams, o logRepairOptions, all, todo, left int) error {
	switch {
	case left > 0:
		e := &fault.Error{What: fmt.Sprintf("%s not mended: records are damaged or missing", output.Plural(int64(left), "folder")),
			Do: "Where other replicas hold them, --set-aside has them fill this one again", Exit: fault.Failed}
		if todo > 0 && !o.dryRun {
			e.Exit = fault.PartlyDone
		}
		return e
	case todo == 0:
		s.note("%s sound: nothing to do", output.Plural(int64(all), "folder"))
	case o.dryRun:
		s.note("Nothing has changed: without --dry-run this is done to %s", output.Plural(int64(todo), "folder"))
	default:
		s.note("mended %s", output.Plural(int64(todo), "folder"))
	}
	return nil
}

// plan says what is wrong and what is done about it, a line each.
func (m mending) plan(aside bool) string {
	text := m.path + "\n"
	for _, f := range m.checked.Findings {
		what := map[log.Kind]string{
			log.Leftover: "remove", log.Torn: "cut", log.BadIndex: "make again", log.BadCheckpoint: "make again", log.Corrupt: "cannot mend",
		}[f.Kind]
		text += fmt.Sprintf("  %s %s\n", what, findingText(f))
		if f.Kind == log.BadCheckpoint {
			text += "    until a leader has brought it up to date the replica then has no vote: how far it had been on disk is not known\n"
			text += fmt.Sprintf("    the log then starts at offset %d: what DeleteRecords has removed above that shows again\n", m.checked.Start)
		}
	}
	if !m.corrupt {
		return text
	}
	text += fmt.Sprintf("  whole are offsets %d to %d; from %d on this replica has lost what it held\n", m.checked.Start, m.checked.End, m.checked.End)
	if aside && m.named() {
		text += fmt.Sprintf("  set aside, to %s: the other replicas fill it again\n", cluster.DamagedFolder)
	}
	return text
}

func (m mending) do() error {
	if m.corrupt {
		topic, index, _ := m.identity()
		return cluster.SetAside(vfs.OS, m.data, topic, index)
	}
	for _, f := range m.checked.Findings {
		if f.Kind == log.Leftover {
			if err := segment.Remove(vfs.OS, f.Path); err != nil {
				return err
			}
		}
	}
	if m.checked.Has(log.BadCheckpoint) { // which knew how far the log had been on disk: something may be missing at its end
		if err := partition.GiveUpVote(vfs.OS, m.path); err != nil {
			return err
		}
	}
	return log.Mend(m.path, vfs.OS, m.checked)
}
