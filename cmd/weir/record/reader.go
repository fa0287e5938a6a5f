package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/jsonl"
	"weir/cmd/weir/output"
)

// Lines is the input format that makes a record of each line.
const Lines output.Format = "lines"

// InputFormats lists what NewReader reads, the default first. Raw makes one record of all the input.
var InputFormats = []output.Format{Lines, output.JSONL, Raw}

// MaxInputBytes is the longest record that is read from a line, or from all the input: far above what a
// broker takes, and low enough that a file without newlines does not fill the memory.
const MaxInputBytes = 64 << 20

// Reader reads records one after the other.
type Reader struct {
	next  func() (*kgo.Record, jsonl.Given, error)
	count int
	unit  string
}

// NewReader reads from r in the given format, or by the template if one is set (see NewTemplate; the
// language is that of franz-go's record reader).
func NewReader(r io.Reader, format output.Format, template string) (*Reader, error) {
	if template != "" {
		return newTemplateReader(r, template)
	}
	switch format {
	case Lines, output.JSONL:
		return newLineReader(r, format == output.JSONL), nil
	case Raw:
		return newRawReader(r), nil
	}
	return nil, fmt.Errorf("no input format %q", format)
}

// Next returns the next record and which of its fields the input gave, or io.EOF. Any other error names
// the line or the record and ends the input.
func (r *Reader) Next() (*kgo.Record, jsonl.Given, error) {
	r.count++
	rec, given, err := r.next()
	if err != nil && err != io.EOF {
		err = fmt.Errorf("input %s %d: %w", r.unit, r.count, err)
	}
	return rec, given, err
}

func newLineReader(in io.Reader, isJSON bool) *Reader {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 64<<10), MaxInputBytes)
	scanner.Split(splitLines)
	r := &Reader{unit: "line"}
	r.next = func() (*kgo.Record, jsonl.Given, error) {
		for scanner.Scan() {
			line := scanner.Bytes()
			if !isJSON {
				return &kgo.Record{Value: append([]byte{}, line...)}, jsonl.Given{}, nil
			}
			if len(bytes.TrimSpace(line)) > 0 {
				return jsonl.Parse(line)
			}
			r.count++
		}
		err := scanner.Err()
		switch {
		case err == nil:
			err = io.EOF
		case errors.Is(err, bufio.ErrTooLong):
			err = fmt.Errorf("longer than %s", output.Bytes(MaxInputBytes))
		}
		return nil, jsonl.Given{}, err
	}
	return r
}

// splitLines is bufio.ScanLines, but a carriage return belongs to the line: it may be data.
func splitLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func newRawReader(in io.Reader) *Reader {
	done := false
	return &Reader{unit: "record", next: func() (*kgo.Record, jsonl.Given, error) {
		if done {
			return nil, jsonl.Given{}, io.EOF
		}
		done = true
		b, err := io.ReadAll(io.LimitReader(in, MaxInputBytes+1))
		if err == nil && len(b) > MaxInputBytes {
			err = fmt.Errorf("longer than %s", output.Bytes(MaxInputBytes))
		}
		return &kgo.Record{Value: b}, jsonl.Given{}, err
	}}
}

func newTemplateReader(in io.Reader, template string) (*Reader, error) {
	layout, verbs := kcatAliases(template)
	rr, err := kgo.NewRecordReader(in, layout)
	if err != nil {
		return nil, err
	}
	given := jsonl.Given{
		Topic:     bytes.ContainsRune(verbs, 't'),
		Partition: bytes.ContainsRune(verbs, 'p'),
		Timestamp: bytes.ContainsRune(verbs, 'd'),
	}
	return &Reader{unit: "record", next: func() (*kgo.Record, jsonl.Given, error) {
		r, err := rr.ReadRecord()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the input ends before the template %q does", template)
		}
		return r, given, err
	}}, nil
}
