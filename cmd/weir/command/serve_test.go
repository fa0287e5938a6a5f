package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/cluster/config"
	"weir/cmd/weir/fault"
)

// devBroker runs weir dev until the test ends and returns a command line for it.
func devBroker(t *testing.T, c *cli, args ...string) (out, errs *lockedBuffer, stop func() int) {
	t.Helper()
	out, errs, stop = c.start(nil, append([]string{"dev", "--listen", "127.0.0.1:0"}, args...)...)
	out.await(t, "starts empty)\n")
	c.addr = regexp.MustCompile(`Kafka +(\S+)`).FindStringSubmatch(out.String())[1]
	return out, errs, stop
}

func TestDevFirstRun(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	c := &cli{t: t}
	out, errs, stop := devBroker(t, c, "--data", data)
	metrics := regexp.MustCompile(`Metrics +(\S+)`).FindStringSubmatch(out.String())[1]
	want := fmt.Sprintf(`weir %[1]s · single node · data in %[2]s · every acknowledged write is on disk
  Kafka     %-21[3]s   Metrics  %[4]s
Try, in another terminal:
  weir produce -b %[3]s orders -k u1 'hello'
  weir consume -b %[3]s orders --from start
Ctrl-C stops; the data stays (weir dev --data %[2]s --fresh starts empty)
`, Version, data, c.addr, metrics)
	if out.String() != want {
		t.Errorf("it greets with\n%swant\n%s", out, want)
	}
	for path, has := range map[string]string{"metrics": `weir_build_info{goversion="go1.`, "readyz": `{"status":"ready"}`} {
		resp, err := http.Get(strings.TrimSuffix(metrics, "metrics") + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), has) {
			t.Errorf("%s: %d, %v, %s", path, resp.StatusCode, err, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	// The two lines that it prints, as somebody would paste them.
	c.ok("produce", "-b", c.addr, "orders", "-k", "u1", "hello")
	if got := c.ok("consume", "-b", c.addr, "orders", "--from", "start", "-n", "1"); !strings.HasSuffix(got, "  u1  hello\n") {
		t.Errorf("read %q", got)
	}
	errs.await(t, "created topic orders (4 partitions): a client asked for it\n")
	if code := stop(); code != fault.Done {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := errs.String(); !strings.HasSuffix(got, "Stopped. The data is in "+data+".\n") || strings.Count(got, "\n") != 2 {
		t.Errorf("it said %q", got)
	}
	if _, err := os.Stat(filepath.Join(data, "clean-shutdown")); err != nil {
		t.Errorf("the data was not closed: %v", err)
	}
}

func TestDevKeepsItsDataUnlessFresh(t *testing.T) {
	data := t.TempDir()
	c := &cli{t: t}
	_, _, stop := devBroker(t, c, "--data", data)
	c.ok("produce", "orders", "kept", "-q")
	if code := stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	_, _, stop = devBroker(t, c, "--data", data)
	if got := c.ok("consume", "orders", "-e", "-o", "value"); got != "kept\n" {
		t.Errorf("after a restart: %q", got)
	}
	c.fails(fault.Failed, []string{"dev", "--listen", "127.0.0.1:0", "--data", data, "--fresh"}, "Another process works on it")
	c.fails(fault.Failed, []string{"dev", "--listen", "127.0.0.1:0", "--data", data}, "Another process works on the data folder "+data)
	if got := c.ok("consume", "orders", "-e", "-o", "value"); got != "kept\n" {
		t.Errorf("--fresh took the data from under a broker: %q", got)
	}
	if code := stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	_, _, stop = devBroker(t, c, "--data", data, "--fresh")
	if got := c.ok("topic", "list", "-o", "name"); got != "" {
		t.Errorf("after --fresh: %q", got)
	}
	stop()
}

func TestDevFreshLeavesStrangersFilesAlone(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(mine, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cli{t: t}
	c.fails(fault.Failed, []string{"dev", "--listen", "127.0.0.1:0", "--data", dir, "--fresh"}, "none of them is a broker's")
	if b, err := os.ReadFile(mine); err != nil || string(b) != "years of work" {
		t.Errorf("%q, %v", b, err)
	}
	c.fails(fault.Failed, []string{"dev", "--listen", "127.0.0.1:0", "--data", mine, "--fresh"}, "cannot start afresh in "+mine)
}

func TestDevDemo(t *testing.T) {
	c := &cli{t: t}
	out, _, stop := devBroker(t, c, "--data", t.TempDir(), "--demo")
	if !strings.Contains(out.String(), "weir consume -b "+c.addr+" orders\n") {
		t.Errorf("it greets with\n%s", out)
	}
	if got := c.ok("consume", "orders", "--from", "start", "-n", "2", "-o", "jsonl"); strings.Count(got, `"source","value":"demo"`) != 2 {
		t.Errorf("read %s", got)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestDevVerbose(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var got lockedBuffer
		s := &Streams{Err: &got, Getenv: func(string) string { return "" }}
		log := slog.New(&devLog{Handler: s.logger(slog.LevelInfo).Handler(), s: s, all: verbose}).With("node", 1).WithGroup("g")
		log.Info("something happened")
		log.Warn("something is wrong")
		log.Info(topicCreated, "topic", "orders", "partitions", 4)
		if strings.Contains(got.String(), "happened") != verbose || !strings.Contains(got.String(), `"node":1`) ||
			!strings.Contains(got.String(), "is wrong") || !strings.HasSuffix(got.String(), "created topic orders (4 partitions): a client asked for it\n") {
			t.Errorf("verbose %v: %s", verbose, &got)
		}
	}
}

// TestAdminPort: nobody's choice gives way, somebody's does not, and there may be none.
func TestAdminPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config.DefaultBroker()
	cfg.Admin.Listener.Port = taken.Addr().(*net.TCPAddr).Port
	admin, err := serveAdmin(cfg, slog.New(slog.DiscardHandler))
	if err != nil || admin.Addr() == taken.Addr().String() {
		t.Fatalf("the default's port is taken: %v", err)
	}
	if err := admin.Close(); err != nil {
		t.Error(err)
	}
	c := &cli{t: t}
	c.fails(fault.Failed, []string{"start", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin-listen", taken.Addr().String()},
		"Something else listens on "+taken.Addr().String(), "--admin-listen")
	c.fails(fault.WrongUsage, []string{"start", "--admin-listen", "9644"}, "admin.listener: want host:port")
	out, _, stop := devBroker(t, c, "--data", t.TempDir(), "--set", "admin.listener=")
	if strings.Contains(out.String(), "Metrics") {
		t.Errorf("it greets with\n%s", out)
	}
	if code := stop(); code != fault.Done {
		t.Errorf("exit %d", code)
	}
	for addr, url := range map[string]string{"127.0.0.1:1": "http://127.0.0.1:1/metrics", "[::]:1": "http://localhost:1/metrics", "0.0.0.0:1": "http://localhost:1/metrics"} {
		if got := metricsURL(addr); got != url {
			t.Errorf("%s is at %s", addr, got)
		}
	}
}

func TestStart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte("num.partitions=7\nauto.create.topics.enable=false\nlog.dirs=/nowhere\nlog.retention.hours=1\nzookeeper.connect=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cli{t: t}
	_, errs, stop := c.start(nil, "start", "--config", file, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0",
		"--set", "num.partitions=3", "--node-id", "5", "--advertise", "127.0.0.1:0")
	errs.await(t, `"msg":"weir is ready"`)
	c.addr = regexp.MustCompile(`"kafka":"([^"]+)"`).FindStringSubmatch(errs.String())[1]
	c.ok("topic", "create", "t")
	if got := c.ok("topic", "describe", "t"); !strings.HasPrefix(got, "t: 3 partitions") || !regexp.MustCompile(`\n0 +5 `).MatchString(got) {
		t.Errorf("--set and --node-id do not win:\n%s", got)
	}
	c.fails(fault.Failed, []string{"produce", "other", "v"}, "does not exist")
	if code := stop(); code != fault.Done {
		t.Errorf("exit %d: %s", code, errs)
	}
	for _, want := range []string{"warning: ", "zookeeper.connect", `"msg":"weir starts"`, `"durability":"every acknowledged write is on disk"`, `"msg":"weir has stopped"`} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("it never said %s:\n%s", want, errs)
		}
	}
}

func TestStartReadsTheEnvironment(t *testing.T) {
	c := &cli{t: t}
	s, _, errs := c.streams(nil)
	s.Environ = []string{"KAFKA_NUM_PARTITIONS=6", "KAFKA_LISTENERS=PLAINTEXT://127.0.0.1:0", "KAFKA_ADMIN_LISTENER=127.0.0.1:0", "KAFKA_LOG_DIRS=" + t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int)
	go func() { done <- Main(ctx, []string{"start"}, s) }()
	errs.await(t, `"msg":"weir is ready"`)
	c.addr = regexp.MustCompile(`"kafka":"([^"]+)"`).FindStringSubmatch(errs.String())[1]
	if got := c.ok("topic", "create", "t"); got != "created topic t (6 partitions)\n" {
		t.Errorf("got %s", got)
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestStartSaysWhyItCannot(t *testing.T) {
	c := &cli{t: t}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	c.fails(fault.Failed, []string{"start", "--data", t.TempDir(), "--listen", addr}, "Something else listens on "+addr, "--listen")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.fails(fault.Failed, []string{"start", "--data", file, "--listen", "127.0.0.1:0"}, "the broker cannot start", "not a directory")
	bad := filepath.Join(t.TempDir(), "bad.properties")
	if err := os.WriteFile(bad, []byte("num.partitons=3\nretention=\\u12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.fails(fault.WrongUsage, []string{"start", "--config", bad}, "the configuration does not hold", bad)
}

func TestWordsOfTheDurability(t *testing.T) {
	c := &cli{t: t}
	out, _, _ := devBroker(t, c, "--data", t.TempDir(), "--set", "write.caching=true")
	if !strings.Contains(out.String(), "reach the disk a little later") {
		t.Errorf("it claims\n%s", out)
	}
}

// The commonest mistake with Kafka's listeners is met with the reason and the remedy.
func TestAdvertisedAddressThatNobodyReaches(t *testing.T) {
	c := &cli{t: t}
	_, errs, _ := c.start(nil, "start", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--advertise", "127.0.0.1:1", "--set", "auto.create.topics.enable=true")
	errs.await(t, `"msg":"weir is ready"`)
	c.addr = regexp.MustCompile(`"kafka":"([^"]+)"`).FindStringSubmatch(errs.String())[1]
	for _, args := range [][]string{{"produce", "t", "v"}, {"consume", "t", "-e"}} {
		c.fails(fault.TooLate, append(args, "--timeout", "1s"), "The cluster names 127.0.0.1:1 as a broker's address, and nothing answers there", "weir start --advertise")
	}
}
