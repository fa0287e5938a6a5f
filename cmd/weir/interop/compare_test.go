//go:build interop

package interop

import (
	"testing"

	"weir/interop/job"
)

// TestSameContent plants the differences that the comparison must not pass over.
func TestSameContent(t *testing.T) {
	text := func(s string) *string { return &s }
	base := func() job.Record {
		return job.Record{Key: []byte("k"), Value: []byte("v"), Headers: []job.Header{{Name: "a", Value: []byte("1")}, {Name: "b"}}}
	}
	for name, change := range map[string]func(*job.Record){
		"null key":          func(r *job.Record) { r.Key = nil },
		"empty key":         func(r *job.Record) { r.Key = []byte{} },
		"other value":       func(r *job.Record) { r.Value = []byte("w") },
		"null value":        func(r *job.Record) { r.Value = nil },
		"headers swapped":   func(r *job.Record) { r.Headers[0], r.Headers[1] = r.Headers[1], r.Headers[0] },
		"header lost":       func(r *job.Record) { r.Headers = r.Headers[:1] },
		"header not null":   func(r *job.Record) { r.Headers[1].Value = []byte{} },
		"other header text": func(r *job.Record) { r.HeaderText = text("a=1") },
	} {
		changed := base()
		change(&changed)
		if sameContent(base(), changed) {
			t.Errorf("%s went unnoticed", name)
		}
	}
	printed := base()
	printed.Headers, printed.HeaderText = nil, text("a=1,b=NULL")
	if !sameContent(base(), base()) || !sameContent(base(), printed) {
		t.Error("the same record is taken for another")
	}
	empty, null := job.Record{Key: []byte{}}, job.Record{}
	if sameContent(empty, null) || sameContent(null, empty) {
		t.Error("null and empty are taken for each other")
	}
}
