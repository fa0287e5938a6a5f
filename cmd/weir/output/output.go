// Package output writes what commands found: as a table that greps and cuts well, or as JSON for
// programs, always the same facts. It holds the units (binary bytes, grouped digits), the timestamps
// (UTC, milliseconds) and the progress line too, so that every command says a thing the same way.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Format is how a command's result is written.
type Format string

const (
	Table Format = "table" // aligned columns with a header line in capitals
	Wide  Format = "wide"  // Table with the columns that are seldom asked for
	JSON  Format = "json"  // one document: a list, or an object where there is just one
	JSONL Format = "jsonl" // one object a line
	Name  Format = "name"  // the first column alone, one a line
)

// ParseFormat accepts one of allowed. The error lists them.
func ParseFormat(s string, allowed []Format) (Format, error) {
	if f := Format(s); slices.Contains(allowed, f) {
		return f, nil
	}
	return "", fmt.Errorf("no output format %q: there are %s", s, Join(allowed))
}

// Join lists formats as a flag's help shows them.
func Join(formats []Format) string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

// Column is one column of a table over items of type T.
type Column[T any] struct {
	Name string // in capitals
	Wide bool   // shown by Wide only
	Cell func(T) string
}

// List writes items in format f. An empty list is still a header line, or an empty JSON list.
func List[T any](w io.Writer, f Format, items []T, columns []Column[T]) error {
	switch f {
	case JSON:
		if items == nil {
			items = []T{}
		}
		return writeJSON(w, items)
	case JSONL:
		for _, item := range items {
			if err := Line(w, item); err != nil {
				return err
			}
		}
		return nil
	case Name:
		for _, item := range items {
			if _, err := fmt.Fprintln(w, columns[0].Cell(item)); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([][]string, 0, len(items)+1)
	var header []string
	for _, c := range columns {
		if !c.Wide || f == Wide {
			header = append(header, c.Name)
		}
	}
	rows = append(rows, header)
	for _, item := range items {
		var row []string
		for _, c := range columns {
			if !c.Wide || f == Wide {
				row = append(row, c.Cell(item))
			}
		}
		rows = append(rows, row)
	}
	return Rows(w, rows)
}

// One writes a single object: JSON as such, otherwise what table does.
func One(w io.Writer, f Format, item any, table func(io.Writer) error) error {
	switch f {
	case JSON:
		return writeJSON(w, item)
	case JSONL:
		return Line(w, item)
	}
	return table(w)
}

// Rows writes cells as columns, two blanks apart. An empty cell is shown as "-", so that cut and awk
// count right.
func Rows(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, cell)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

// Line writes v as one line of JSON.
func Line(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
