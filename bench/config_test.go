package bench

import (
	"strings"
	"testing"
	"time"
)

func brokers(t Target) Target {
	t.Brokers = []string{"127.0.0.1:9092"}
	return t
}

// TestDefaultsAreValid needs nothing but an address.
func TestDefaultsAreValid(t *testing.T) {
	p, c, e, r := DefaultProduceConfig(), DefaultConsumeConfig(), DefaultE2EConfig(), DefaultRawConfig()
	p.Target, c.Target, e.Target, r.Target = brokers(p.Target), brokers(c.Target), brokers(e.Target), brokers(r.Target)
	for name, err := range map[string]error{"produce": p.Validate(), "consume": c.Validate(), "e2e": e.Validate(), "raw": r.Validate()} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProduceConfigRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*ProduceConfig){
		"no broker":             func(c *ProduceConfig) { c.Brokers = nil },
		"no topic":              func(c *ProduceConfig) { c.Topic = "" },
		"partitions":            func(c *ProduceConfig) { c.Partitions = 0 },
		"replication factor":    func(c *ProduceConfig) { c.ReplicationFactor = 0 },
		"broker pids":           func(c *ProduceConfig) { c.BrokerPIDs = []int{1, -1} },
		"producers":             func(c *ProduceConfig) { c.Producers = 0 },
		"record size":           func(c *ProduceConfig) { c.RecordBytes = 0 },
		"at least":              func(c *ProduceConfig) { c.Progress, c.ProgressEvery = &strings.Builder{}, time.Millisecond },
		"record size: got 39":   func(c *ProduceConfig) { c.Verify, c.RecordBytes = true, headerBytes-1 },
		"batch size":            func(c *ProduceConfig) { c.BatchBytes = c.RecordBytes },
		"linger":                func(c *ProduceConfig) { c.Linger = -1 },
		"records in flight":     func(c *ProduceConfig) { c.InFlight = 0 },
		"rate":                  func(c *ProduceConfig) { c.Rate = -1 },
		"bounds the run":        func(c *ProduceConfig) { c.Duration = 0 },
		"with verification":     func(c *ProduceConfig) { c.Verify, c.Keys = true, KeySpec{KeysUniform, maxVerifiedKeys + 1} },
		"manifest":              func(c *ProduceConfig) { c.ManifestPath = "m" },
		`codec: got "brotli"`:   func(c *ProduceConfig) { c.Codec = "brotli" },
		`acks: got "2"`:         func(c *ProduceConfig) { c.Acks = "2" },
		`payload: got "zeroes"`: func(c *ProduceConfig) { c.Payload = "zeroes" },
		"transactions: got -1s": func(c *ProduceConfig) { c.Transaction = -time.Second },
		"need acks=all":         func(c *ProduceConfig) { c.Transaction, c.Acks = time.Second, AcksLeader },
		"and idempotence":       func(c *ProduceConfig) { c.Transaction, c.Idempotent = time.Second, false },
		"keys: got 0 keys":      func(c *ProduceConfig) { c.Keys = KeySpec{KeysZipf, 0} },
	} {
		c := DefaultProduceConfig()
		c.Target = brokers(c.Target)
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOtherConfigsRefuse(t *testing.T) {
	consume := func(spoil func(*ConsumeConfig)) error {
		c := DefaultConsumeConfig()
		c.Target = brokers(c.Target)
		spoil(&c)
		return c.Validate()
	}
	e2e := func(spoil func(*E2EConfig)) error {
		c := DefaultE2EConfig()
		c.Target = brokers(c.Target)
		spoil(&c)
		return c.Validate()
	}
	raw := func(spoil func(*RawConfig)) error {
		c := DefaultRawConfig()
		c.Target = brokers(c.Target)
		spoil(&c)
		return c.Validate()
	}
	for want, err := range map[string]error{
		"consumers: got 0":   consume(func(c *ConsumeConfig) { c.Consumers = 0 }),
		"start offset":       consume(func(c *ConsumeConfig) { c.StartOffset = -1 }),
		"fetch size":         consume(func(c *ConsumeConfig) { c.FetchBytes = 0 }),
		"negative":           consume(func(c *ConsumeConfig) { c.Records = -1 }),
		"manifest":           consume(func(c *ConsumeConfig) { c.ManifestPath = "m" }),
		"acks=0":             e2e(func(c *E2EConfig) { c.Acks = AcksNone }),
		"send time":          e2e(func(c *E2EConfig) { c.RecordBytes = 20 }),
		"drain":              e2e(func(c *E2EConfig) { c.Drain = 0 }),
		"consumers: got -1":  e2e(func(c *E2EConfig) { c.Consumers = -1 }),
		"connections":        raw(func(c *RawConfig) { c.Connections = 0 }),
		"pipeline":           raw(func(c *RawConfig) { c.Pipeline = 0 }),
		"total of 0 bytes":   raw(func(c *RawConfig) { c.TotalBytes = 0 }),
		"batch size: got 0":  raw(func(c *RawConfig) { c.BatchBytes = 0 }),
		"record size: got 0": raw(func(c *RawConfig) { c.RecordBytes = 0 }),
		"no command":         FloorConfig{Dir: ".", Rounds: 1}.Validate(),
		"no folder":          FloorConfig{Command: []string{"x"}, Rounds: 1}.Validate(),
		"rounds: got 0":      FloorConfig{Command: []string{"x"}, Dir: "."}.Validate(),
		"replicas: got 10":   FloorConfig{Command: []string{"x"}, Dir: ".", Rounds: 1, Replicas: 10}.Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestParseAcks(t *testing.T) {
	for in, want := range map[string]Acks{"0": AcksNone, "1": AcksLeader, "all": AcksAll, "-1": AcksAll} {
		if got, err := ParseAcks(in); got != want || err != nil {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	if _, err := ParseAcks("two"); err == nil {
		t.Error("two was taken")
	}
}
