package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// weirPeer is a single Weir broker with default settings.
type weirPeer struct {
	binary  string // built when empty
	version string
}

func (p *weirPeer) name() string { return nameWeir }

func (p *weirPeer) prepare(ctx context.Context, work string) error {
	if p.binary == "" {
		p.binary = filepath.Join(work, "weir-binary") // "weir" is the folder of its data
		if _, err := command(ctx, "", nil, "go", "build", "-trimpath", "-o", p.binary, "./cmd/weir"); err != nil {
			return err
		}
	}
	out, err := command(ctx, "", nil, p.binary, "version")
	p.version, _, _ = strings.Cut(out, "\n")
	return err
}

func (p *weirPeer) describe() (string, string) {
	return p.version, "defaults; topics with write.caching=true and, as Kafka's default, flush.ms=never (page cache), or write.caching=false (synced)"
}

// promises are the topic configs that stand for the two promises.
func (p *weirPeer) promises() promises {
	return promises{
		cached: map[string]string{"write.caching": "true", "flush.ms": "9223372036854775807"},
		synced: map[string]string{"write.caching": "false"},
	}
}

func (p *weirPeer) measure(ctx context.Context, s *sitting, dir string) error {
	port, err := pickPort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(p.binary, "start", "--data", filepath.Join(dir, "data"), "--listen", address)
	srv, err := startServer(ctx, cmd, address, filepath.Join(dir, "weir.txt"), answersKafka)
	if err != nil {
		return err
	}
	return errors.Join(s.kafkaLoads(ctx, p.name(), srv, p.promises()), srv.stop())
}
