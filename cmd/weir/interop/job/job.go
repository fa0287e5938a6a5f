// Package job is what the driver of the interop tests and the client programs say to each other: one
// JSON job in the first line of a program's standard input, one JSON result on its standard output; a member of a
// group says and hears more, see Line. Programs in other languages follow the same shapes. Bytes are base64; null is null and "" is empty, for keys, values and
// header values alike.
package job

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Job asks for exactly one of Produce, Consume, Join, Transform, Flood, Stage and Admin.
type Job struct {
	Brokers   string     `json:"brokers"` // joined by commas
	Produce   *Produce   `json:"produce,omitempty"`
	Consume   []Read     `json:"consume,omitempty"`
	Join      *Join      `json:"join,omitempty"`
	Transform *Transform `json:"transform,omitempty"`
	Flood     *Flood     `json:"flood,omitempty"`
	Stage     *Stage     `json:"stage,omitempty"`
	Admin     *Admin     `json:"admin,omitempty"`
}

// Header is one record header. The order of headers and repeated names matter.
type Header struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// Record is one record, to be produced or as it was read. Key and Value are nil for null.
type Record struct {
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"` // milliseconds
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []Header `json:"headers"`
	// HeaderText stands in for Headers when the client can print headers but not hand them over:
	// name=value, joined by commas, NULL for null.
	HeaderText *string `json:"headerText,omitempty"`
}

// Produce sends the records of each run, in order, with the client's own default partitioner.
type Produce struct {
	Topic string `json:"topic"`
	Runs  []Run  `json:"runs"`
}

// Run is one producer: all its records are sent with one codec and are acknowledged by acks=all.
type Run struct {
	Codec      string   `json:"codec"` // none, gzip, snappy, lz4 or zstd
	Idempotent bool     `json:"idempotent"`
	Records    []Record `json:"records"`
}

// Read reads one partition, assigned rather than subscribed to, up to End.
type Read struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      string `json:"from"` // start, offset or timestamp
	At        int64  `json:"at"`   // the offset, or milliseconds; 0 for start
	End       int64  `json:"end"`  // exclusive
}

// Join joins a group that subscribes to Topic, beginning at the first offset where the group has none, and reads
// until the member is told to go. It commits nothing but on order. See Line.
type Join struct {
	Topic    string `json:"topic"`
	Group    string `json:"group"`
	Instance string `json:"instance"` // group.instance.id; "" for a dynamic member
	// Consumer is for the consumer protocol (KIP-848), with the broker's assignor, session and heartbeats.
	// Otherwise Assignors are those that the member has, by the names that are sent, the preferred first.
	Consumer        bool     `json:"consumer"`
	Assignors       []string `json:"assignors"`
	SessionMillis   int      `json:"sessionMillis"`
	HeartbeatMillis int      `json:"heartbeatMillis"`
	MetadataMillis  int      `json:"metadataMillis"` // after this the client asks again how many partitions there are
}

// Transform reads Count records of From as a member of Group, up to ten at a time, and writes for each its partition and
// offset, as "1@23", to To, in one transaction with the offsets. Every third transaction is aborted, and its records are
// read again. In the end it begins one more, with a record "left open", and leaves that to the broker.
type Transform struct {
	From            string `json:"from"`
	To              string `json:"to"`
	Group           string `json:"group"`
	TransactionalID string `json:"transactionalId"`
	Count           int    `json:"count"`
}

// Admin walks through the client's admin calls on Topic, which does not exist yet: create it with 3
// partitions and Configs, look at it, alter it, add partitions up to 5, put 10 records on partition 0 and
// delete those below offset 4, delete it, and try what must be refused.
type Admin struct {
	Topic   string            `json:"topic"`
	Illegal string            `json:"illegal"` // a name no broker may accept
	Unknown string            `json:"unknown"` // a topic that does not exist
	Configs map[string]string `json:"configs"`
	// Alter is set incrementally where the client can, and then Replace takes the place of every
	// setting by the older call.
	Alter   map[string]string `json:"alter"`
	Replace map[string]string `json:"replace"`
}

// Result answers a job.
type Result struct {
	Client       string       `json:"client"` // name and version of the client library
	Produced     []Position   `json:"produced,omitempty"`
	Consumed     []ReadResult `json:"consumed,omitempty"`
	Aborted      int          `json:"aborted"`      // transactions, by a Transform
	Acknowledged int          `json:"acknowledged"` // records, by a Flood
	Admin        *AdminResult `json:"admin,omitempty"`
}

// Position says where a record went: one for each record of a Produce, in its order over all runs. A
// client that cannot tell leaves Produced empty.
type Position struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// ReadResult answers one Read.
type ReadResult struct {
	Start   int64    `json:"start"` // where reading began by the client's own look-up; -1 for no such offset
	High    int64    `json:"high"`  // end of the partition as the client sees it
	Records []Record `json:"records"`
}

// AdminResult holds what each call said; a call that the client does not have leaves its field out.
// Error codes are Kafka's numbers.
type AdminResult struct {
	ClusterID       *string           `json:"clusterId,omitempty"`
	Brokers         *int              `json:"brokers,omitempty"`
	Listed          *bool             `json:"listed,omitempty"`
	Partitions      *int              `json:"partitions,omitempty"`
	Configs         map[string]string `json:"configs,omitempty"`
	Altered         map[string]string `json:"altered,omitempty"`
	Replaced        map[string]string `json:"replaced,omitempty"`
	PartitionsAfter *int              `json:"partitionsAfter,omitempty"`
	LowWatermark    *int64            `json:"lowWatermark,omitempty"`
	StartAfter      *int64            `json:"startAfter,omitempty"`
	LogDirBytes     *int64            `json:"logDirBytes,omitempty"`
	Deleted         *bool             `json:"deleted,omitempty"`
	CreateExisting  *int16            `json:"createExisting,omitempty"`
	CreateIllegal   *int16            `json:"createIllegal,omitempty"`
	DescribeUnknown *int16            `json:"describeUnknown,omitempty"`
}

// Client is what a program in Go implements; Main does the rest.
type Client interface {
	Name() string
	Produce(brokers string, p *Produce) ([]Position, error)
	Consume(brokers string, reads []Read) ([]ReadResult, error)
	Join(brokers string, g *Join, l *Line) error
	Admin(brokers string, a *Admin) (*AdminResult, error)
}

// Main runs the job on standard input and ends the process: 0 with a result on standard output, or 1
// with the error on standard error.
func Main(c Client) {
	if err := run(c, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(c Client, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	var j Job
	if err := json.Unmarshal(first, &j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	result := Result{Client: c.Name()}
	switch {
	case j.Produce != nil:
		result.Produced, err = c.Produce(j.Brokers, j.Produce)
	case j.Consume != nil:
		result.Consumed, err = c.Consume(j.Brokers, j.Consume)
	case j.Join != nil:
		return c.Join(j.Brokers, j.Join, newLine(lines, out))
	case j.Flood != nil:
		result.Acknowledged, err = flood(c, j.Brokers, j.Flood)
	case j.Stage != nil:
		stager, ok := c.(Stager)
		if !ok {
			return fmt.Errorf("%s has no stages", c.Name())
		}
		return stager.Stage(j.Brokers, j.Stage)
	case j.Admin != nil:
		result.Admin, err = c.Admin(j.Brokers, j.Admin)
	default:
		err = fmt.Errorf("the job asks for nothing")
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}
