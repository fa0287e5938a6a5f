//go:build interop

// Package interop runs the clients that people have against the real broker, each a program of its own
// in its own language (clients/), by jobs of package job: produce with every codec, read by assignment
// what every other client wrote, and walk through the admin calls. See DESIGN.md.
package interop

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"weir/interop/job"
)

const partitions = 4

// written is a topic with what it must hold: records[partition][offset].
type written struct {
	topic   string
	records [partitions][]job.Record
}

func TestInterop(t *testing.T) {
	b := startBroker(t)
	all := chosenClients(t)
	var topics []*written
	t.Run("Produce", func(t *testing.T) {
		for _, c := range all {
			t.Run(c.name, func(t *testing.T) {
				topics = append(topics, produce(t, b, c))
			})
		}
	})
	t.Run("Consume", func(t *testing.T) {
		for _, c := range all {
			t.Run(c.name, func(t *testing.T) { consume(t, b, c, topics) })
		}
	})
	t.Run("Admin", func(t *testing.T) {
		for _, c := range all {
			t.Run(c.name, func(t *testing.T) { admin(t, b, c) })
		}
	})
	t.Run("KafkaTools", func(t *testing.T) { kafkaTools(t, b) })
	if b.binary == "" {
		return // another's broker is not ours to restart
	}
	t.Run("AfterRestart", func(t *testing.T) {
		b.stop(t)
		b.start(t)
		for _, c := range all {
			t.Run(c.name, func(t *testing.T) { consume(t, b, c, topics) })
		}
	})
}

// produce lets the client write all its runs to a topic of its own and checks what arrived, with a
// reader that is not under test.
func produce(t *testing.T, b *broker, c *client) *written {
	w := &written{topic: fmt.Sprintf("from-%s-%d", c.name, time.Now().UnixMilli())}
	createTopic(t, b, w.topic)
	work := job.Produce{Topic: w.topic, Runs: runs(c, time.Now().Add(-time.Hour).UnixMilli())}
	result := c.run(t, job.Job{Brokers: b.address, Produce: &work})
	t.Log(result.Client)
	stored := readAll(t, b, w.topic)
	if result.Produced == nil {
		result.Produced = locate(t, stored, work.Runs)
	}
	next := 0
	for _, run := range work.Runs {
		codec := map[string]bool{}
		for _, record := range run.Records {
			record.Partition, record.Offset = result.Produced[next].Partition, result.Produced[next].Offset
			next++
			got := at(t, stored, record)
			if c.clock {
				record.Timestamp = got.record.Timestamp
			}
			if !sameContent(record, got.record) || record.Timestamp != got.record.Timestamp {
				t.Errorf("sent   %s\nstored %s", describe(record), describe(got.record))
			}
			if run.Idempotent != (got.producerID >= 0) {
				t.Errorf("idempotent is %t but the producer id is %d", run.Idempotent, got.producerID)
			}
			codec[got.codec] = true
			w.records[record.Partition] = append(w.records[record.Partition], record)
		}
		if !codec[run.Codec] {
			t.Errorf("nothing was stored with %s, only with %v", run.Codec, slices.Collect(maps.Keys(codec)))
		}
	}
	checkKeys(t, c, w)
	for p := range w.records {
		slices.SortStableFunc(w.records[p], func(a, b job.Record) int { return cmp.Compare(a.Offset, b.Offset) })
		if len(w.records[p]) != len(stored[p]) {
			t.Errorf("partition %d holds %d records, want %d", p, len(stored[p]), len(w.records[p]))
		}
		for offset, record := range w.records[p] {
			if record.Offset != int64(offset) {
				t.Fatalf("partition %d: offset %d where %d was due: a hole or a duplicate", p, record.Offset, offset)
			}
		}
	}
	return w
}

// checkKeys wants every key on one partition, the one that Kafka's hash names where the client uses it,
// and its records there in the order in which they were sent. The records of w are still in that order.
func checkKeys(t *testing.T, c *client, w *written) {
	t.Helper()
	hash := kgo.StickyKeyPartitioner(nil).ForTopic(w.topic)
	home, last := map[string]int32{}, map[string]int64{}
	for _, records := range w.records {
		for _, record := range records {
			key := string(record.Key)
			if key == "" { // no key, or one that librdkafka takes for none
				continue
			}
			if first, seen := home[key]; seen && first != record.Partition {
				t.Errorf("key %.40q went to partitions %d and %d", key, first, record.Partition)
			}
			if want := hash.Partition(&kgo.Record{Key: record.Key}, partitions); c.murmur2 && int32(want) != record.Partition {
				t.Errorf("key %.40q went to partition %d, want %d", key, record.Partition, want)
			}
			if before, seen := last[key]; seen && record.Offset <= before {
				t.Errorf("key %.40q: offset %d was sent after %d", key, record.Offset, before)
			}
			home[key], last[key] = record.Partition, record.Offset
		}
	}
}

// consume lets the client read every partition of every topic from its start, from an offset in its
// middle, from a timestamp, and from a time when nothing had been written yet.
func consume(t *testing.T, b *broker, c *client, topics []*written) {
	var reads []job.Read
	var want []job.ReadResult
	for _, w := range topics {
		for p, records := range w.records {
			end := int64(len(records))
			expect := func(from string, at, start int64) {
				reads = append(reads, job.Read{Topic: w.topic, Partition: int32(p), From: from, At: at, End: end})
				result := job.ReadResult{Start: start, High: end}
				if start >= 0 {
					result.Records = asReadBy(c, records[start:])
				}
				want = append(want, result)
			}
			if end == 0 {
				t.Fatalf("%s has no records in partition %d", w.topic, p)
			}
			expect("start", 0, 0)
			expect("offset", end/2, end/2)
			since := records[end/3].Timestamp
			expect("timestamp", since, int64(slices.IndexFunc(records, func(r job.Record) bool { return r.Timestamp >= since })))
			expect("timestamp", time.Now().Add(time.Hour).UnixMilli(), -1)
		}
	}
	result := c.run(t, job.Job{Brokers: b.address, Consume: reads})
	if len(result.Consumed) != len(want) {
		t.Fatalf("%d answers to %d reads", len(result.Consumed), len(want))
	}
	for i, got := range result.Consumed {
		if !sameRead(t, reads[i], want[i], got) && t.Failed() {
			t.FailNow() // one difference says enough
		}
	}
}

// asReadBy is how a client reads records.
func asReadBy(c *client, records []job.Record) []job.Record {
	if !c.emptyIsNull {
		return records
	}
	null := func(b []byte) []byte {
		if len(b) == 0 {
			return nil
		}
		return b
	}
	records = slices.Clone(records)
	for i, r := range records {
		records[i].Key, records[i].Value, records[i].Headers = null(r.Key), null(r.Value), slices.Clone(r.Headers)
		for h := range r.Headers {
			records[i].Headers[h].Value = null(r.Headers[h].Value)
		}
	}
	return records
}

func sameRead(t *testing.T, read job.Read, want, got job.ReadResult) bool {
	t.Helper()
	if got.Start != want.Start || got.High != want.High || len(got.Records) != len(want.Records) {
		t.Errorf("%+v: %d records from %d, end %d; want %d from %d, end %d",
			read, len(got.Records), got.Start, got.High, len(want.Records), want.Start, want.High)
		return false
	}
	for i, record := range got.Records {
		due := want.Records[i]
		if record.Partition != due.Partition || record.Offset != due.Offset ||
			record.Timestamp != due.Timestamp || !sameContent(due, record) {
			t.Errorf("%+v:\nread %s\nwant %s", read, describe(record), describe(due))
			return false
		}
	}
	return true
}

// admin lets the client walk through its admin calls and compares what each said.
func admin(t *testing.T, b *broker, c *client) {
	unique := time.Now().UnixMilli()
	work := job.Admin{
		Topic:   fmt.Sprintf("admin-%s-%d", c.name, unique),
		Illegal: "not/legal",
		Unknown: fmt.Sprintf("unknown-%d", unique),
		Configs: map[string]string{"retention.ms": "3600000", "cleanup.policy": "delete"},
		Alter:   map[string]string{"max.message.bytes": "2000000"},
		Replace: map[string]string{"segment.bytes": "10485760"},
	}
	result := c.run(t, job.Job{Brokers: b.address, Admin: &work})
	if result.Admin == nil {
		t.Fatal("no answer")
	}
	got := fieldsOf(t, result.Admin)
	want := map[string]any{
		"brokers": 1.0, "listed": true, "partitions": 3.0, "partitionsAfter": 5.0, "lowWatermark": 4.0,
		"startAfter": 4.0, "deleted": true, "createExisting": 36.0, "createIllegal": 17.0, "describeUnknown": 3.0,
	}
	for name, value := range want {
		if !slices.Contains(c.lacks, name) && got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	if id, _ := got["clusterId"].(string); id == "" && !slices.Contains(c.lacks, "clusterId") {
		t.Error("no cluster id")
	}
	if size, _ := got["logDirBytes"].(float64); size <= 0 && !slices.Contains(c.lacks, "logDirBytes") {
		t.Errorf("log dirs hold %v bytes of a partition with records", got["logDirBytes"])
	}
	configs := []struct {
		field string
		got   map[string]string
		want  map[string]string
	}{
		{"configs", result.Admin.Configs, map[string]string{"retention.ms": "3600000", "cleanup.policy": "delete"}},
		{"altered", result.Admin.Altered, map[string]string{"retention.ms": "3600000", "max.message.bytes": "2000000"}},
		{"replaced", result.Admin.Replaced, map[string]string{
			"retention.ms": "604800000", "max.message.bytes": "1048588", "segment.bytes": "10485760",
		}},
	}
	for _, check := range configs {
		for name, value := range check.want {
			if !slices.Contains(c.lacks, check.field) && check.got[name] != value {
				t.Errorf("%s: %s is %q, want %q", check.field, name, check.got[name], value)
			}
		}
	}
	for _, name := range c.lacks {
		if value, has := got[name]; has {
			t.Errorf("%s is said to lack %s, but answered %v", c.name, name, value)
		}
	}
}

// fieldsOf is the result by the names of its JSON fields.
func fieldsOf(t *testing.T, result *job.AdminResult) map[string]any {
	t.Helper()
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func createTopic(t *testing.T, b *broker, topic string) {
	t.Helper()
	kafka, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := kadm.NewClient(kafka).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatalf("create %s: %v", topic, err)
	}
}
