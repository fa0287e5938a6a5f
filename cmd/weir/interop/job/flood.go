package job

import "fmt"

// Flood has several idempotent producers of one client write at once, with acks=all and five requests in flight:
// each writes Records records to Topic, numbered from 0 on, number n to partition n modulo Partitions. A value is
// the producer's number, a space, the record's number, a space, and dots up to ValueBytes. Every record has to be
// acknowledged, however long that takes; one that the client gives up fails the job.
type Flood struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	Producers  int    `json:"producers"`
	Records    int    `json:"records"`
	ValueBytes int    `json:"valueBytes"`
	BatchBytes int    `json:"batchBytes"` // of a batch at most, so that requests are many
}

// Value is that of a producer's record.
func (f *Flood) Value(producer, number int) []byte {
	value := fmt.Appendf(make([]byte, 0, f.ValueBytes), "%d %d ", producer, number)
	for len(value) < f.ValueBytes {
		value = append(value, '.')
	}
	return value
}

// Flooder is a Client that can do a Flood. It returns how many records were acknowledged.
type Flooder interface {
	Flood(brokers string, f *Flood) (acknowledged int, err error)
}

func flood(c Client, brokers string, f *Flood) (int, error) {
	flooder, ok := c.(Flooder)
	if !ok {
		return 0, fmt.Errorf("%s has no flood", c.Name())
	}
	return flooder.Flood(brokers, f)
}
