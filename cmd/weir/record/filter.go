// Package record is what a command line does with single records: picks them by a filter, writes them
// as text, JSON or by a template, and reads them from lines or a template.
package record

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Filter is a list of conditions that must all hold. The empty Filter matches every record.
type Filter []condition

type condition struct {
	field  byte // 'k', 'v' or 'h'
	header string
	negate bool
	match  func([]byte) bool
}

// FilterHelp says in one line what ParseFilter takes.
const FilterHelp = "key, value or header.NAME, then = (equals), : (contains) or ~ (regular expression), with ! in front for not: key=u1, value:paid, header.type!~^test"

// ParseFilter reads conditions, one a string, as FilterHelp says. A null key or value, or a header that
// is missing, fulfils only the negated forms; of a header that is there more than once, one is enough.
func ParseFilter(texts []string) (Filter, error) {
	var f Filter
	for _, text := range texts {
		c, err := parseCondition(text)
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", text, err)
		}
		f = append(f, c)
	}
	return f, nil
}

func parseCondition(text string) (c condition, err error) {
	at := strings.IndexAny(text, "=:~")
	if at < 0 {
		return c, fmt.Errorf("write %s", FilterHelp)
	}
	field, op, operand := text[:at], text[at], text[at+1:]
	field, c.negate = strings.CutSuffix(field, "!")
	switch name, isHeader := strings.CutPrefix(field, "header."); {
	case field == "key", field == "value":
		c.field = field[0]
	case isHeader && name != "":
		c.field, c.header = 'h', name
	default:
		return c, fmt.Errorf("no field %q: write %s", field, FilterHelp)
	}
	want := []byte(operand)
	switch op {
	case '=':
		c.match = func(b []byte) bool { return bytes.Equal(b, want) }
	case ':':
		c.match = func(b []byte) bool { return bytes.Contains(b, want) }
	case '~':
		re, err := regexp.Compile(operand)
		if err != nil {
			return c, err
		}
		c.match = re.Match
	}
	return c, nil
}

// Match says whether r fulfils every condition.
func (f Filter) Match(r *kgo.Record) bool {
	for _, c := range f {
		if c.holds(r) == c.negate {
			return false
		}
	}
	return true
}

func (c condition) holds(r *kgo.Record) bool {
	switch c.field {
	case 'k':
		return r.Key != nil && c.match(r.Key)
	case 'v':
		return r.Value != nil && c.match(r.Value)
	}
	for _, h := range r.Headers {
		if h.Key == c.header && h.Value != nil && c.match(h.Value) {
			return true
		}
	}
	return false
}
