package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"weir/bench/raw"
)

// FloorConfig describes a comparison of a broker with the floor program.
type FloorConfig struct {
	// Command starts the floor process: the running program and the verb that calls floor.Main with
	// the arguments that follow.
	Command []string `json:"-"`
	Dir     string   `json:"dir"`    // folder for the floor's files, on the broker's filesystem; removed again
	Rounds  int      `json:"rounds"` // pairs of runs, broker and floor in turn; medians are reported
	Sync    bool     `json:"sync"`   // the floor answers after fdatasync
	// Replicas is how many floor processes store what is produced, and a majority of them before an
	// answer; 0 is 1. Reads are always of one.
	Replicas int `json:"replicas,omitempty"`
}

// Validate returns the first thing wrong with c.
func (c FloorConfig) Validate() error {
	switch {
	case len(c.Command) == 0:
		return errors.New("no command for the floor process")
	case c.Dir == "":
		return errors.New("no folder for the floor's files")
	case c.Rounds < 1 || c.Rounds > 99:
		return fmt.Errorf("rounds: got %d, want 1 to 99", c.Rounds)
	case c.Replicas < 0 || c.Replicas > maxFloorReplicas:
		return fmt.Errorf("replicas: got %d, want 0 to %d", c.Replicas, maxFloorReplicas)
	}
	return nil
}

// FloorReport compares medians of the same load on both. Ratios are broker / floor; that of CPU is
// there only when the broker's process is known.
type FloorReport struct {
	Rounds           int       `json:"rounds"`
	Sync             bool      `json:"sync"`
	CPUSecondsPerGiB float64   `json:"floor_cpu_seconds_per_gib"`
	MiBPerSecond     float64   `json:"floor_mib_per_second"`
	BrokerCPU        float64   `json:"broker_cpu_seconds_per_gib,omitempty"`
	BrokerMiB        float64   `json:"broker_mib_per_second"`
	CPURatio         *float64  `json:"cpu_ratio,omitempty"`
	ThroughputRatio  *float64  `json:"throughput_ratio"`
	CPURatios        []float64 `json:"cpu_ratios,omitempty"` // of each round
}

// CompareFloor runs a raw load (produce, or else consume) against the broker and against a floor
// process, in turn for floor.Rounds rounds. The result is that of the broker's run with the median
// throughput.
func CompareFloor(ctx context.Context, cfg RawConfig, fc FloorConfig, produce bool) (*Result, error) {
	if err := errors.Join(cfg.Validate(), fc.Validate()); err != nil {
		return nil, err
	}
	var brokerRuns, floorRuns []*Result
	for range fc.Rounds {
		run := RawConsume
		if produce {
			run = RawProduce
		}
		b, err := run(ctx, cfg)
		if err != nil {
			return nil, err
		}
		f, err := RunFloor(ctx, cfg, fc, produce)
		if err != nil {
			return nil, err
		}
		brokerRuns, floorRuns = append(brokerRuns, b), append(floorRuns, f)
	}
	report := floorReport(brokerRuns, floorRuns)
	report.Sync = fc.Sync
	slices.SortFunc(brokerRuns, func(a, b *Result) int { return cmp.Compare(a.MiBPerSecond, b.MiBPerSecond) })
	r := brokerRuns[len(brokerRuns)/2]
	r.Floor = report
	return r, nil
}

// RunFloor runs a raw load once against a floor process of its own, or several with Replicas;
// Result.Broker is their sum.
func RunFloor(ctx context.Context, cfg RawConfig, fc FloorConfig, produce bool) (*Result, error) {
	if err := errors.Join(cfg.Validate(), fc.Validate()); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(fc.Dir, "weir-floor-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var processes *floorProcesses
	if produce {
		processes, err = startFloorReplicas(fc, dir)
	} else {
		processes, err = startFloorReader(cfg, fc, dir)
	}
	if err != nil {
		return nil, err
	}
	r := &Result{Kind: "floor", Config: cfg, Loop: "CLOSED LOOP, as the broker's run"}
	r.Environment = LocalEnvironment("raw")
	err = measureRaw(ctx, cfg, r, processes.pids(), func(ctx context.Context, done raw.Done) error {
		if produce {
			return raw.Produce(ctx, cfg.produce(processes.leader.Address, true), done)
		}
		return raw.Consume(ctx, cfg.consume(processes.leader.Address, true), done)
	})
	if err := errors.Join(err, processes.stop()); err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	return r, nil
}

func floorReport(broker, floor []*Result) *FloorReport {
	throughput := func(r *Result) float64 { return r.MiBPerSecond }
	report := &FloorReport{
		Rounds:           len(broker),
		CPUSecondsPerGiB: Median(each(floor, brokerCPU)),
		MiBPerSecond:     Median(each(floor, throughput)),
		BrokerCPU:        Median(each(broker, brokerCPU)),
		BrokerMiB:        Median(each(broker, throughput)),
	}
	report.ThroughputRatio = ratio(report.BrokerMiB, report.MiBPerSecond)
	if report.BrokerCPU == 0 {
		return report
	}
	report.CPURatio = ratio(report.BrokerCPU, report.CPUSecondsPerGiB)
	for i := range broker {
		if one := ratio(brokerCPU(broker[i]), brokerCPU(floor[i])); one != nil {
			report.CPURatios = append(report.CPURatios, *one)
		}
	}
	return report
}

// brokerCPU is in seconds per GiB, 0 when it is not known.
func brokerCPU(r *Result) float64 {
	if r.Broker == nil || r.Broker.CPUSecondsPerGiB == nil {
		return 0
	}
	return *r.Broker.CPUSecondsPerGiB
}

func each(runs []*Result, f func(*Result) float64) []float64 {
	var out []float64
	for _, r := range runs {
		out = append(out, f(r))
	}
	return out
}

// Median returns the middle of values, the mean of the middle two when their count is even, and 0
// without any.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func (f *FloorReport) writeText(b *strings.Builder) {
	promise := "page cache"
	if f.Sync {
		promise = "fdatasync"
	}
	fmt.Fprintf(b, "  floor   (%s, medians of %d in turn): %.2f MiB/s, %.3f CPU-s per GiB\n", promise, f.Rounds, f.MiBPerSecond, f.CPUSecondsPerGiB)
	fmt.Fprintf(b, "          broker %.2f MiB/s", f.BrokerMiB)
	if f.ThroughputRatio != nil {
		fmt.Fprintf(b, ", %.2f × the floor", *f.ThroughputRatio)
	}
	if f.CPURatio != nil {
		fmt.Fprintf(b, "; %.3f CPU-s per GiB, %.2f × the floor %s", f.BrokerCPU, *f.CPURatio, ratios(f.CPURatios))
	}
	b.WriteString("\n")
}

func ratios(values []float64) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, fmt.Sprintf("%.2f", v))
	}
	return "(" + strings.Join(parts, " ") + ")"
}
