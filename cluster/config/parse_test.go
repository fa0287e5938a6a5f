package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func entries(t *testing.T, name, text string) map[string]string {
	t.Helper()
	list, err := ParseFile(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range list {
		out[e.Name] = e.Value
	}
	return out
}

func wantEntries(t *testing.T, got, want map[string]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// The cases are those of the documentation of java.util.Properties.load.
func TestProperties(t *testing.T) {
	text := "# comment\n! comment too\n\n" +
		"Truth = Beauty\n" +
		" Truth2:Beauty\n" +
		"Truth3                    :Beauty\r\n" +
		"fruits   apple, banana, pear, \\\n" +
		"         cantaloupe, \\\n" +
		"         kiwi\n" +
		"cheeses\n" +
		"a\\ b\\:c\\=d=e\r" +
		"escapes=\\t\\n\\r\\f\\u00e4\\ud83d\\ude00\\q\\\\\n" +
		"even=x\\\\\n" +
		"url=PLAINTEXT://host:9092 # not a comment\n" +
		"tab\tvalue with  spaces \n" +
		"colon = :x\n" +
		"last=y\\"
	wantEntries(t, entries(t, "a.properties", text), map[string]string{
		"Truth": "Beauty", "Truth2": "Beauty", "Truth3": "Beauty",
		"fruits": "apple, banana, pear, cantaloupe, kiwi", "cheeses": "", "a b:c=d": "e",
		"escapes": "\t\n\r\fä😀q\\", "even": `x\`, "url": "PLAINTEXT://host:9092 # not a comment",
		"tab": "value with  spaces ", "colon": ":x", "last": "y",
	})
}

func TestYAML(t *testing.T) {
	text := "---\n# comment\n" +
		"node.id: 3\n" +
		"listeners: PLAINTEXT://127.0.0.1:9092   # where\n" +
		"\"broker.rack\": 'it''s # here'\n" +
		"log.dir: \"a\\tb\"\n" +
		"log.cleanup.policy: [compact, 'delete']\n" +
		"advertised.listeners:\n  - PLAINTEXT://a:1\n  - \"HOST://b:2\"\n" +
		"super.users:\n- a\n- b\n" +
		"log.dirs: ~\n" +
		"cluster.id:\n"
	wantEntries(t, entries(t, "a.yaml", text), map[string]string{
		"node.id": "3", "listeners": "PLAINTEXT://127.0.0.1:9092", "broker.rack": "it's # here", "log.dir": "a\tb",
		"log.cleanup.policy": "compact,delete", "advertised.listeners": "PLAINTEXT://a:1,HOST://b:2", "super.users": "a,b",
		"log.dirs": "", "cluster.id": "",
	})
}

func TestSyntaxErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ file, text, where string }{
		{"s.properties", "a=1\nb=\\u12x4\n", "s.properties:2: "},
		{"s.properties", "\n\n=x\n", "s.properties:3: "},
		{"s.properties", "a=\\ud83d\n", "s.properties:1: "},
		{"s.properties", "a\\u00=1\n", "s.properties:1: "},
		{"s.yml", "a: 1\nlog:\n  segment: 2\n", "s.yml:3: "},
		{"s.yaml", "a=1\n", "s.yaml:1: "},
		{"s.yaml", "a: [1,\n", "s.yaml:1: "},
		{"s.yaml", "a: [{}]\n", "s.yaml:1: "},
		{"s.yaml", "a: \"x\n", "s.yaml:1: "},
		{"s.yaml", "a: 'x\n", "s.yaml:1: "},
		{"s.yaml", "a: {b: 1}\n", "s.yaml:1: "},
		{"s.yaml", "- a\n", "s.yaml:1: "},
		{"s.yaml", "a: 1\n- b\n", "s.yaml:2: "},
		{"s.yaml", "a:\n- [b]\n", "s.yaml:2: "},
		{"s.yaml", ": x\n", "s.yaml:1: "},
		{"s.properties", "a=\xff", "s.properties: "},
		{"s.properties", strings.Repeat("#", MaxFileBytes+1), "s.properties: "},
	} {
		_, err := ParseFile(c.file, []byte(c.text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), c.where) {
			t.Errorf("%q: got %v, want a SyntaxError at %s", c.text[:min(len(c.text), 20)], err, c.where)
		}
	}
}

func TestEnviron(t *testing.T) {
	files := map[string]string{"/run/secret": "hunter2\n", "/run/id": "abc"}
	read := func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, os.ErrNotExist
		}
		return []byte(text), nil
	}
	list, err := ParseEnviron([]string{
		"KAFKA_NODE_ID=4", "KAFKA_LOG_RETENTION_MS=5", "KAFKA_A__B___C=x", "CLUSTER_ID_FILE=/run/id", "PATH=/bin",
		"KAFKA_SSL_KEYSTORE_PASSWORD_FILE=/run/secret", "KAFKA_OPTS=-Xmx1g", "KAFKA_BROKERS=a:1", "KAFKA_",
		"KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_SERVICE_HOST=10.0.0.1", "KAFKA_0_SERVICE_PORT_HTTP=1",
		"KAFKA_PORT_9092_TCP_ADDR=10.0.0.1", "KAFKA_UNKNOWN_FILE=/nowhere", "KAFKA_METADATA_LOG_DIR=/x",
	}, read)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range list {
		got[e.Name] = e.Value
		if e.Where == "" {
			t.Errorf("%s: no variable named", e.Name)
		}
	}
	wantEntries(t, got, map[string]string{
		"node.id": "4", "log.retention.ms": "5", "a_b-c": "x", "cluster.id": "abc", "ssl.keystore.password": "hunter2",
		"unknown.file": "/nowhere", "metadata.log.dir": "/x",
	})
	if _, err := ParseEnviron([]string{"KAFKA_NODE_ID_FILE=/nowhere"}, read); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "KAFKA_NODE_ID_FILE") {
		t.Fatal(err)
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add("a.properties", "a=b\\\n c\nd:e\\u0041 f")
	f.Add("a.yaml", "a: 'b'\nc:\n  - d\ne: [f, \"g\"]")
	f.Fuzz(func(t *testing.T, name, text string) {
		list, err := ParseFile(name, []byte(text))
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || list != nil {
				t.Fatalf("%v with %d entries", err, len(list))
			}
			return
		}
		for _, e := range list {
			if e.Name == "" || !strings.HasPrefix(e.Where, name+":") {
				t.Fatalf("%+v", e)
			}
		}
	})
}
