//go:build interop

package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const vocabulary = 40 // words

// TestStreams counts words with Kafka Streams under exactly_once_v2, by two instances over a repartition topic and a store
// whose changelog is a compacted topic. Each time a broker and an instance are killed, whose folder is emptied, so that its
// counts come back from the changelog: of each word, every number from one on comes out, once.
func TestStreams(t *testing.T) {
	cycles, lines := setting(t, "WEIR_INTEROP_STREAMS_CYCLES", 2), setting(t, "WEIR_INTEROP_STREAMS_LINES", 500)
	needJava(t)
	t.Parallel()
	c := startCluster(t, nil, append(groupSettings(chainSession), "log.retention.check.interval.ms=500", "default.replication.factor=3")...)
	w := newWordCount(t, c)
	for cycle := range cycles {
		down, i := cycle%len(c.brokers), cycle%2
		w.append(t, lines)
		w.await(t, w.counted+1)
		w.append(t, lines) // what is being counted when they are killed
		c.kill(t, down)
		w.instances[i].kill()
		if err := os.RemoveAll(w.folder(i)); err != nil {
			t.Fatal(err)
		}
		w.start(t, i)
		began := time.Now()
		w.await(t, w.words)
		t.Logf("cycle %d: all is counted %v after the start of the next instance", cycle, time.Since(began).Round(time.Millisecond))
		c.restart(t, down)
	}
	w.check(t)
}

// wordCount is an application of two instances.
type wordCount struct {
	name          string // of the application
	cluster       *cluster
	input, output string
	state         string // folder
	writer        *kgo.Client
	reader        *kgo.Client // of the output, there all the time
	instances     [2]*process
	lines, words  int // written
	counts        map[string][]int64
	counted       int
}

func newWordCount(t *testing.T, c *cluster) *wordCount {
	t.Helper()
	name := fmt.Sprint("words-", time.Now().UnixMilli())
	w := &wordCount{
		name: name, cluster: c, input: name + "-input", output: name + "-output", state: t.TempDir(), writer: c.client(t),
		counts: map[string][]int64{},
	}
	c.createTopics(t, w.input, w.output)
	w.reader = c.reader(t, w.output, kgo.ReadCommitted())
	for i := range w.instances {
		w.start(t, i)
	}
	return w
}

func (w *wordCount) folder(i int) string { return filepath.Join(w.state, fmt.Sprint(i)) }

func (w *wordCount) start(t *testing.T, i int) {
	t.Helper()
	argv := append(javaCommand(t, "weir.interop.WordCount"), w.cluster.addresses(), w.name, w.input, w.output, w.folder(i))
	w.instances[i] = launch(t, fmt.Sprint("instance ", i), argv, nil, "")
}

// append writes so many lines more, each of three words.
func (w *wordCount) append(t *testing.T, count int) {
	t.Helper()
	var batch []*kgo.Record
	for range count {
		n := w.lines
		line := fmt.Sprintf("word-%d word-%d word-%d", n%vocabulary, n*7%vocabulary, n/3%vocabulary)
		batch = append(batch, &kgo.Record{Topic: w.input, Key: fmt.Append(nil, n), Value: []byte(line)})
		w.lines++
		w.words += 3
	}
	if err := w.writer.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// await reads the output until so many words are counted.
func (w *wordCount) await(t *testing.T, words int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for w.counted < words {
		if ctx.Err() != nil || t.Failed() {
			t.Fatalf("%d words are counted, want %d", w.counted, words)
		}
		w.reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			word := string(r.Key)
			w.counts[word] = append(w.counts[word], int64(binary.BigEndian.Uint64(r.Value)))
			w.counted++
		})
	}
}

// check wants the numbers of each word to be those from one on, in the output as it was seen and as it is read now, and the
// last of each in the changelog, which is compacted; and an instance to have restored something.
func (w *wordCount) check(t *testing.T) {
	t.Helper()
	for _, instance := range w.instances {
		instance.kill()
	}
	again := map[string][]int64{}
	for _, r := range w.cluster.readAll(t, w.output, kgo.ReadCommitted()) {
		again[string(r.Key)] = append(again[string(r.Key)], int64(binary.BigEndian.Uint64(r.Value)))
	}
	if !maps.EqualFunc(again, w.counts, slices.Equal[[]int64]) {
		t.Error("the output reads otherwise than it did")
	}
	last, all := map[string]int64{}, 0
	for word, numbers := range again {
		for i, n := range numbers {
			if n != int64(i)+1 {
				t.Errorf("%s: %d comes after %d", word, n, i)
				break
			}
		}
		last[word] = int64(len(numbers))
		all += len(numbers)
	}
	if all != w.words {
		t.Errorf("%d words are counted, want %d", all, w.words)
	}
	w.checkChangelog(t, last)
	if restored := w.restored(t); restored == 0 {
		t.Error("nothing was restored from the changelog")
	} else {
		t.Logf("the successors have restored %d counts", restored)
	}
}

func (w *wordCount) checkChangelog(t *testing.T, last map[string]int64) {
	t.Helper()
	changelog := w.name + "-counts-changelog"
	w.cluster.wantsCompacted(t, changelog)
	kept := map[string]int64{}
	records := w.cluster.readAll(t, changelog, kgo.ReadCommitted())
	for _, r := range records {
		kept[string(r.Key)] = int64(binary.BigEndian.Uint64(r.Value))
	}
	if !maps.Equal(kept, last) {
		t.Errorf("the changelog says %v, want %v", kept, last)
	}
	if len(records) >= w.words {
		t.Errorf("%s holds each of %d updates: it was not compacted", changelog, len(records))
	}
	t.Logf("of %d updates of the store, compaction has left %d", w.words, len(records))
}

var restoredLine = regexp.MustCompile(`(?m)^restored (\d+)$`)

// restored is how many counts the instances that run last have restored when they began.
func (w *wordCount) restored(t *testing.T) (n int) {
	t.Helper()
	for _, instance := range w.instances {
		for _, match := range restoredLine.FindAllStringSubmatch(instance.output(t), -1) {
			one, err := strconv.Atoi(match[1])
			if err != nil {
				t.Fatal(err)
			}
			n += one
		}
	}
	return n
}
