package mutants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mutant is one planted bug.
type Mutant struct {
	Name   string
	Bug    string
	Edits  []Edit
	Caught []Harness // each of them has to fail
}

// Edit replaces a text, which stands exactly once in a file of the module.
type Edit struct {
	File     string // from the module's root
	Old, New string
}

// Harness is a test that has to fail when the bug is in.
type Harness struct {
	Package string   // from the module's root
	Run     string   // as of go test -run
	Broker  bool     // the bug is in the broker that the test attacks, else in the package
	Env     []string // NAME=value, beside what is there
	Says    string   // a regular expression: what the failed test has to say
}

// inside is a harness whose own package has the bug.
func inside(pkg, run, says string) Harness { return Harness{Package: pkg, Run: run, Says: says} }

// attack is a test of package torture on a broker with the bug.
func attack(run, says string, env ...string) Harness {
	return Harness{Package: "cmd/weir/torture", Run: run, Broker: true, Env: env, Says: says}
}

// Plant returns the files of the module at root that the mutant changes, by
// their path from there. A text that is not there exactly once is an error.
func (m Mutant) Plant(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for i, e := range m.Edits {
		b, ok := files[e.File]
		if !ok {
			var err error
			if b, err = os.ReadFile(filepath.Join(root, e.File)); err != nil {
				return nil, fmt.Errorf("%s, edit %d: %w", m.Name, i+1, err)
			}
		}
		if n := bytes.Count(b, []byte(e.Old)); n != 1 {
			return nil, fmt.Errorf("%s, edit %d: its text stands %d times in %s, want once:\n%s", m.Name, i+1, n, e.File, e.Old)
		}
		files[e.File] = bytes.Replace(b, []byte(e.Old), []byte(e.New), 1)
	}
	return files, nil
}

// Overlay plants the mutant into files in dir, and returns the path of what the
// go command takes as -overlay.
func (m Mutant) Overlay(root, dir string) (string, error) {
	files, err := m.Plant(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, b := range files {
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(to, b, 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o644)
}
