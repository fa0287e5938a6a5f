package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// GuaranteesReport compares medians of the same load with acks=all as a plain producer makes it, an idempotent
// one and one with transactions. Ratios are to the plain one.
type GuaranteesReport struct {
	Rounds     int             `json:"rounds"`
	PlainMiB   float64         `json:"plain_mib_per_second"`
	PlainCPU   float64         `json:"plain_broker_cpu_seconds_per_gib,omitempty"`
	Idempotent GuaranteeReport `json:"idempotent"`
	// Transactions are as long as ProduceConfig.Transaction.
	Transactions GuaranteeReport `json:"transactions"`
	Transaction  time.Duration   `json:"transaction_nanos"`
}

// GuaranteeReport is what one guarantee costs. That of CPU is there only when the broker's process is known.
type GuaranteeReport struct {
	MiBPerSecond    float64   `json:"mib_per_second"`
	ThroughputRatio *float64  `json:"throughput_ratio"`
	Ratios          []float64 `json:"throughput_ratios"` // of each round
	CPU             float64   `json:"broker_cpu_seconds_per_gib,omitempty"`
	CPURatio        *float64  `json:"cpu_ratio,omitempty"`
}

// The kinds of run that are compared, by index.
const (
	plain = iota
	idempotent
	transactional
	guaranteeKinds
)

// CompareGuarantees runs cfg, which has Transaction set, three times a round: without idempotence, with it, and with
// transactions, in an order that turns from round to round. The result is that of the plain run with the median
// throughput; errors are those of all runs.
func CompareGuarantees(ctx context.Context, cfg ProduceConfig, rounds int) (*Result, error) {
	if rounds < 1 || rounds > 99 {
		return nil, fmt.Errorf("rounds: got %d, want 1 to 99", rounds)
	}
	if cfg.Transaction == 0 {
		return nil, errors.New("no length of the transactions to compare with")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var runs [guaranteeKinds][]*Result
	for round := range rounds {
		for i := range guaranteeKinds {
			kind := (round + i) % guaranteeKinds
			r, err := Produce(ctx, guaranteed(cfg, kind))
			if err != nil {
				return nil, err
			}
			runs[kind] = append(runs[kind], r)
			if ctx.Err() != nil {
				return r, nil
			}
		}
	}
	report := guaranteesReport(runs)
	report.Transaction = cfg.Transaction
	var errs int64
	var texts []string
	for _, r := range slices.Concat(runs[:]...) {
		errs, texts = errs+r.Errors, append(texts, r.ErrorTexts...)
	}
	slices.SortFunc(runs[plain], func(a, b *Result) int { return cmp.Compare(a.MiBPerSecond, b.MiBPerSecond) })
	r := runs[plain][rounds/2]
	r.Errors, r.ErrorTexts, r.Guarantees = errs, texts, report
	return r, nil
}

func guaranteed(cfg ProduceConfig, kind int) ProduceConfig {
	cfg.Idempotent = kind != plain
	if kind != transactional {
		cfg.Transaction = 0
	}
	return cfg
}

func guaranteesReport(runs [guaranteeKinds][]*Result) *GuaranteesReport {
	throughput := func(r *Result) float64 { return r.MiBPerSecond }
	base := each(runs[plain], throughput)
	report := &GuaranteesReport{Rounds: len(base), PlainMiB: Median(base), PlainCPU: Median(each(runs[plain], brokerCPU))}
	one := func(kind int) (g GuaranteeReport) {
		each := each(runs[kind], throughput)
		g.MiBPerSecond = Median(each)
		g.ThroughputRatio = ratio(g.MiBPerSecond, report.PlainMiB)
		for i := range each {
			if r := ratio(each[i], base[i]); r != nil {
				g.Ratios = append(g.Ratios, *r)
			}
		}
		return g
	}
	report.Idempotent, report.Transactions = one(idempotent), one(transactional)
	for kind, g := range map[int]*GuaranteeReport{idempotent: &report.Idempotent, transactional: &report.Transactions} {
		if report.PlainCPU > 0 {
			g.CPU = Median(each(runs[kind], brokerCPU))
			g.CPURatio = ratio(g.CPU, report.PlainCPU)
		}
	}
	return report
}

func (g *GuaranteesReport) writeText(b *strings.Builder) {
	fmt.Fprintf(b, "  guarantees (medians of %d in turn): plain %.2f MiB/s", g.Rounds, g.PlainMiB)
	if g.PlainCPU > 0 {
		fmt.Fprintf(b, ", %.3f CPU-s per GiB", g.PlainCPU)
	}
	b.WriteString("\n")
	g.Idempotent.writeText(b, "idempotent")
	g.Transactions.writeText(b, fmt.Sprintf("transactions of %v", g.Transaction))
}

func (g *GuaranteeReport) writeText(b *strings.Builder, name string) {
	fmt.Fprintf(b, "          %s %.2f MiB/s", name, g.MiBPerSecond)
	if g.ThroughputRatio != nil {
		fmt.Fprintf(b, ", %.3f × plain %s", *g.ThroughputRatio, ratios(g.Ratios))
	}
	if g.CPURatio != nil {
		fmt.Fprintf(b, "; %.3f CPU-s per GiB, %.2f × plain", g.CPU, *g.CPURatio)
	}
	b.WriteString("\n")
}
