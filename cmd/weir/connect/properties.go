package connect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/fault"
)

// Property is one name that -X takes.
type Property struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"` // of other clients, for the same thing
	Help    string   `json:"help"`
	apply   func(value string) ([]kgo.Opt, error)
}

// Properties lists what -X takes, by name.
func Properties() []Property { return slices.Clone(table) }

var table = []Property{
	{"acks", []string{"request.required.acks"}, "0, 1 or all (-1): who must have a record before it counts", func(v string) ([]kgo.Opt, error) {
		return Acks(v)
	}},
	{"batch.size", nil, "bytes in a batch, uncompressed", bytes(kgo.ProducerBatchMaxBytes)},
	{"bootstrap.servers", []string{"metadata.broker.list"}, "the same as --brokers", nothing},
	{"client.id", nil, "name in the broker's logs and quotas", func(v string) ([]kgo.Opt, error) {
		return []kgo.Opt{kgo.ClientID(v)}, nil
	}},
	{"client.rack", nil, "rack of this client, to read from the nearest replica", func(v string) ([]kgo.Opt, error) {
		return []kgo.Opt{kgo.Rack(v)}, nil
	}},
	{"compression.type", []string{"compression.codec"}, "none, gzip, snappy, lz4, zstd", func(v string) ([]kgo.Opt, error) {
		return Compression(v)
	}},
	{"connections.max.idle.ms", nil, "when an idle connection is closed", millis(func(d time.Duration) kgo.Opt { return kgo.ConnIdleTimeout(d) })},
	{"enable.idempotence", nil, "true or false: no duplicates when a send is tried again", func(v string) ([]kgo.Opt, error) {
		on, err := strconv.ParseBool(v)
		if err != nil || on {
			return nil, err
		}
		return []kgo.Opt{kgo.DisableIdempotentWrite()}, nil
	}},
	{"fetch.max.bytes", nil, "bytes in one answer to a fetch", bytes(kgo.FetchMaxBytes)},
	{"fetch.max.wait.ms", []string{"fetch.wait.max.ms"}, "how long a broker waits for fetch.min.bytes", millis(func(d time.Duration) kgo.Opt { return kgo.FetchMaxWait(d) })},
	{"fetch.min.bytes", nil, "bytes a broker waits for", bytes(kgo.FetchMinBytes)},
	{"isolation.level", nil, "read_committed or read_uncommitted", func(v string) ([]kgo.Opt, error) {
		switch v {
		case "read_committed":
			return []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted())}, nil
		case "read_uncommitted":
			return []kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadUncommitted())}, nil
		}
		return nil, fmt.Errorf("want read_committed or read_uncommitted")
	}},
	{"linger.ms", []string{"queue.buffering.max.ms"}, "how long to gather records into a batch", millis(func(d time.Duration) kgo.Opt { return kgo.ProducerLinger(d) })},
	{"max.partition.fetch.bytes", []string{"fetch.message.max.bytes"}, "bytes of one partition in one answer", bytes(kgo.FetchMaxPartitionBytes)},
	{"metadata.max.age.ms", []string{"topic.metadata.refresh.interval.ms"}, "how often to look for new leaders", millis(func(d time.Duration) kgo.Opt { return kgo.MetadataMaxAge(d) })},
	{"request.timeout.ms", []string{"socket.timeout.ms"}, "how long a broker may take for a produce request", millis(func(d time.Duration) kgo.Opt { return kgo.ProduceRequestTimeout(d) })},
	{"retries", []string{"message.send.max.retries"}, "how often a record is sent again", func(v string) ([]kgo.Opt, error) {
		n, err := strconv.ParseUint(v, 10, 31)
		return []kgo.Opt{kgo.RecordRetries(int(n))}, err
	}},
	{"security.protocol", nil, "PLAINTEXT", func(v string) ([]kgo.Opt, error) {
		if !strings.EqualFold(v, "plaintext") {
			return nil, fmt.Errorf("only PLAINTEXT is spoken")
		}
		return nil, nil
	}},
	{"socket.connection.setup.timeout.ms", nil, "how long connecting may take", millis(func(d time.Duration) kgo.Opt { return kgo.DialTimeout(d) })},
	{"transaction.timeout.ms", nil, "when the broker aborts a transaction that is still open", millis(func(d time.Duration) kgo.Opt { return kgo.TransactionTimeout(d) })},
}

// properties are values by the first name of the property.
type properties map[string]string

// parseProperties reads key=value pairs; the last of a name wins. The error is a usage error.
func parseProperties(pairs []string) (properties, error) {
	props := properties{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fault.Usage("-X %s: write key=value. The keys: -X list", pair)
		}
		p, ok := lookup(name)
		if !ok {
			e := &fault.Error{What: fmt.Sprintf("-X %s: no such property", name), Do: "The keys: -X list", Exit: fault.WrongUsage}
			e.Why = fault.DidYouMean(name, names())
			return nil, e
		}
		props[p.Name] = value
	}
	return props, nil
}

func lookup(name string) (Property, bool) {
	for _, p := range table {
		if p.Name == name || slices.Contains(p.Aliases, name) {
			return p, true
		}
	}
	return Property{}, false
}

func names() []string {
	var all []string
	for _, p := range table {
		all = append(append(all, p.Name), p.Aliases...)
	}
	return all
}

func (props properties) options() ([]kgo.Opt, error) {
	var opts []kgo.Opt
	for _, p := range table {
		value, ok := props[p.Name]
		if !ok {
			continue
		}
		o, err := p.apply(value)
		if err != nil {
			return nil, fault.Usage("-X %s=%s: %v", p.Name, value, err)
		}
		opts = append(opts, o...)
	}
	return opts, nil
}

// Acks reads how many replicas must have a record. Anything but all goes without idempotence, which
// needs it.
func Acks(v string) ([]kgo.Opt, error) {
	switch v {
	case "all", "-1":
		return []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks())}, nil
	case "1":
		return []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()}, nil
	case "0":
		return []kgo.Opt{kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()}, nil
	}
	return nil, fmt.Errorf("want 0, 1 or all")
}

// Codecs are the names Compression takes.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Compression reads a codec, with a level after a colon if one is wanted: gzip, zstd:3.
func Compression(v string) ([]kgo.Opt, error) {
	name, level, hasLevel := strings.Cut(v, ":")
	var codec kgo.CompressionCodec
	switch name {
	case "none":
		codec = kgo.NoCompression()
	case "gzip":
		codec = kgo.GzipCompression()
	case "snappy":
		codec = kgo.SnappyCompression()
	case "lz4":
		codec = kgo.Lz4Compression()
	case "zstd":
		codec = kgo.ZstdCompression()
	default:
		return nil, fmt.Errorf("want one of %s", strings.Join(Codecs, ", "))
	}
	if hasLevel {
		n, err := strconv.Atoi(level)
		if err != nil {
			return nil, fmt.Errorf("level %q is not a number", level)
		}
		codec = codec.WithLevel(n)
	}
	return []kgo.Opt{kgo.ProducerBatchCompression(codec)}, nil
}

func bytes[O kgo.Opt](opt func(int32) O) func(string) ([]kgo.Opt, error) {
	return func(v string) ([]kgo.Opt, error) {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("want a number of bytes")
		}
		return []kgo.Opt{opt(int32(n))}, nil
	}
}

func millis(opt func(time.Duration) kgo.Opt) func(string) ([]kgo.Opt, error) {
	return func(v string) ([]kgo.Opt, error) {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("want a number of milliseconds")
		}
		return []kgo.Opt{opt(time.Duration(n) * time.Millisecond)}, nil
	}
}

func nothing(string) ([]kgo.Opt, error) { return nil, nil }
