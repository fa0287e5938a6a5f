package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/log"
)

type logVerifyOptions struct {
	paths  []string
	format output.Format
}

func newLogVerify(s *Streams) *cobra.Command {
	var o logVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify FOLDER...",
		Short: "Check every batch, index and checkpoint, and change nothing",
		Long: `Check the logs of a broker that does not run: the checksum of every batch, offsets, Raft indexes and leader epochs, the
chain of segments, each index against its log, and checkpoints. A FOLDER is a data folder, a partition's folder or any
in between. Nothing is changed. The exit code is 0 if all is sound and 1 if not.

  weir log verify weir-data
  weir log verify weir-data/topics/*/0 -o json`,
		Args: needs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			return runLogVerify(cmd.Context(), s, o)
		},
	}
	formatFlag(cmd, &o.format, []output.Format{output.Table, output.JSON, output.JSONL})
	return cmd
}

// verdict is what verify says of one partition's folder.
type verdict struct {
	Dir      string    `json:"dir"`
	Segments int       `json:"segments"`
	Start    int64     `json:"start_offset"`
	End      int64     `json:"end_offset"` // as far as the log is whole
	Bytes    int64     `json:"bytes"`
	Torn     int64     `json:"bytes_not_whole"` // at the end, where a write may have been cut short
	Sound    bool      `json:"sound"`
	Findings []finding `json:"findings"`
}

type finding struct {
	Kind     log.Kind `json:"kind"`
	Path     string   `json:"path"`
	Position int64    `json:"position"`
	Offset   int64    `json:"offset"` // -1: not known
	Reason   string   `json:"reason"`
}

func newVerdict(f replicaFolder, c *log.Checked) verdict {
	v := verdict{Dir: f.path, Segments: c.Segments, Start: c.Start, End: c.End, Bytes: c.Bytes, Torn: c.TornBytes, Sound: c.Sound(), Findings: []finding{}}
	for _, x := range c.Findings {
		v.Findings = append(v.Findings, finding{x.Kind, x.Path, x.Position, x.Offset, x.Reason})
	}
	return v
}

func runLogVerify(ctx context.Context, s *Streams, o logVerifyOptions) (err error) {
	folders, locks, err := lockedFolders(o.paths)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locks.Close()) }()
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := output.NewStream(s.Out, o.format, []output.Column[verdict]{
		{Name: "FOLDER", Cell: func(v verdict) string { return v.Dir }},
		{Name: "SEGMENTS", Cell: func(v verdict) string { return strconv.Itoa(v.Segments) }},
		{Name: "START", Cell: func(v verdict) string { return number(v.Start) }},
		{Name: "END", Cell: func(v verdict) string { return number(v.End) }},
		{Name: "SIZE", Cell: func(v verdict) string { return output.Bytes(v.Bytes) }},
		{Name: "VERDICT", Cell: verdict.words},
	})
	bad, corrupt := 0, 0
	for _, f := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := checkReplica(f)
		if err != nil {
			return &fault.Error{What: "cannot check " + f.path, Why: reason(err), Err: err}
		}
		if !c.Sound() {
			bad++
		}
		if c.Has(log.Corrupt) {
			corrupt++
		}
		if err := rows.Add(newVerdict(f, c)); err != nil {
			return err
		}
	}
	if err := rows.Close(); err != nil || bad == 0 {
		return err
	}
	e := &fault.Error{What: fmt.Sprintf("%d of %s not sound", bad, output.Plural(int64(len(folders)), "folder")), Do: "weir log repair mends what can be mended"}
	if corrupt > 0 {
		e.Why = fmt.Sprintf("In %d of them records are damaged or missing", corrupt)
	}
	return e
}

func (v verdict) words() string {
	if v.Sound {
		return "sound"
	}
	words := ""
	for i, x := range v.Findings {
		if i > 0 {
			words += "; "
		}
		words += fmt.Sprintf("%s: %s", x.Kind, findingText(log.Finding{Path: x.Path, Position: x.Position, Offset: x.Offset, Reason: x.Reason}))
	}
	return words
}
