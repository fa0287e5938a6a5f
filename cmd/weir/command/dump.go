package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/segment"
	"weir/segment/vfs"
)

type dumpOptions struct {
	paths   []string
	records bool
	index   bool
	format  output.Format
}

func newDump(s *Streams) *cobra.Command {
	var o dumpOptions
	cmd := &cobra.Command{
		Use:   "dump PATH...",
		Short: "Show what is in segment files, without a broker",
		Long: `Show the batches of segments, read from the files and never writing to them. A PATH is a .log file, the
folder of a partition, or any folder above such, up to the data folder. A broker may run meanwhile.

  weir dump weir-data/topics/*/0
  weir dump --records 00000000000000000000.log`,
		Args: needs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			return runDump(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.records, "records", false, "show the records within the batches")
	f.BoolVar(&o.index, "index", false, "show the entries of the indexes instead")
	formatFlag(cmd, &o.format, []output.Format{output.Table, output.Wide, output.JSON, output.JSONL})
	return cmd
}

func runDump(ctx context.Context, s *Streams, o dumpOptions) error {
	if o.records && o.index {
		return fault.Usage("--records and --index are different views: give one")
	}
	files, err := segmentFiles(o.paths)
	if err != nil {
		return err
	}
	if o.index {
		return dumpAll(ctx, s, files, newIndexDump(s, o.format))
	}
	return dumpAll(ctx, s, files, newFrameDump(s, o.format, o.records))
}

// segmentFile is one .log file.
type segmentFile struct {
	dir  string
	base int64
}

func (f segmentFile) path() string { return segment.LogPath(f.dir, f.base) }

// segmentFiles finds the segments at and below paths, in order of folder and offset.
func segmentFiles(paths []string) ([]segmentFile, error) {
	var files []segmentFile
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, &fault.Error{What: "cannot read " + path, Why: reason(err), Err: err}
		}
		if !info.IsDir() {
			f, ok := asSegment(path)
			if !ok {
				return nil, fault.Usage("%s is no segment: those are named after their first offset, like 00000000000000000000.log", path)
			}
			files = append(files, f)
			continue
		}
		found := 0
		err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if f, ok := asSegment(name); err == nil && ok && filepath.Ext(name) == ".log" && d.Type().IsRegular() {
				files = append(files, f)
				found++
			}
			return err
		})
		if err != nil {
			return nil, &fault.Error{What: "cannot read " + path, Why: reason(err), Err: err}
		}
		if found == 0 {
			return nil, &fault.Error{What: "no segment in " + path, Do: "Name a .log file, a partition's folder or the data folder"}
		}
	}
	slices.SortStableFunc(files, func(a, b segmentFile) int {
		if c := strings.Compare(a.dir, b.dir); c != 0 {
			return c
		}
		return int(min(max(a.base-b.base, -1), 1))
	})
	return slices.Compact(files), nil
}

// asSegment reads the name of a .log file, or of an index beside one.
func asSegment(path string) (segmentFile, bool) {
	name := filepath.Base(path)
	ext := filepath.Ext(name)
	base, err := strconv.ParseInt(strings.TrimSuffix(name, ext), 10, 64)
	f := segmentFile{filepath.Dir(path), base}
	ok := err == nil && base >= 0 && slices.Contains([]string{".log", ".index", ".timeindex"}, ext)
	return f, ok && strings.TrimSuffix(name, ext)+".log" == filepath.Base(f.path())
}

// reason is what the system said of a file, without the path that was named already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// dumper shows one segment after the other.
type dumper interface {
	segment(f segmentFile, s *openSegment) error
	close() error
}

// openSegment is a segment as far as it can be read.
type openSegment struct {
	*segment.Segment
	header segment.Header
	frames []segment.Frame
	report segment.Report
	file   vfs.File
}

// openToRead scans a segment from its start. What is not whole at its end is left out and told in the
// report. Nothing is written.
func openToRead(f segmentFile) (*openSegment, error) {
	s := new(openSegment)
	cfg := segment.Config{FS: vfs.OS, Dir: f.dir, ReadOnly: true}
	var err error
	s.Segment, s.report, err = segment.OpenActive(cfg, f.base, nil, nil, segment.RecoverPowerLoss,
		func(frame segment.Frame) { s.frames = append(s.frames, frame) })
	if errors.Is(err, segment.ErrTorn) {
		err = fmt.Errorf("%s: %w", f.path(), err)
	}
	if err != nil {
		return nil, err
	}
	if s.header, err = s.Header(); err == nil {
		s.file, err = vfs.OS.OpenFile(f.path(), os.O_RDONLY, 0)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *openSegment) closeAll() error { return errors.Join(s.file.Close(), s.Close()) }

// dumpAll goes through files and through damage: what cannot be read is told and the next one shown.
func dumpAll(ctx context.Context, s *Streams, files []segmentFile, d dumper) error {
	failed := 0
	for _, f := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		seg, err := openToRead(f)
		if err == nil {
			err = errors.Join(d.segment(f, seg), seg.closeAll())
		}
		if err != nil {
			failed++
			s.note("%s %v", s.colour("31", "error:"), err)
			continue
		}
		if seg.report.CutBytes > 0 {
			s.note("%s: after position %d come %s that are not whole: %s", f.path(), lastPosition(seg), output.Plural(seg.report.CutBytes, "byte"), seg.report.Reason)
		}
	}
	if err := d.close(); err != nil {
		return err
	}
	if failed > 0 {
		return fault.Partly(failed, len(files), "segments")
	}
	return nil
}

func lastPosition(s *openSegment) int64 {
	if n := len(s.frames); n > 0 {
		return s.frames[n-1].End()
	}
	return segment.HeaderBytes
}
