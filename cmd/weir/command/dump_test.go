package command

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
	"weir/partition"
	"weir/protocol/recordbatch"
)

// dumpable leaves a data folder with topic t of two partitions behind: records in 0, none in 1.
func dumpable(t *testing.T) (c *cli, data string, partitions []string) {
	t.Helper()
	data = t.TempDir()
	b := brokertest.StartIn(t, data, nil)
	c = &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "t", "-p", "2", "-c", "segment.bytes=1048576")
	c.okIn(`{"key":"k","value":"v","partition":0,"timestamp":1000,"headers":[["h",null]]}`, "produce", "t", "-i", "jsonl", "-q", "-X", "acks=1")
	big := strings.Repeat("x", 1000)
	for range 8 {
		c.okIn(strings.Repeat(big+"\n", 200), "produce", "t", "-p", "0", "-z", "none", "-q")
	}
	brokertest.Stop(t, b)
	for p := range 2 {
		found, err := filepath.Glob(filepath.Join(data, "topics", "*", fmt.Sprint(p)))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		partitions = append(partitions, found[0])
	}
	return c, data, partitions
}

// fingerprint is all that is in a folder: names and bytes.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		info, statErr := d.Info()
		if err != nil || statErr != nil {
			return err
		}
		fmt.Fprintf(&all, "%s %x %v\n", path, sha256.Sum256(b), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestDump(t *testing.T) {
	c, data, parts := dumpable(t)
	before := fingerprint(t, data)

	out, errs, code := c.run("", "dump", parts[0])
	if code != 0 || strings.Count(errs, ", partition 0, offsets from ") < 2 {
		t.Errorf("exit %d: %s", code, errs)
	}
	for _, want := range []string{
		`^POSITION +SIZE +KIND +OFFSETS +RAFT-INDEX +EPOCH +RECORDS +CODEC +MAX-TIMESTAMP +PRODUCER +TRANSACTION\n`,
		`\n96 +\d+ B +configuration +0\.\.0 +1 +1 +- +- +- +- +-\n`,
		`\n\d+ +36 B +noop +0\.\.0 +2 +2 +- +- +- +- +-\n`,
		`\n\d+ +36 B +barrier +0\.\.0 +3 +2 +- +- +- +- +-\n`,
		`\n\d+ +\d+ B +batch +0\.\.1 +\d+ +2 +1 +none +1970-01-01T00:00:01\.000Z +- +-\n`,
		`batch +1\.\.\d+ .* 0/0@0 +-\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s does not match\n%s", want, out)
		}
	}
	if wide := c.ok("dump", parts[0], "-o", "wide"); !strings.Contains(wide, filepath.Join(parts[0], "00000000000000000000.log")) {
		t.Errorf("-o wide names no file:\n%s", wide)
	}

	jsonl := c.ok("dump", "--records", filepath.Join(parts[0], "00000000000000000000.log"), "-o", "jsonl")
	var first frameRow // after Raft's own: on a slow machine one no-op more
	for line := range strings.Lines(jsonl) {
		if err := json.Unmarshal([]byte(line), &first); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if first.Batch != nil {
			break
		}
	}
	if first.Batch == nil || first.Batch.Records != 1 || first.RaftIndex < 4 {
		t.Fatalf("no batch of one record after Raft's own entries: %s", jsonl)
	}
	if got := string(first.Batch.Content[0]); !strings.Contains(got, `"timestamp":"1970-01-01T00:00:01.000Z","key":"k","value":"v","headers":[{"key":"h","value":null}]`) {
		t.Errorf("content: %s", got)
	}
	text := c.ok("dump", "--records", parts[0])
	if n := strings.Count(text, "\n"); n != 1601 || !strings.Contains(text, "[0]@0  1970-01-01T00:00:01.000Z  k  v  {h:<null>}\n") {
		t.Errorf("%d records, the first %.100s", n, text)
	}

	index := c.ok("dump", "--index", parts[0])
	for _, want := range []string{`\.index +96 +0 +1 +- +raft\n`, `\.timeindex +\d+ +- +- +20\d\d-`, `\.index +\d+ +\d+ +\d+ +- +end\n`} {
		if !regexp.MustCompile(want).MatchString(index) {
			t.Errorf("%s does not match\n%s", want, index)
		}
	}
	if after := fingerprint(t, data); after != before {
		t.Errorf("dump changed the data:\n%s\nwas\n%s", after, before)
	}
}

// TestDumpOfTransactions: what is of a transaction and how it ended is shown.
func TestDumpOfTransactions(t *testing.T) {
	data := t.TempDir()
	b := brokertest.StartIn(t, data, nil)
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "t")
	p, err := b.Node().Topic("t").Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	h := recordbatch.Header{ProducerID: 7, ProducerEpoch: 2, Attributes: 0x10}
	batch, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Key: []byte("k"), Value: []byte("v")}})
	if err == nil {
		h, err = recordbatch.ParseHeader(batch)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Propose(partition.Batch{Header: h, Data: batch}, partition.AcksAll).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, commit := range []bool{true, false} {
		if _, err := p.EndTransaction(t.Context(), partition.Marker{ProducerID: 7, ProducerEpoch: 3, CoordinatorEpoch: 5, Commit: commit}); err != nil {
			t.Fatal(err)
		}
	}
	dir := p.Dir()
	brokertest.Stop(t, b)
	out := c.ok("dump", dir)
	for _, want := range []string{`batch +0\.\.1 .* 7/2@0 +records\n`, `batch +1\.\.2 .* 7/3@-1 +commit\n`, `batch +2\.\.3 .* 7/3@-1 +abort\n`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s does not match\n%s", want, out)
		}
	}
	jsonl := c.ok("dump", "--records", dir, "-o", "jsonl")
	if !strings.Contains(jsonl, `"control":true,"marker":{"type":"commit","coordinator_epoch":5}`) || !strings.Contains(jsonl, `"control":false,"marker":null`) {
		t.Errorf("no marker in\n%s", jsonl)
	}
	if text := c.ok("dump", "--records", dir); strings.Count(text, "\n") != 1 {
		t.Errorf("more than the record:\n%s", text)
	}
}

func TestDumpWithoutIndexes(t *testing.T) {
	c, _, parts := dumpable(t)
	alone := t.TempDir()
	b, err := os.ReadFile(filepath.Join(parts[0], "00000000000000000000.log"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(alone, "00000000000000000000.log")
	if err := os.WriteFile(file, b, 0o400); err != nil {
		t.Fatal(err)
	}
	if out := c.ok("dump", file); !strings.Contains(out, "0..1 ") {
		t.Errorf("a log without indexes:\n%s", out)
	}
	entries, err := os.ReadDir(alone)
	if err != nil || len(entries) != 1 {
		t.Errorf("files were made: %v, %v", entries, err)
	}
}

func TestDumpOfDamage(t *testing.T) {
	c, _, parts := dumpable(t)
	file := filepath.Join(parts[0], "00000000000000000001.log") // what came after the record of 1970
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := c.run("", "dump", file)
	if code != 0 || !regexp.MustCompile(`batch +1\.\.`).MatchString(out) || !strings.Contains(errs, "bytes that are not whole") {
		t.Errorf("what is before the damage is shown, and the rest told: exit %d: %s%s", code, out, errs)
	}
	if err := os.WriteFile(file, []byte("no segment at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code = c.run("", "dump", parts[0])
	if code != fault.PartlyDone || !strings.Contains(errs, file) || !strings.Contains(errs, "1 of ") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestDumpOfWhatIsNoSegment(t *testing.T) {
	c := &cli{t: t}
	dir := t.TempDir()
	c.fails(fault.Failed, []string{"dump", filepath.Join(dir, "gone")}, "cannot read", "no such file")
	c.fails(fault.Failed, []string{"dump", dir}, "no segment in "+dir)
	other := filepath.Join(dir, "notes.log")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.fails(fault.WrongUsage, []string{"dump", other}, "named after their first offset")
}

func TestSegmentNames(t *testing.T) {
	for name, want := range map[string]bool{
		"00000000000000000000.log": true, "09223372036854775807.log": true, "00000000000000000007.index": true, "00000000000000000007.timeindex": true,
		"99999999999999999999.log": false, "0000000000000000000.log": false, "-0000000000000000001.log": false, "00000000000000000000.producers": false,
		"00000000000000000000": false, "+0000000000000000001.log": false,
	} {
		if _, ok := asSegment(filepath.Join("dir", name)); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}
