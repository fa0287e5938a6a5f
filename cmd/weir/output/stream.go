package output

import (
	"bytes"
	"encoding/json"
	"io"
)

// streamRows is how many rows of a table share their column widths; more would only fill the memory.
const streamRows = 1000

// Stream writes items as List does, but one after the other, for results that may be large.
type Stream[T any] struct {
	w       io.Writer
	format  Format
	columns []Column[T]
	rows    [][]string
	count   int
}

// NewStream writes nothing yet.
func NewStream[T any](w io.Writer, f Format, columns []Column[T]) *Stream[T] {
	return &Stream[T]{w: w, format: f, columns: columns}
}

// Add writes one item, or keeps it until there is a page of them.
func (s *Stream[T]) Add(item T) error {
	s.count++
	switch s.format {
	case JSONL:
		return Line(s.w, item)
	case JSON:
		var b bytes.Buffer
		b.WriteString(",\n  ")
		if s.count == 1 {
			b.Reset()
			b.WriteString("[\n  ")
		}
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(item); err != nil {
			return err
		}
		_, err := s.w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
		return err
	}
	if s.count == 1 {
		s.title()
	}
	var row []string
	for _, c := range s.columns {
		if !c.Wide || s.format == Wide {
			row = append(row, c.Cell(item))
		}
	}
	if s.rows = append(s.rows, row); len(s.rows) >= streamRows {
		return s.page()
	}
	return nil
}

func (s *Stream[T]) title() {
	var row []string
	for _, c := range s.columns {
		if !c.Wide || s.format == Wide {
			row = append(row, c.Name)
		}
	}
	s.rows = append(s.rows, row)
}

func (s *Stream[T]) page() error {
	rows := s.rows
	s.rows = s.rows[:0]
	return Rows(s.w, rows)
}

// Close writes what is left and ends the document.
func (s *Stream[T]) Close() error {
	switch s.format {
	case JSONL:
		return nil
	case JSON:
		end := "\n]\n"
		if s.count == 0 {
			end = "[]\n"
		}
		_, err := io.WriteString(s.w, end)
		return err
	}
	if s.count == 0 {
		s.title()
	}
	return s.page()
}
