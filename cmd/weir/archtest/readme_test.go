package archtest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/cluster/config"
	"weir/protocol"
)

var update = flag.Bool("update", false, "write the derived parts of README.md instead of checking them")

// TestReadmeTables wants the tables of README.md to be what the code has: the APIs that the broker answers ApiVersions
// with, and the topic keys without effect. `go test ./cmd/weir/archtest -run Readme -update` writes them.
func TestReadmeTables(t *testing.T) {
	checkTable(t, "api-versions", apiTable(protocol.APIs()))
	checkTable(t, "topic-keys", ignoredTable(config.Keys(config.ScopeTopic)))
}

// checkTable compares what stands between two lines with the name of a table.
func checkTable(t *testing.T, name, want string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, begins := strings.Cut(readme(t), begin)
	table, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("README.md has no place for the table: want the lines %q and %q", begin, end)
	}
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("README.md's table is not what the code has; write it by: go test ./cmd/weir/archtest -run Readme -update\ngot:\n%swant:\n%s", table, want)
	}
	if err := os.WriteFile(filepath.Join(root(t), "README.md"), []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ignoredTable lists keys without effect, those with one reason together.
func ignoredTable(keys []*config.Key) string {
	var reasons []string
	names := map[string][]string{}
	for _, k := range keys {
		if k.Status != config.Ignored {
			continue
		}
		if names[k.Why] == nil {
			reasons = append(reasons, k.Why)
		}
		names[k.Why] = append(names[k.Why], "`"+k.Name+"`")
	}
	var table strings.Builder
	table.WriteString("| Topic key | Why |\n|---|---|\n")
	for _, why := range reasons {
		fmt.Fprintf(&table, "| %s | %s |\n", strings.Join(names[why], ", "), why)
	}
	return table.String()
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
