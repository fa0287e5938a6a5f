package archtest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/protocol"
)

var update = flag.Bool("update", false, "write the derived parts of README.md instead of checking them")

// The table of APIs stands between these lines of README.md.
const (
	tableBegin = "<!-- api-versions -->\n"
	tableEnd   = "<!-- /api-versions -->\n"
)

// TestReadmeAPIs wants the table of README.md to be the one that the broker answers ApiVersions with.
// `go test ./cmd/weir/archtest -run Readme -update` writes it.
func TestReadmeAPIs(t *testing.T) {
	file := filepath.Join(root(t), "README.md")
	text := readme(t)
	before, rest, begins := strings.Cut(text, tableBegin)
	table, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("README.md has no place for the table of APIs: want the lines %q and %q", tableBegin, tableEnd)
	}
	want := apiTable(protocol.APIs())
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("README.md's table of APIs is not that of protocol.APIs(); write it by: go test ./cmd/weir/archtest -run Readme -update\ngot:\n%swant:\n%s", table, want)
	}
	if err := os.WriteFile(file, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func apiTable(apis []protocol.API) string {
	var table strings.Builder
	table.WriteString("| Key | API | Versions |\n|---:|---|---|\n")
	for _, api := range apis {
		versions := fmt.Sprintf("%d-%d", api.Floor, api.Max)
		if api.Floor == api.Max {
			versions = fmt.Sprint(api.Max)
		}
		if api.Floor != api.Min {
			versions += fmt.Sprintf(" (announced from %d, for older librdkafka)", api.Min)
		}
		fmt.Fprintf(&table, "| %d | %s | %s |\n", api.Key, api.Name, versions)
	}
	return table.String()
}

// TestReadmeLayout compares the code block below the heading "Layout" of README.md with the tree: each of
// its lines begins with a folder, each folder exists, and each package of the module is named or lies
// below a folder named with /... .
func TestReadmeLayout(t *testing.T) {
	named := layoutOf(readme(t))
	if len(named) == 0 {
		t.Fatal("README.md has no code block below a heading \"Layout\"")
	}
	for _, pattern := range named {
		folder := strings.TrimSuffix(pattern, "/...")
		if info, err := os.Stat(filepath.Join(root(t), folder)); err != nil || !info.IsDir() {
			t.Errorf("README.md's layout names %s, which is no folder", folder)
		}
	}
	for _, p := range listPackages(t) {
		path, ours := strings.CutPrefix(p.ImportPath, module)
		if ours && !slices.ContainsFunc(named, func(pattern string) bool { return covers(pattern, path) }) {
			t.Errorf("README.md's layout does not name %s", path)
		}
	}
}

func TestLayoutOf(t *testing.T) {
	text := "# X\n\n    not this\n\n## Layout\n\nwords\n\n    a/b     one\n    c/...   two\n\n    d  three\n\n## Next\n\n    e\n"
	if got, want := layoutOf(text), []string{"a/b", "c/...", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := layoutOf("## Layout\n\n```\na  one\nb  two\n```\nc\n"), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// layoutOf lists the first words of the code block, indented or fenced, below the heading "Layout".
func layoutOf(text string) (folders []string) {
	_, section, _ := strings.Cut(text, "\n## Layout")
	if rest, first := strings.CutPrefix(text, "## Layout"); first {
		section = rest
	}
	section, _, _ = strings.Cut(section, "\n## ")
	fenced := false
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		if words := strings.Fields(line); len(words) > 0 && (fenced || strings.HasPrefix(line, "    ")) {
			folders = append(folders, strings.Trim(words[0], "`"))
		}
	}
	return folders
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
