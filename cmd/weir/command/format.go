package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir/cmd/weir/output"
)

// Formats that every command which reads something offers.
var listFormats = []output.Format{output.Table, output.Wide, output.JSON, output.JSONL, output.Name}
var objectFormats = []output.Format{output.Table, output.JSON, output.JSONL}

// formatFlag adds -o with the first of allowed as its default, unless f already holds another.
func formatFlag(cmd *cobra.Command, f *output.Format, allowed []output.Format) {
	if *f == "" {
		*f = allowed[0]
	}
	v := &formatValue{f, allowed}
	cmd.Flags().VarP(v, "output", "o", "output format: "+output.Join(allowed))
	completeWords(cmd, "output", false, words(allowed)...)
}

func words(formats []output.Format) []string {
	list := make([]string, len(formats))
	for i, f := range formats {
		list[i] = string(f)
	}
	return list
}

// formatValue is a pflag.Value that takes one of a few words.
type formatValue struct {
	f       *output.Format
	allowed []output.Format
}

func (v *formatValue) String() string { return string(*v.f) }
func (v *formatValue) Type() string   { return "FORMAT" }
func (v *formatValue) Set(s string) (err error) {
	*v.f, err = output.ParseFormat(s, v.allowed)
	return err
}

// writeDescriptions writes a list, or each apart for a person to read.
func writeDescriptions[T interface{ write(io.Writer) error }](w io.Writer, format output.Format, described []T) error {
	if format != output.Table {
		return output.List(w, format, described, nil)
	}
	for i, d := range described {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := d.write(w); err != nil {
			return err
		}
	}
	return nil
}
