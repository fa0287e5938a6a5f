// Package bench is a load generator for brokers that speak the Kafka protocol.
//
// It is a black box client: it knows a broker by its address and, when told, by its process id, and
// imports nothing of the server. Three loads run through franz-go ([Produce], [Consume], [E2E]); two
// more ([RawProduce], [RawConsume]) run through prebuilt batches on plain connections, because a full
// client costs more CPU than the broker that it measures. [CompareFloor] runs a raw load against a
// broker and, in the same call, against a program that does only the unavoidable work.
package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Limits on what a config may ask for.
const (
	maxProducers     = 1024
	maxRecordBytes   = 64 << 20
	maxBatchBytes    = 256 << 20
	maxInFlight      = 10_000_000
	maxVerifiedKeys  = 16 << 20
	maxPartitions    = 100_000
	maxRatePerSecond = 100_000_000
	maxTransaction   = 5 * time.Minute
)

// Codec names a compression of record batches as Kafka spells it.
type Codec string

// The codecs of Kafka's record batches.
const (
	CodecNone   Codec = "none"
	CodecGzip   Codec = "gzip"
	CodecSnappy Codec = "snappy"
	CodecLZ4    Codec = "lz4"
	CodecZstd   Codec = "zstd"
)

// Payload names what record values are filled with.
type Payload string

// Kinds of payload. Random bytes do not compress; text compresses by about three to one.
const (
	PayloadRandom Payload = "random"
	PayloadText   Payload = "text"
)

// Target is the broker and topic that a load runs against.
type Target struct {
	Brokers []string `json:"brokers"` // HOST:PORT, at least one
	Topic   string   `json:"topic"`

	// CreateTopic creates the topic unless it is there already. Partitions and TopicConfigs apply
	// only to a topic created by this run; ReplicationFactor -1 takes the broker's default.
	CreateTopic       bool              `json:"create_topic"`
	Partitions        int               `json:"partitions,omitempty"`
	ReplicationFactor int               `json:"replication_factor,omitempty"`
	TopicConfigs      map[string]string `json:"topic_configs,omitempty"` // Kafka names, e.g. write.caching

	// BrokerPIDs are the brokers' processes on this machine; their CPU and memory are reported, summed.
	BrokerPIDs []int `json:"broker_pids,omitempty"`
}

// Output says what a run writes beside its result.
type Output struct {
	// Progress receives a line each ProgressEvery, nothing when nil. Lines are written by the
	// reporting goroutine, never by one that makes load.
	Progress      io.Writer     `json:"-"`
	ProgressEvery time.Duration `json:"-"`
	// HDRLogPath, when set, is a file that receives one histogram a second in HdrHistogram's log
	// format, values in microseconds.
	HDRLogPath string `json:"hdr_log_path,omitempty"`
}

// ProgressTo returns an Output that reports on f: each second on a terminal, each 5 s elsewhere.
func ProgressTo(f *os.File) Output {
	every := 5 * time.Second
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		every = time.Second
	}
	return Output{Progress: f, ProgressEvery: every}
}

// ProduceConfig describes a produce load. Records and Duration bound the run, whichever is reached
// first; one of them must be set.
type ProduceConfig struct {
	Target
	Output
	Producers   int           `json:"producers"`    // clients, each with its own connections
	RecordBytes int           `json:"record_bytes"` // bytes of the record's value
	BatchBytes  int           `json:"batch_bytes"`  // most bytes of a batch, uncompressed
	Linger      time.Duration `json:"linger_nanos"`
	Codec       Codec         `json:"codec"`
	Acks        Acks          `json:"acks"`
	Idempotent  bool          `json:"idempotent"` // with acks=all: retries are recognised
	// Transaction is how long each producer writes into one transaction before it commits and begins the
	// next; 0 is without transactions. It needs Idempotent.
	Transaction  time.Duration `json:"transaction_nanos,omitempty"`
	Keys         KeySpec       `json:"keys"`
	Payload      Payload       `json:"payload"`
	Rate         float64       `json:"rate_per_second"` // records a second of all producers together; 0 is a closed loop
	InFlight     int           `json:"in_flight"`       // most unacknowledged records of one producer
	Records      int64         `json:"records,omitempty"`
	Duration     time.Duration `json:"duration_nanos,omitempty"`
	Seed         uint64        `json:"seed"`
	Verify       bool          `json:"verify"` // write payloads that a consumer can verify
	ManifestPath string        `json:"manifest_path,omitempty"`
}

// ConsumeConfig describes a consume load. It reads from StartOffset on. Without Records and Duration
// it ends at the log end offsets that the partitions had when it started.
type ConsumeConfig struct {
	Target
	Output
	Consumers     int           `json:"consumers"`    // clients; partitions are dealt out among them
	StartOffset   int64         `json:"start_offset"` // in every partition; -2 is the log start
	FetchBytes    int           `json:"fetch_bytes"`  // most bytes of a fetch of one partition
	Records       int64         `json:"records,omitempty"`
	Duration      time.Duration `json:"duration_nanos,omitempty"`
	Verify        bool          `json:"verify"` // the records were written by a produce load with Verify
	ManifestPath  string        `json:"manifest_path,omitempty"`
	ReadCommitted bool          `json:"read_committed,omitempty"`
}

// E2EConfig describes a load that produces and consumes the same records; latency runs from the
// intended send time until the consumer has the record.
type E2EConfig struct {
	ProduceConfig
	Consumers int           `json:"consumers"`
	Drain     time.Duration `json:"drain_nanos"` // longest wait for what was acknowledged but not yet seen
}

// DefaultProduceConfig returns a closed loop of 1 KiB records for 10 s with acks=all.
func DefaultProduceConfig() ProduceConfig {
	return ProduceConfig{
		Target:      Target{Topic: "weir-bench", CreateTopic: true, Partitions: 4, ReplicationFactor: -1},
		Producers:   1,
		RecordBytes: 1024,
		BatchBytes:  256 << 10,
		Linger:      5 * time.Millisecond,
		Codec:       CodecNone,
		Acks:        AcksAll,
		Idempotent:  true,
		Payload:     PayloadRandom,
		InFlight:    10_000,
		Duration:    10 * time.Second,
		Seed:        1,
	}
}

// DefaultConsumeConfig returns a read of the whole topic.
func DefaultConsumeConfig() ConsumeConfig {
	return ConsumeConfig{
		Target:      Target{Topic: "weir-bench"},
		Consumers:   1,
		StartOffset: startOfLog,
		FetchBytes:  1 << 20,
	}
}

// DefaultE2EConfig returns an open loop of 10,000 records a second for 10 s without linger.
func DefaultE2EConfig() E2EConfig {
	p := DefaultProduceConfig()
	p.Rate = 10_000
	p.Linger = 0
	return E2EConfig{ProduceConfig: p, Consumers: 1, Drain: 30 * time.Second}
}

const startOfLog = -2

func (t Target) validate() error {
	switch {
	case len(t.Brokers) == 0:
		return errors.New("no broker address")
	case t.Topic == "":
		return errors.New("no topic")
	case t.CreateTopic && (t.Partitions < 1 || t.Partitions > maxPartitions):
		return fmt.Errorf("partitions: got %d, want 1 to %d", t.Partitions, maxPartitions)
	case t.CreateTopic && (t.ReplicationFactor == 0 || t.ReplicationFactor < -1 || t.ReplicationFactor > 1<<15-1):
		return fmt.Errorf("replication factor: got %d, want -1 or at least 1", t.ReplicationFactor)
	case slices.ContainsFunc(t.BrokerPIDs, func(pid int) bool { return pid < 1 }):
		return fmt.Errorf("broker pids: got %d, want process ids", t.BrokerPIDs)
	}
	return nil
}

// idempotent says whether the broker recognises retries.
func (c ProduceConfig) idempotent() bool { return c.Acks == AcksAll && c.Idempotent }

func (o Output) validate() error {
	if o.Progress != nil && o.ProgressEvery < 250*time.Millisecond {
		return fmt.Errorf("progress interval: got %v, want at least 250ms", o.ProgressEvery)
	}
	return nil
}

// Validate returns the first thing wrong with c.
func (c ProduceConfig) Validate() error {
	if err := errors.Join(c.Target.validate(), c.Output.validate(), c.Keys.validate(), c.Acks.validate(), c.Codec.validate(), c.Payload.validate()); err != nil {
		return err
	}
	lowest := 1
	if c.Verify {
		lowest = headerBytes
	}
	switch {
	case c.Producers < 1 || c.Producers > maxProducers:
		return fmt.Errorf("producers: got %d, want 1 to %d", c.Producers, maxProducers)
	case c.RecordBytes < lowest || c.RecordBytes > maxRecordBytes:
		return fmt.Errorf("record size: got %d bytes, want %d to %d", c.RecordBytes, lowest, maxRecordBytes)
	case c.BatchBytes < c.RecordBytes+recordOverheadBytes || c.BatchBytes > maxBatchBytes:
		return fmt.Errorf("batch size: got %d bytes, want %d (one record) to %d", c.BatchBytes, c.RecordBytes+recordOverheadBytes, maxBatchBytes)
	case c.Linger < 0 || c.Linger > time.Minute:
		return fmt.Errorf("linger: got %v, want 0 to 1m", c.Linger)
	case c.Transaction < 0 || c.Transaction > maxTransaction:
		return fmt.Errorf("transactions: got %v, want 0 (none) to %v", c.Transaction, maxTransaction)
	case c.Transaction > 0 && (c.Acks != AcksAll || !c.Idempotent):
		return errors.New("transactions need acks=all and idempotence")
	case c.InFlight < 1 || c.InFlight > maxInFlight:
		return fmt.Errorf("records in flight: got %d, want 1 to %d", c.InFlight, maxInFlight)
	case c.Rate < 0 || c.Rate > maxRatePerSecond:
		return fmt.Errorf("rate: got %g records/s, want 0 (closed loop) to %d", c.Rate, maxRatePerSecond)
	case c.Records < 0 || c.Duration < 0 || (c.Records == 0 && c.Duration == 0):
		return errors.New("neither a count of records nor a duration bounds the run")
	case c.Verify && c.Keys.N > maxVerifiedKeys:
		return fmt.Errorf("keys: got %d, want at most %d with verification", c.Keys.N, maxVerifiedKeys)
	case c.ManifestPath != "" && !c.Verify:
		return errors.New("a manifest is written only with verification")
	}
	return nil
}

// Validate returns the first thing wrong with c.
func (c ConsumeConfig) Validate() error {
	if err := errors.Join(c.Target.validate(), c.Output.validate()); err != nil {
		return err
	}
	switch {
	case c.Consumers < 1 || c.Consumers > maxProducers:
		return fmt.Errorf("consumers: got %d, want 1 to %d", c.Consumers, maxProducers)
	case c.StartOffset < startOfLog || c.StartOffset == -1:
		return fmt.Errorf("start offset: got %d, want an offset or -2 for the log start", c.StartOffset)
	case c.FetchBytes < 1 || c.FetchBytes > maxBatchBytes:
		return fmt.Errorf("fetch size: got %d bytes, want 1 to %d", c.FetchBytes, maxBatchBytes)
	case c.Records < 0 || c.Duration < 0:
		return errors.New("records and duration cannot be negative")
	case c.ManifestPath != "" && !c.Verify:
		return errors.New("a manifest is read only with verification")
	}
	return nil
}

// Validate returns the first thing wrong with c.
func (c E2EConfig) Validate() error {
	if err := c.ProduceConfig.Validate(); err != nil {
		return err
	}
	switch {
	case c.RecordBytes < headerBytes:
		return fmt.Errorf("record size: got %d bytes, want at least %d, which carry the send time", c.RecordBytes, headerBytes)
	case c.Acks == AcksNone:
		return errors.New("acks=0 does not tell what to wait for; use acks=1 or acks=all")
	case c.Consumers < 1 || c.Consumers > maxProducers:
		return fmt.Errorf("consumers: got %d, want 1 to %d", c.Consumers, maxProducers)
	case c.Drain <= 0:
		return fmt.Errorf("drain: got %v, want a positive duration", c.Drain)
	}
	return nil
}

// Acks is what a producer waits for, as Kafka spells it.
type Acks string

// The three promises of a produce request.
const (
	AcksNone   Acks = "0"
	AcksLeader Acks = "1"
	AcksAll    Acks = "all"
)

// ParseAcks reads "0", "1", "all" or "-1".
func ParseAcks(s string) (Acks, error) {
	if s == "-1" {
		return AcksAll, nil
	}
	a := Acks(s)
	return a, a.validate()
}

func (a Acks) validate() error {
	switch a {
	case AcksNone, AcksLeader, AcksAll:
		return nil
	}
	return fmt.Errorf("acks: got %q, want 0, 1 or all", string(a))
}

func (c Codec) validate() error {
	switch c {
	case CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd:
		return nil
	}
	return fmt.Errorf("codec: got %q, want none, gzip, snappy, lz4 or zstd", string(c))
}

func (p Payload) validate() error {
	switch p {
	case PayloadRandom, PayloadText:
		return nil
	}
	return fmt.Errorf("payload: got %q, want random or text", string(p))
}
