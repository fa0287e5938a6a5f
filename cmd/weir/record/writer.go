package record

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/jsonl"
	"weir/cmd/weir/output"
)

// Formats a Writer knows beside output.Table, output.JSON and output.JSONL.
const (
	Text  output.Format = "text"  // one line a record, for people
	Raw   output.Format = "raw"   // the value's bytes, nothing between
	Value output.Format = "value" // the value's bytes and a newline
	Hex   output.Format = "hex"   // place, time, key and value in hexadecimal
)

// Formats lists all of them, the default first.
var Formats = []output.Format{Text, output.JSONL, output.JSON, output.Table, Value, Raw, Hex}

// Options say how records are written.
type Options struct {
	Format   output.Format
	Template string // if set, instead of Format; see NewTemplate
	Meta     bool   // sizes in place of key, value and headers
	Now      time.Time
}

// Writer writes records to a stream, buffered. It is for one goroutine.
type Writer struct {
	w      *bufio.Writer
	append func(dst []byte, r *kgo.Record) []byte
	buf    []byte
	rows   [][]string // of a table, until Flush
	titled bool
	json   bool
	count  int
	opts   Options
}

// NewWriter checks the options and writes nothing yet.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	rw := &Writer{w: bufio.NewWriterSize(w, 64<<10), opts: o}
	switch {
	case o.Template != "":
		f, err := NewTemplate(o.Template)
		if err != nil {
			return nil, err
		}
		rw.append = f.AppendRecord
	case o.Format == output.JSON || o.Format == output.JSONL:
		rw.json = o.Format == output.JSON
		rw.append = jsonl.Append
		if o.Meta {
			rw.append = jsonl.AppendMeta
		}
	case o.Format == output.Table:
	case o.Format == Text:
		rw.append = rw.appendText
	case o.Meta:
		return nil, fmt.Errorf("the format %s has nothing but content", o.Format)
	case o.Format == Raw:
		rw.append = func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Value...) }
	case o.Format == Value:
		rw.append = func(dst []byte, r *kgo.Record) []byte { return append(append(dst, r.Value...), '\n') }
	case o.Format == Hex:
		rw.append = appendHex
	default:
		return nil, fmt.Errorf("no format %q", o.Format)
	}
	return rw, nil
}

// Write writes one record. It keeps nothing of r.
func (w *Writer) Write(r *kgo.Record) error {
	w.count++
	if w.append == nil {
		w.rows = append(w.rows, w.row(r))
		if len(w.rows) >= 1000 { // what is not a screenful needs no common width
			return w.Flush()
		}
		return nil
	}
	w.buf = w.buf[:0]
	if w.json {
		w.buf = append(w.buf, "[\n  "...)
		if w.count > 1 {
			w.buf = append(w.buf[:0], ",\n  "...)
		}
	}
	w.buf = w.append(w.buf, r)
	if w.json {
		w.buf = w.buf[:len(w.buf)-1] // the newline: what follows is not known yet
	}
	_, err := w.w.Write(w.buf)
	return err
}

// Flush hands everything written so far to the stream.
func (w *Writer) Flush() error {
	if w.append == nil && (len(w.rows) > 0 || !w.titled) {
		rows := w.rows
		if !w.titled {
			rows = append([][]string{w.title()}, rows...)
			w.titled = true
		}
		if err := output.Rows(w.w, rows); err != nil {
			return err
		}
		w.rows = w.rows[:0]
	}
	return w.w.Flush()
}

// Close ends the document that Format may be, and flushes. It does not close the stream.
func (w *Writer) Close() error {
	if w.json {
		end := "\n]\n"
		if w.count == 0 {
			end = "[]\n"
		}
		w.w.WriteString(end)
	}
	return w.Flush()
}

// Place writes where a record is, as Weir writes it everywhere: orders[2]@0.
func Place(r *kgo.Record) string { return string(appendPlace(nil, r)) }

func appendPlace(dst []byte, r *kgo.Record) []byte {
	dst = append(append(dst, r.Topic...), '[')
	dst = append(strconv.AppendInt(dst, int64(r.Partition), 10), "]@"...)
	return strconv.AppendInt(dst, r.Offset, 10)
}

// appendText is the line for people: orders[2]@0  09:41:07.412  u1  hello. The date is left out today.
func (w *Writer) appendText(dst []byte, r *kgo.Record) []byte {
	dst = append(appendPlace(dst, r), "  "...)
	layout := output.TimeLayout
	t := r.Timestamp.UTC()
	if y, d := t.Year(), t.YearDay(); y == w.opts.Now.UTC().Year() && d == w.opts.Now.UTC().YearDay() {
		layout = "15:04:05.000"
	}
	dst = append(t.AppendFormat(dst, layout), "  "...)
	if w.opts.Meta {
		return fmt.Appendf(dst, "key %s  value %s  %s\n", size(r.Key), size(r.Value), output.Plural(int64(len(r.Headers)), "header"))
	}
	dst = append(append(dst, keyText(r.Key)...), "  "...)
	dst = append(dst, output.Text(r.Value)...)
	if len(r.Headers) > 0 {
		dst = append(append(dst, "  "...), headerText(r.Headers)...)
	}
	return append(dst, '\n')
}

func keyText(b []byte) string {
	if b == nil {
		return "-"
	}
	return output.Text(b)
}

func headerText(headers []kgo.RecordHeader) string {
	parts := make([]string, len(headers))
	for i, h := range headers {
		parts[i] = output.Text([]byte(h.Key)) + ":" + output.Text(h.Value)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func size(b []byte) string {
	if b == nil {
		return "null"
	}
	return output.Bytes(int64(len(b)))
}

func appendHex(dst []byte, r *kgo.Record) []byte {
	dst = append(appendPlace(dst, r), "  "...)
	dst = r.Timestamp.UTC().AppendFormat(dst, output.TimeLayout)
	for _, b := range [][]byte{r.Key, r.Value} {
		dst = append(dst, "  "...)
		switch {
		case b == nil:
			dst = append(dst, '-')
		case len(b) == 0:
			dst = append(dst, `""`...)
		default:
			dst = hex.AppendEncode(dst, b)
		}
	}
	return append(dst, '\n')
}

func (w *Writer) title() []string {
	if w.opts.Meta {
		return []string{"TOPIC", "PARTITION", "OFFSET", "TIMESTAMP", "KEY-SIZE", "VALUE-SIZE", "HEADERS"}
	}
	return []string{"TOPIC", "PARTITION", "OFFSET", "TIMESTAMP", "KEY", "VALUE", "HEADERS"}
}

func (w *Writer) row(r *kgo.Record) []string {
	row := []string{r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Offset, 10), output.Time(r.Timestamp)}
	switch {
	case w.opts.Meta:
		return append(row, size(r.Key), size(r.Value), strconv.Itoa(len(r.Headers)))
	case len(r.Headers) == 0:
		return append(row, cell(keyText(r.Key)), cell(output.Text(r.Value)), "")
	}
	return append(row, cell(keyText(r.Key)), cell(output.Text(r.Value)), cell(headerText(r.Headers)))
}

// cellRunes is as much of a text as a table shows; the other formats show all of it.
const cellRunes = 60

func cell(s string) string {
	if runes := []rune(s); len(runes) > cellRunes {
		return string(runes[:cellRunes-1]) + "…"
	}
	return s
}
