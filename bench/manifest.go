package bench

import (
	"encoding/json"
	"fmt"
	"os"
)

// Manifest says what the producers of one run sent: a consumer that reads later needs it to see a
// loss at the end of a sequence.
type Manifest struct {
	Run       uint64             `json:"run"`
	Topic     string             `json:"topic"`
	Keys      int                `json:"keys"` // 0 when records have none
	Producers []ManifestProducer `json:"producers"`
}

// ManifestProducer is one producer's part. Sent[key number] counts its sequences [0, Sent); without
// keys Sent has one element. Unacknowledged are those of them whose send failed.
type ManifestProducer struct {
	ID             uint32         `json:"id"`
	Sent           []uint64       `json:"sent"`
	Unacknowledged []SequenceName `json:"unacknowledged,omitempty"`
}

// SequenceName names one record of a producer.
type SequenceName struct {
	Key      int32  `json:"key"`
	Sequence uint64 `json:"sequence"`
}

// Acknowledged returns how many records of the run must be there.
func (m *Manifest) Acknowledged() int64 {
	var n int64
	for _, p := range m.Producers {
		for _, sent := range p.Sent {
			n += int64(sent)
		}
		n -= int64(len(p.Unacknowledged))
	}
	return n
}

// WriteFile writes m as JSON.
func (m *Manifest) WriteFile(path string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// ReadManifest reads what WriteFile wrote.
func ReadManifest(path string) (*Manifest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", path, err)
	}
	for _, p := range m.Producers {
		if want := max(m.Keys, 1); len(p.Sent) != want {
			return nil, fmt.Errorf("read manifest %s: producer %d has %d sequences, want %d", path, p.ID, len(p.Sent), want)
		}
	}
	return m, nil
}
