package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/log"
	"weir/segment"
	"weir/segment/vfs"
)

// verdict is what --verify says of one partition's folder.
type verdict struct {
	Dir      string `json:"dir"`
	Segments int    `json:"segments"`
	Start    int64  `json:"start_offset"`
	End      int64  `json:"end_offset"`
	Bytes    int64  `json:"bytes"`
	Cut      int64  `json:"bytes_not_whole"` // at the end, where a write may have been cut short
	Sound    bool   `json:"sound"`
	Error    string `json:"error,omitempty"`
}

// verifySegments checks whole folders as the broker would at start, and single files by themselves.
func verifySegments(ctx context.Context, s *Streams, format output.Format, files []segmentFile) error {
	var verdicts []verdict
	damaged := 0
	for len(files) > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n := 1
		for n < len(files) && files[n].dir == files[0].dir {
			n++
		}
		v := verify(files[0].dir, files[:n])
		if files = files[n:]; !v.Sound {
			damaged++
		}
		verdicts = append(verdicts, v)
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	err := output.List(s.Out, format, verdicts, []output.Column[verdict]{
		{Name: "FOLDER", Cell: func(v verdict) string { return v.Dir }},
		{Name: "SEGMENTS", Cell: func(v verdict) string { return strconv.Itoa(v.Segments) }},
		{Name: "START", Cell: func(v verdict) string { return number(v.Start) }},
		{Name: "END", Cell: func(v verdict) string { return number(v.End) }},
		{Name: "SIZE", Cell: func(v verdict) string { return output.Bytes(v.Bytes) }},
		{Name: "TORN", Cell: func(v verdict) string { return output.Bytes(v.Cut) }},
		{Name: "VERDICT", Cell: func(v verdict) string {
			if v.Sound {
				return "sound"
			}
			return "damaged: " + v.Error
		}},
	})
	if err == nil && damaged > 0 {
		err = &fault.Error{What: fmt.Sprintf("%d of %s damaged", damaged, output.Plural(int64(len(verdicts)), "folder"))}
	}
	return err
}

func verify(dir string, files []segmentFile) verdict {
	v := verdict{Dir: dir, Segments: len(files)}
	listing, err := segment.List(vfs.OS, dir)
	whole := err == nil && len(listing.Bases) == len(files)
	if whole {
		err = v.wholeLog(dir)
	}
	for i, f := range files {
		if failed := v.single(f, i == 0 && !whole, i == len(files)-1); err == nil {
			err = failed
		}
	}
	v.Sound = err == nil
	if err != nil {
		v.Error = err.Error()
	}
	return v
}

// wholeLog checks that the segments of a folder make one log.
func (v *verdict) wholeLog(dir string) error {
	l, err := log.OpenReadOnly(dir, vfs.OS, nil)
	if err != nil {
		return err
	}
	v.Start, v.End = l.LogStartOffset(), l.LogEndOffset()
	return errors.Join(l.Verify(), l.Close())
}

// single checks one segment by itself. Bytes that are not whole are what an unclean end may leave in the
// last one, and damage in any other.
func (v *verdict) single(f segmentFile, first, last bool) error {
	s, err := openToRead(f)
	if err != nil {
		return err
	}
	v.Bytes += s.SizeBytes()
	v.Cut += s.report.CutBytes
	if first {
		v.Start = s.header.BaseOffset
	}
	v.End = max(v.End, s.header.BaseOffset)
	if n := len(s.frames); n > 0 {
		v.End = s.frames[n-1].NextOffset
	}
	if s.report.CutBytes > 0 && !last {
		err = fmt.Errorf("%s: %s are not whole: %s", f.path(), output.Plural(s.report.CutBytes, "byte"), s.report.Reason)
	}
	if err == nil {
		_, err = s.Verify(nil)
	}
	return errors.Join(err, s.closeAll())
}
