//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/interop/job"
)

// client is one client library, with what it cannot do.
type client struct {
	name    string
	prepare func(t *testing.T) (argv, env []string)
	// murmur2 is said of clients whose partitioner must agree with Kafka's own.
	murmur2 bool
	// ways are how it can be a member of a group: with an assignor of the classic protocol, by the consumer
	// protocol; rolls are the ways that its members go, one after the other.
	ways  []string
	rolls [][]string
	// cannotStay says by which ways it has no static members that come back, and why.
	cannotStay map[string]string
	// notIdempotent is said of a client that has no idempotent producer.
	notIdempotent bool
	// emptyIsNull is said of a client that gives null for what is empty.
	emptyIsNull bool
	// transactions is said of clients whose program has job.Transform.
	transactions bool
	// floods is said of clients whose program has job.Flood.
	floods bool
	// stages is said of clients whose program has job.Stage.
	stages bool
	// clock is said of a client that stamps records with the present instead of what it is told.
	clock bool
	// cannotSend names cases of cases().
	cannotSend []string
	// lacks names fields of job.AdminResult whose call the client does not have.
	lacks []string

	argv, env []string // once prepared
}

var everyAdminCall = []string{
	"clusterId", "listed", "partitions", "configs", "altered", "replaced", "partitionsAfter", "lowWatermark",
	"startAfter", "logDirBytes", "deleted", "createExisting", "createIllegal", "describeUnknown",
}

func clients() []*client {
	return []*client{
		{
			name: "java", prepare: prepareJava, murmur2: true, transactions: true, floods: true, stages: true, lacks: []string{"replaced"},
			ways:  []string{"range", "cooperative-sticky", consumers},
			rolls: [][]string{{"range", "cooperative-sticky,range", "cooperative-sticky", consumers}},
		},
		{
			name: "confluent-kafka", prepare: python("confluent_client.py"), transactions: true, floods: true, stages: true, lacks: []string{"logDirBytes"},
			ways: []string{"range", "cooperative-sticky", consumers},
			// librdkafka refuses to have an eager assignor beside a cooperative one, so there is no way from one to the other.
			rolls: [][]string{{"range", consumers}, {"cooperative-sticky", consumers}},
		},
		// kafka-python's older alterConfigs fills in what is set already, so it replaces nothing.
		{
			name: "kafka-python", prepare: python("kafka_python_client.py"), murmur2: true,
			cannotSend: []string{"null key and value", "null header value"},
			lacks:      []string{"replaced"},
			// It, too, refuses to have an eager assignor beside a cooperative one.
			ways:  []string{"range", "cooperative-sticky"},
			rolls: [][]string{{"range", "roundrobin,range", "roundrobin"}},
		},
		{
			name: "kafkajs", prepare: prepareNode, murmur2: true,
			cannotSend: []string{"null header value"},
			lacks:      []string{"altered", "lowWatermark", "logDirBytes"},
			ways:       []string{"RoundRobinAssigner"},
			rolls:      [][]string{{"RoundRobinAssigner", "range,RoundRobinAssigner", "range"}},
			cannotStay: map[string]string{"RoundRobinAssigner": "it has no group.instance.id"},
		},
		{
			name: "franz-go", prepare: goProgram("franz"), murmur2: true, floods: true, stages: true,
			ways:  []string{"range", "cooperative-sticky", consumers},
			rolls: [][]string{{"range", "cooperative-sticky,range", "cooperative-sticky", consumers}},
			cannotStay: map[string]string{
				"cooperative-sticky": "a leader that comes back plans anew, and joins again when that is not what it is given",
				consumers:            "its last heartbeat leaves out the instance, which Kafka refuses as well",
			},
		},
		{
			name: "sarama", prepare: goProgram("sarama"), lacks: []string{"clusterId", "lowWatermark"},
			ways:  []string{"range", "cooperative-sticky"},
			rolls: [][]string{{"range", "cooperative-sticky,range", "cooperative-sticky"}},
		},
		{
			name: "kafka-go", prepare: goProgram("kafkago"), murmur2: true, notIdempotent: true, emptyIsNull: true,
			lacks:      []string{"lowWatermark", "startAfter", "logDirBytes"},
			ways:       []string{"range"},
			rolls:      [][]string{{"range", "roundrobin,range", "roundrobin"}},
			cannotStay: map[string]string{"range": "it has no group.instance.id"},
		},
		{
			// Two of kcat's records without key and value could not be told apart when looking for where they went.
			name: "kcat", prepare: prepareKcat, clock: true,
			cannotSend: []string{"null header value", "binary header", "null key and empty value", "null key and value"},
			lacks:      everyAdminCall,
		},
	}
}

// chosenClients are all of them, or those that WEIR_INTEROP_CLIENTS names (comma separated), ready to run.
func chosenClients(t *testing.T) []*client {
	t.Helper()
	return chosenOf(t, func(*client) bool { return true })
}

// chosenOf are those of the clients chosen of which something is true, ready to run.
func chosenOf(t *testing.T, is func(*client) bool) []*client {
	t.Helper()
	var wanted []string
	if names := os.Getenv("WEIR_INTEROP_CLIENTS"); names != "" {
		wanted = strings.Split(names, ",")
	}
	chosen := slices.DeleteFunc(clients(), func(c *client) bool { return wanted != nil && !slices.Contains(wanted, c.name) || !is(c) })
	for _, c := range chosen {
		started := time.Now()
		c.argv, c.env = c.prepare(t)
		t.Logf("%s ready in %v", c.name, time.Since(started).Round(time.Millisecond))
	}
	return chosen
}

// command is the client's program; it is killed when ctx ends.
func (c *client) command(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	command.Env = append(os.Environ(), c.env...)
	command.WaitDelay = time.Second
	return command
}

// run hands the job to the client's program and returns its answer.
func (c *client) run(t *testing.T, j job.Job) job.Result {
	t.Helper()
	result, err := c.answer(t, j)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// answer is run, beside which the test goes on.
func (c *client) answer(t *testing.T, j job.Job) (result job.Result, err error) {
	input, err := json.Marshal(j)
	if err != nil {
		return result, err
	}
	command := c.command(t.Context(), t)
	command.Stdin = bytes.NewReader(append(input, '\n'))
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		return result, fmt.Errorf("%s: %w\n%s", c.name, err, tail(complaints.Bytes(), 4000))
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return result, fmt.Errorf("%s answered %.400q: %w", c.name, out, err)
	}
	return result, nil
}

// goProgram builds a program of this module.
func goProgram(name string) func(*testing.T) (argv, env []string) {
	return func(t *testing.T) (argv, env []string) {
		t.Helper()
		binary := filepath.Join(t.TempDir(), name)
		must(t, "", "go", "build", "-o", binary, "./clients/"+name)
		return []string{binary}, nil
	}
}

func prepareKcat(t *testing.T) (argv, env []string) {
	t.Helper()
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Fatal("kcat is not installed (apt-get install kcat)")
	}
	return goProgram("kcat")(t)
}

// python runs a script of clients/python in a virtual environment that holds requirements.txt.
func python(script string) func(*testing.T) (argv, env []string) {
	return func(t *testing.T) (argv, env []string) {
		t.Helper()
		source := sourceDir(t, "python")
		folder := cached(t, "python", []string{filepath.Join(source, "requirements.txt")}, func(folder string) {
			must(t, "", "python3", "-m", "venv", folder)
			mustTwice(t, folder, "bin/pip", "install", "-q", "-r", filepath.Join(source, "requirements.txt"))
		})
		return []string{filepath.Join(folder, "bin", "python"), filepath.Join(source, script)},
			[]string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=ignore"}
	}
}

func prepareNode(t *testing.T) (argv, env []string) {
	t.Helper()
	source := sourceDir(t, "kafkajs")
	files := []string{filepath.Join(source, "package.json"), filepath.Join(source, "package-lock.json")}
	folder := cached(t, "kafkajs", files, func(folder string) {
		for _, file := range files {
			must(t, "", "cp", file, folder)
		}
		mustTwice(t, folder, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	})
	return []string{"node", filepath.Join(source, "client.js")},
		[]string{"NODE_PATH=" + filepath.Join(folder, "node_modules"), "KAFKAJS_NO_PARTITIONER_WARNING=1"}
}

func prepareJava(t *testing.T) (argv, env []string) {
	t.Helper()
	return javaCommand(t, "weir.interop.Main"), nil
}

// javaCommand is the command line for a main class of the Java client or of Kafka's tools. The JVMs are
// many and short-lived: the first compiler alone starts fastest.
func javaCommand(t *testing.T, mainClass string) []string {
	t.Helper()
	source := sourceDir(t, "java")
	files := []string{filepath.Join(source, "pom.xml")}
	filepath.WalkDir(filepath.Join(source, "src"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	folder := cached(t, "java", files, func(folder string) {
		mustTwice(t, source, "mvn", "-q", "-B", "package", "dependency:copy-dependencies",
			"-Dinterop.build="+folder, "-DoutputDirectory="+filepath.Join(folder, "libs"))
	})
	return []string{
		"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"-cp", filepath.Join(folder, "classes") + ":" + filepath.Join(folder, "libs", "*"), mainClass,
	}
}

// cached returns the folder that fill once filled for these very files, outside the source tree.
func cached(t *testing.T, name string, files []string, fill func(folder string)) string {
	t.Helper()
	sum := sha256.New()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(content)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(base, "weir-interop", name+"-"+hex.EncodeToString(sum.Sum(nil)[:6]))
	done := filepath.Join(folder, ".done")
	if _, err := os.Stat(done); err == nil {
		return folder
	}
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	fill(folder)
	if err := os.WriteFile(done, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

func must(t *testing.T, folder string, argv ...string) {
	t.Helper()
	if err := command(t, folder, argv...); err != nil {
		t.Fatal(err)
	}
}

// mustTwice asks a package server that failed once more.
func mustTwice(t *testing.T, folder string, argv ...string) {
	t.Helper()
	if err := command(t, folder, argv...); err != nil {
		t.Logf("once more after: %v", err)
		must(t, folder, argv...)
	}
}

func command(t *testing.T, folder string, argv ...string) error {
	t.Helper()
	command := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	if strings.HasPrefix(argv[0], "bin/") {
		command.Path = filepath.Join(folder, argv[0])
	}
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", argv, err, tail(out, 4000))
	}
	return nil
}

func sourceDir(t *testing.T, name string) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("clients", name))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// repository is the root of Weir's own module, three folders up.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}
