package mutants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func moduleRoot(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestTable: all of them are there, and each says what is needed of it.
func TestTable(t *testing.T) {
	if len(All) != 21 {
		t.Errorf("%d mutants, want 21", len(All))
	}
	for i, m := range All {
		if want := fmt.Sprintf("M%d", i+1); m.Name != want || m.Bug == "" {
			t.Errorf("mutant %q (%q) stands where %s belongs", m.Name, m.Bug, want)
		}
		if len(m.Edits) == 0 || len(m.Caught) == 0 {
			t.Errorf("%s: %d edits, %d harnesses", m.Name, len(m.Edits), len(m.Caught))
		}
		for _, h := range m.Caught {
			checkHarness(t, m.Name, h)
		}
	}
}

// checkHarness wants the tests that a harness names to be there.
func checkHarness(t *testing.T, mutant string, h Harness) {
	t.Helper()
	if _, err := regexp.Compile(h.Says); err != nil || h.Says == "" {
		t.Errorf("%s: what %s has to say: %q, %v", mutant, h.Run, h.Says, err)
	}
	files, err := filepath.Glob(filepath.Join(moduleRoot(t), h.Package, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(strings.Trim(h.Run, "^$"), "/")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("func "+strings.TrimSuffix(name, "$")+"(t *testing.T)")) {
			return
		}
	}
	t.Errorf("%s: there is no %s in %s", mutant, name, h.Package)
}

// TestPlanted: every edit finds its text once, and what it makes compiles.
func TestPlanted(t *testing.T) {
	root := moduleRoot(t)
	packages := exportData(t, root)
	for _, m := range All {
		t.Run(m.Name, func(t *testing.T) {
			files, err := m.Plant(root)
			if err != nil {
				t.Fatal(err)
			}
			checked := map[string]bool{}
			for name := range files {
				if folder := path.Dir(name); !checked[folder] {
					checked[folder] = true
					if err := compile(packages, root, folder, files); err != nil {
						t.Errorf("%s does not compile with it: %v", folder, err)
					}
				}
			}
		})
	}
}

func TestPlantRefuses(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("one two two"), 0o644); err != nil {
		t.Fatal(err)
	}
	plant := func(edits ...Edit) (string, error) {
		files, err := Mutant{Name: "M0", Edits: edits}.Plant(root)
		return string(files["a.go"]), err
	}
	if got, err := plant(Edit{"a.go", "one", "1"}, Edit{"a.go", "1 two", "1 2"}); err != nil || got != "1 2 two" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, e := range []Edit{{"a.go", "two", "2"}, {"a.go", "three", "3"}, {"b.go", "one", "1"}} {
		if got, err := plant(e); err == nil {
			t.Errorf("%+v gives %q", e, got)
		}
	}
}

// listed is what the go command knows of a package.
type listed struct {
	ImportPath, Export string
	GoFiles            []string
}

// exportData lists the module's packages and all that they import, compiled.
func exportData(t *testing.T, root string) map[string]listed {
	t.Helper()
	c := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,GoFiles", "./cmd/weir")
	c.Dir = root
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]listed{}
	for lines := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := lines.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all[p.ImportPath] = p
	}
}

// compile checks the types of a package, some files of which are replaced.
func compile(packages map[string]listed, root, folder string, replaced map[string][]byte) error {
	set := token.NewFileSet()
	var syntax []*ast.File
	for _, name := range packages["weir/"+folder].GoFiles {
		name = path.Join(folder, name)
		var source any
		if b, ok := replaced[name]; ok {
			source = b
		}
		f, err := parser.ParseFile(set, filepath.Join(root, name), source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		syntax = append(syntax, f)
	}
	lookup := func(imported string) (io.ReadCloser, error) { return os.Open(packages[imported].Export) }
	conf := types.Config{Importer: importer.ForCompiler(set, "gc", lookup)}
	_, err := conf.Check("weir/"+folder, set, syntax, nil)
	return err
}
