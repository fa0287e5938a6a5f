// Command kcat runs interop jobs with the kcat on this machine. What kcat's own input and output cannot
// carry is said in the driver's list of clients: it cannot send null headers, an empty key with a null
// value, an empty value without a key, or a timestamp of one's choice, does not say where a record went,
// and prints headers as text.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"weir/interop/job"
)

func main() { job.Main(client{}) }

// Delimiters that no record of the tests holds.
const (
	keyDelimiter    = "\x1eKEY\x1e"
	recordDelimiter = "\x1eEND\x1e"
)

type client struct{}

func (client) Name() string {
	// kcat prints its version among the usage of a call without arguments.
	out, _ := exec.Command("kcat", "-V").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Version") {
			version, _, _ := strings.Cut(strings.TrimPrefix(line, "Version "), " (")
			return "kcat " + version
		}
	}
	return "kcat"
}

// Produce calls kcat once for each stretch of records that share headers and null handling, since both
// are options of the whole call.
func (client) Produce(brokers string, p *job.Produce) ([]job.Position, error) {
	for _, run := range p.Runs {
		for start := 0; start < len(run.Records); {
			end := start + 1
			for end < len(run.Records) && sameCall(run.Records[start], run.Records[end]) {
				end++
			}
			if err := produce(brokers, p.Topic, run, run.Records[start:end]); err != nil {
				return nil, fmt.Errorf("produce with %s: %w", run.Codec, err)
			}
			start = end
		}
	}
	return nil, nil
}

func sameCall(a, b job.Record) bool {
	if (a.Value == nil) != (b.Value == nil) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i, h := range a.Headers {
		if h.Name != b.Headers[i].Name || !bytes.Equal(h.Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

func produce(brokers, topic string, run job.Run, records []job.Record) error {
	args := []string{
		"-P", "-b", brokers, "-t", topic, "-z", run.Codec, "-K", keyDelimiter, "-D", recordDelimiter,
		"-X", "acks=all", "-X", "enable.idempotence=" + strconv.FormatBool(run.Idempotent),
	}
	for _, h := range records[0].Headers {
		args = append(args, "-H", h.Name+"="+string(h.Value))
	}
	if records[0].Value == nil {
		args = append(args, "-Z") // an empty key or value is null
	}
	var input bytes.Buffer
	for _, r := range records {
		if r.Key != nil || r.Value == nil {
			input.Write(r.Key)
			input.WriteString(keyDelimiter)
		}
		input.Write(r.Value)
		input.WriteString(recordDelimiter)
	}
	_, err := kcat(&input, args...)
	return err
}

func (client) Join(string, *job.Join, *job.Line) error {
	return errors.New("kcat does not say what it has committed")
}

func (client) Consume(brokers string, reads []job.Read) ([]job.ReadResult, error) {
	var results []job.ReadResult
	for _, read := range reads {
		result, err := readOne(brokers, read)
		if err != nil {
			return nil, fmt.Errorf("read %+v: %w", read, err)
		}
		results = append(results, result)
	}
	return results, nil
}

func readOne(brokers string, read job.Read) (result job.ReadResult, err error) {
	if result.High, err = query(brokers, read, -1); err != nil {
		return result, err
	}
	from := "beginning"
	switch read.From {
	case "offset":
		from = strconv.FormatInt(read.At, 10)
		result.Start = read.At
	case "timestamp":
		from = fmt.Sprintf("s@%d", read.At)
		result.Start, err = query(brokers, read, read.At)
	default:
		result.Start, err = query(brokers, read, -2)
	}
	if err != nil || result.Start < 0 || result.Start >= read.End {
		return result, err
	}
	out, err := kcat(nil, "-C", "-q", "-b", brokers, "-t", read.Topic, "-p", strconv.Itoa(int(read.Partition)),
		"-o", from, "-c", strconv.FormatInt(read.End-result.Start, 10), "-e",
		"-f", "%p %o %T %K %S %k%s%h"+recordDelimiter)
	if err != nil {
		return result, err
	}
	result.Records, err = parse(out)
	return result, err
}

// query is kcat -Q: the offset at a time, or at one of Kafka's special times.
func query(brokers string, read job.Read, millis int64) (int64, error) {
	out, err := kcat(nil, "-Q", "-b", brokers, "-t", fmt.Sprintf("%s:%d:%d", read.Topic, read.Partition, millis))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(out)) // topic [partition] offset N
	if len(fields) != 4 {
		return 0, fmt.Errorf("kcat -Q said %q", out)
	}
	return strconv.ParseInt(fields[3], 10, 64)
}

func parse(out []byte) (records []job.Record, err error) {
	for len(out) > 0 {
		parts := bytes.SplitN(out, []byte(" "), 6)
		if len(parts) != 6 {
			return nil, fmt.Errorf("kcat printed %q", out)
		}
		var numbers [5]int64
		for i := range numbers {
			if numbers[i], err = strconv.ParseInt(string(parts[i]), 10, 64); err != nil {
				return nil, err
			}
		}
		record := job.Record{Partition: int32(numbers[0]), Offset: numbers[1], Timestamp: numbers[2]}
		rest := parts[5]
		record.Key, rest = take(rest, numbers[3])
		record.Value, rest = take(rest, numbers[4])
		headers, after, found := bytes.Cut(rest, []byte(recordDelimiter))
		if !found {
			return nil, fmt.Errorf("kcat's output ends within a record: %q", rest)
		}
		text := string(headers)
		record.HeaderText = &text
		records, out = append(records, record), after
	}
	return records, nil
}

// take splits length bytes off; kcat prints -1 as the length of null.
func take(b []byte, length int64) (taken, rest []byte) {
	if length < 0 {
		return nil, b
	}
	return b[:length:length], b[length:]
}

// Admin does what kcat -L can: it has no other admin call.
func (client) Admin(brokers string, a *job.Admin) (*job.AdminResult, error) {
	out, err := kcat(nil, "-L", "-J", "-b", brokers)
	if err != nil {
		return nil, err
	}
	var listing struct {
		Brokers []struct{ ID int }
	}
	if err := json.Unmarshal(out, &listing); err != nil {
		return nil, fmt.Errorf("kcat -L -J said %q: %w", out, err)
	}
	text, err := kcat(nil, "-L", "-b", brokers)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(text), fmt.Sprintf(" %d brokers:", len(listing.Brokers))) {
		return nil, fmt.Errorf("kcat -L said %q", text)
	}
	count := len(listing.Brokers)
	return &job.AdminResult{Brokers: &count}, nil
}

func kcat(input io.Reader, args ...string) ([]byte, error) {
	command := exec.Command("kcat", args...)
	command.Stdin = input
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("kcat %q: %w: %s", args, err, complaints.Bytes())
	}
	return out, nil
}
