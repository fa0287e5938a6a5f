package command

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"weir/cmd/weir/output"
)

// Version is the release; a build may set it with -ldflags "-X weir/cmd/weir/command.Version=...".
var Version = "0.1.0"

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"commit_time,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildInfo() versionInfo {
	v := versionInfo{Version: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func newVersion(s *Streams) *cobra.Command {
	var format output.Format
	cmd := &cobra.Command{
		Use: "version", Short: "Say which Weir this is", Args: between(0, 0),
		RunE: func(*cobra.Command, []string) error { return runVersion(s.Out, format) },
	}
	formatFlag(cmd, &format, objectFormats)
	return cmd
}

func runVersion(out io.Writer, format output.Format) error {
	v := buildInfo()
	return output.One(out, format, v, func(w io.Writer) error {
		commit := v.Commit
		if v.Modified {
			commit += ", changed"
		}
		if commit != "" {
			commit = " (" + commit + ")"
		}
		_, err := fmt.Fprintf(w, "weir %s%s %s %s\n", v.Version, commit, v.Go, v.Platform)
		return err
	})
}
