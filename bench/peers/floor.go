package main

import (
	"context"
	"fmt"
	"os"

	"weir/bench"
)

// floorPeer is the floor program: the least work that the raw loads can cost.
type floorPeer struct {
	self     string
	replicas int
}

func (p *floorPeer) name() string { return nameFloor }

func (p *floorPeer) prepare(context.Context, string) (err error) {
	p.self, err = os.Executable()
	return err
}

func (p *floorPeer) describe() (string, string) {
	if p.replicas > 1 {
		return "floor of this tree", fmt.Sprintf("%d processes, the bytes written %[1]d times: socket → CRC-32C → sockets to the others, which write without a sum of their own, and pwrite here, into preallocated files [→ fdatasync on each]; answered when the first and one other have it; no protocol, no index, no election", p.replicas)
	}
	return "floor of this tree", "socket → CRC-32C → pwrite into preallocated files [→ fdatasync]; file → sendfile → socket; no protocol, no index"
}

func (p *floorPeer) measure(ctx context.Context, s *sitting, dir string) error {
	for _, l := range rawLoads(s.o) {
		cfg := s.raw(l, bench.Target{Brokers: []string{"none"}, Topic: "none"})
		fc := bench.FloorConfig{Command: []string{p.self, floorVerb}, Dir: dir, Rounds: 1, Sync: l.synced, Replicas: p.replicas}
		r, err := bench.RunFloor(ctx, cfg, fc, l.produce)
		if err != nil {
			return err
		}
		s.result(l.name, p.name(), r)
	}
	return nil
}
