package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// weirPeer is a Weir broker with default settings, or a cluster of them.
type weirPeer struct {
	binary  string // built when empty
	brokers int
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
	nodes := "one broker"
	if p.brokers > 1 {
		nodes = fmt.Sprintf("%d brokers, each a process", p.brokers)
	}
	return p.version, nodes + ", defaults; topics with write.caching=true and, as Kafka's default, flush.ms=never (page cache), or write.caching=false (synced)"
}

// promises are the topic configs that stand for the two promises.
func (p *weirPeer) promises() promises {
	return promises{
		cached: map[string]string{"write.caching": "true", "flush.ms": "9223372036854775807"},
		synced: map[string]string{"write.caching": "false"},
	}
}

func (p *weirPeer) measure(ctx context.Context, s *sitting, dir string) error {
	c, err := p.start(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(s.kafkaLoads(ctx, p.name(), c, p.promises()), c.stop())
}

func (p *weirPeer) start(ctx context.Context, dir string) (cluster, error) {
	addresses, err := pickAddresses(2 * p.brokers)
	if err != nil {
		return nil, err
	}
	clients, peers := addresses[:p.brokers], addresses[p.brokers:]
	var commands []*exec.Cmd
	for id := 1; id <= p.brokers; id++ {
		commands = append(commands, exec.Command(p.binary, weirArgs(dir, id, clients, peers)...))
	}
	return startCluster(ctx, dir, clients, commands)
}

// weirArgs are the arguments of broker id; clients and peers are where the brokers listen for either.
func weirArgs(dir string, id int, clients, peers []string) []string {
	args := []string{"start", "--data", filepath.Join(dir, strconv.Itoa(id)), "--listen", clients[id-1], "--set", "admin.listener="}
	if len(clients) == 1 {
		return args
	}
	args = append(args, "--node-id", strconv.Itoa(id), "--peer-listen", peers[id-1])
	if id > 1 {
		args = append(args, "--join", peers[0])
	}
	return args
}
