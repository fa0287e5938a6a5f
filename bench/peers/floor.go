package main

import (
	"context"
	"os"

	"weir/bench"
)

// floorPeer is the floor program: the least work that the raw loads can cost.
type floorPeer struct{ self string }

func (p *floorPeer) name() string { return nameFloor }

func (p *floorPeer) prepare(context.Context, string) (err error) {
	p.self, err = os.Executable()
	return err
}

func (p *floorPeer) describe() (string, string) {
	return "floor of this tree", "socket → CRC-32C → pwrite into preallocated files [→ fdatasync]; file → sendfile → socket; no protocol, no index"
}

func (p *floorPeer) measure(ctx context.Context, s *sitting, dir string) error {
	for _, l := range rawLoads(s.o) {
		cfg := s.raw(l, bench.Target{Brokers: []string{"none"}, Topic: "none"})
		fc := bench.FloorConfig{Command: []string{p.self, floorVerb}, Dir: dir, Rounds: 1, Sync: l.synced}
		r, err := bench.RunFloor(ctx, cfg, fc, l.produce)
		if err != nil {
			return err
		}
		s.result(l.name, p.name(), r)
	}
	return nil
}
