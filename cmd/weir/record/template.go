package record

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// NewTemplate makes a formatter from franz-go's record language (%t %p %o %k %v %d %h{...}, with \n and
// \t), in which kcat's %s and %S stand for the value and its length as well.
func NewTemplate(layout string) (*kgo.RecordFormatter, error) {
	layout, _ = kcatAliases(layout)
	return kgo.NewRecordFormatter(layout)
}

// kcatAliases rewrites %s and %S, which mean nothing to franz-go, and leaves %%s alone. What lies within
// a verb's braces is that verb's own language: strftime's %S is seconds. verbs are the letters found
// outside of braces, in order.
func kcatAliases(layout string) (rewritten string, verbs []byte) {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(layout); i++ {
		c := layout[i]
		switch {
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == '\\' && i+1 < len(layout):
			b.WriteByte(c)
			i++
			c = layout[i]
		case c == '%' && i+1 < len(layout):
			b.WriteByte(c)
			i++
			c = layout[i]
			if depth == 0 && c == 's' {
				c = 'v'
			} else if depth == 0 && c == 'S' {
				c = 'V'
			}
			if depth == 0 {
				verbs = append(verbs, c)
			}
		}
		b.WriteByte(c)
	}
	return b.String(), verbs
}
