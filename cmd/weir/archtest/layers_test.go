package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layer says what the packages at path may import: of ours, exactly those named (a trailing /... covers
// what is below); of others, what begins with a named path. The standard library is free, but for log.
type layer struct {
	path   string
	ours   []string
	others []string
}

// The arrows go one way. Everything that is not named here, or below cmd, has no place yet.
var layers = []layer{
	{"protocol/histogram", nil, nil},

	{"protocol/recordbatch", nil, []string{"github.com/klauspost/compress", "github.com/pierrec/lz4/v4"}},
	{"protocol", []string{"protocol/recordbatch"}, []string{"github.com/twmb/franz-go/pkg/kmsg"}},
	{"protocol/wire", []string{"protocol", "protocol/histogram"}, []string{"golang.org/x/sys"}},

	{"segment/vfs", nil, []string{"golang.org/x/sys"}},
	{"segment/internal/mmap", []string{"segment/vfs"}, []string{"github.com/tysonmote/gommap", "golang.org/x/sys"}},
	{"segment", []string{"segment/vfs", "segment/internal/mmap", "protocol/recordbatch"}, nil},
	{"log/internal/offheap", nil, nil},
	{"log", []string{"log/internal/offheap", "segment", "segment/vfs", "protocol/recordbatch", "protocol/histogram"}, nil},
	{"log/logtest", []string{"log", "segment", "segment/vfs", "protocol/recordbatch"}, nil},
	{"partition", []string{"log", "segment/vfs", "protocol/recordbatch"}, []string{"github.com/hashicorp/raft", "github.com/hashicorp/go-hclog"}},

	// Pure: no I/O, the clock handed in.
	{"cluster/config", nil, nil},
	{"cluster/metadata", nil, nil},
	{"cluster/quota", []string{"cluster/metadata"}, nil},
	{"cluster/acl", []string{"cluster/metadata"}, nil},
	{"cluster/space", nil, nil},
	{"cluster/group/assignor", nil, nil},
	{"cluster/group", []string{"cluster/group/assignor"}, nil},
	{"cluster/fields", nil, nil},
	{"cluster/group/record", []string{"cluster/fields", "cluster/group", "cluster/group/assignor"}, nil},
	{"cluster/group/consumer", []string{"cluster/group", "cluster/group/assignor"}, nil},
	{"cluster/txn", nil, nil},
	{"cluster/txn/record", []string{"cluster/fields", "cluster/txn"}, nil},

	{"cluster/transport", nil, []string{"github.com/hashicorp/raft"}},
	{"cluster/boltfile", nil, []string{"go.etcd.io/bbolt"}},
	{"cluster/votes", []string{"cluster/boltfile"}, []string{"github.com/hashicorp/raft", "go.etcd.io/bbolt"}},
	{"cluster/controller", []string{"cluster/boltfile", "cluster/metadata"}, []string{
		"github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2", "github.com/hashicorp/go-hclog",
	}},
	{"cluster", []string{
		"cluster/config", "cluster/metadata", "cluster/group", "cluster/txn", "cluster/transport", "cluster/controller",
		"cluster/votes", "cluster/space",
		"partition", "log", "segment/vfs", "protocol/recordbatch", "protocol/histogram",
	}, []string{"github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2"}},
	{"cluster/broker", []string{
		"cluster", "cluster/config", "cluster/metadata", "cluster/quota", "cluster/acl", "cluster/space", "cluster/group/...", "cluster/txn/...",
		"partition", "log", "protocol", "protocol/wire", "protocol/recordbatch",
	}, []string{"github.com/twmb/franz-go/pkg/kmsg", "github.com/twmb/franz-go/pkg/kbin"}},

	{"cluster/adminhttp", []string{"cluster", "cluster/broker", "cluster/metadata", "cluster/quota", "protocol", "protocol/wire", "protocol/histogram"}, []string{
		"github.com/prometheus",
	}},

	// Brokers for tests.
	{"cluster/broker/brokertest", []string{"cluster/...", "segment/vfs", "protocol"}, []string{
		"github.com/twmb/franz-go/pkg",
	}},

	// A black box client: nothing of the server.
	{"bench", []string{"bench/..."}, []string{
		"github.com/twmb/franz-go", "github.com/HdrHistogram/hdrhistogram-go", "golang.org/x/sys",
	}},
	{"bench/...", []string{"bench/..."}, []string{
		"github.com/twmb/franz-go", "github.com/HdrHistogram/hdrhistogram-go", "golang.org/x/sys", "github.com/nats-io",
	}},
}

// goPackage is what `go list -json` says of one package.
type goPackage struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
}

const module = "weir/"

func TestLayers(t *testing.T) {
	standard := map[string]bool{}
	packages := listPackages(t)
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	checked := 0
	for _, p := range packages {
		path, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours || path == "cmd" || strings.HasPrefix(path, "cmd/") {
			continue
		}
		rule, found := layerOf(path)
		if !found {
			t.Errorf("%s has no place among the layers", path)
			continue
		}
		checked++
		for _, imported := range p.Imports {
			if !standard[imported] && !allowed(rule, imported) {
				t.Errorf("%s must not import %s", path, imported)
			}
		}
	}
	if checked == 0 {
		t.Error("no package was checked")
	}
}

// TestNoStandardLog keeps the word log for Weir's own: package log/slog is the logger, everywhere.
func TestNoStandardLog(t *testing.T) {
	for _, p := range listPackages(t) {
		if !strings.HasPrefix(p.ImportPath, module) {
			continue
		}
		if slices.Contains(slices.Concat(p.Imports, p.TestImports, p.XTestImports), "log") {
			t.Errorf("%s imports the standard library's log", p.ImportPath)
		}
	}
}

func TestAllowed(t *testing.T) {
	rule := layer{"a", []string{"b", "c/..."}, []string{"example.org/x"}}
	for imported, want := range map[string]bool{
		"weir/b": true, "weir/b/d": false, "weir/c": true, "weir/c/d": true, "weir/cc": false, "weir/a": false,
		"example.org/x": true, "example.org/x/y": true, "example.org/xy": false, "example.org/z": false,
	} {
		if got := allowed(rule, imported); got != want {
			t.Errorf("import of %s is allowed: %t, want %t", imported, got, want)
		}
	}
}

// layerOf finds the rule for a package: its own, else that of the nearest folder with /... .
func layerOf(path string) (layer, bool) {
	for _, l := range layers {
		if l.path == path {
			return l, true
		}
	}
	for _, l := range layers {
		if covers(l.path, path) {
			return l, true
		}
	}
	return layer{}, false
}

func allowed(rule layer, imported string) bool {
	if path, ours := strings.CutPrefix(imported, module); ours {
		return slices.ContainsFunc(rule.ours, func(pattern string) bool { return covers(pattern, path) })
	}
	return slices.ContainsFunc(rule.others, func(prefix string) bool { return covers(prefix+"/...", imported) })
}

// covers reports whether pattern is path, or ends in /... and stands above it or for it.
func covers(pattern, path string) bool {
	folder, deep := strings.CutSuffix(pattern, "/...")
	return folder == path || deep && strings.HasPrefix(path, folder+"/")
}

// listPackages lists every package of the module and all that they need, with the files of every build
// tag that the tree uses.
func listPackages(t *testing.T) (packages []goPackage) {
	t.Helper()
	command := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Standard,Imports,TestImports,XTestImports",
		"-tags", "invariants,torture,mutants", "./...")
	command.Dir = root(t)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// root is the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
