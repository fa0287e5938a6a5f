package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"weir/bench/floor"
)

// maxFloorReplicas bounds the processes of a floor.
const maxFloorReplicas = 9

// floorProcesses are a floor server and its followers, each a process with a folder of its own.
type floorProcesses struct {
	leader    *floor.Child
	followers []*floor.Child
}

// startFloorReader starts a floor that is read from.
func startFloorReader(cfg RawConfig, fc FloorConfig, dir string) (*floorProcesses, error) {
	serve := floor.Config{Dir: dir, Sync: fc.Sync, ReadBytes: int64(cfg.FetchBytes)}
	serve.ReadFileBytes = max(min(cfg.TotalBytes, 1<<30), serve.ReadBytes)
	leader, err := floor.StartChild(fc.Command, serve)
	return &floorProcesses{leader: leader}, err
}

// startFloorReplicas starts a floor that is written to: followers first, whose addresses the leader has
// to know.
func startFloorReplicas(fc FloorConfig, dir string) (*floorProcesses, error) {
	var p floorProcesses
	serve := floor.Config{Sync: fc.Sync}
	for i := 1; i < fc.Replicas; i++ {
		follower := floor.Config{Sync: fc.Sync, Unsummed: true}
		ch, err := startFloorIn(filepath.Join(dir, strconv.Itoa(i)), fc, follower)
		if err != nil {
			return nil, errors.Join(err, p.stop())
		}
		p.followers, serve.Followers = append(p.followers, ch), append(serve.Followers, ch.Address)
	}
	var err error
	if p.leader, err = startFloorIn(filepath.Join(dir, "leader"), fc, serve); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return &p, nil
}

func startFloorIn(dir string, fc FloorConfig, serve floor.Config) (*floor.Child, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	serve.Dir = dir
	return floor.StartChild(fc.Command, serve)
}

func (p *floorProcesses) pids() []int {
	pids := []int{p.leader.PID}
	for _, f := range p.followers {
		pids = append(pids, f.PID)
	}
	return pids
}

// stop ends the leader first, which sends its followers all that it has.
func (p *floorProcesses) stop() error {
	var errs []error
	if p.leader != nil {
		errs = append(errs, p.leader.Stop())
	}
	for _, f := range p.followers {
		errs = append(errs, f.Stop())
	}
	return errors.Join(errs...)
}
