package vfs

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
)

// CrashState is what a power loss in the course of a recording could have left.
type CrashState struct {
	FS          *Mem  // all of it durable; the receiver's own
	Marks       []any // the marks set before the power loss, in order
	Step        int   // how many steps of the recording, marks included, were done
	Description string
}

// Enumeration bounds Recording.Crashes.
type Enumeration struct {
	// MaxStates is how many states are visited at most; 0 means all. Which ones is chosen
	// evenly, by Seed.
	MaxStates int
	Seed      uint64
	// ZeroTails is CrashOptions.ZeroTails.
	ZeroTails bool
}

// Crashes goes through the states that a power loss during the recording could have left, in the
// order of its steps, the same ones for the same recording and bounds. After each step:
//
//   - everything done so far is out; or, before a sync and at the end: only what was synced; that
//     and all names; that and all bytes;
//   - everything is out but one unsynced operation: bytes of a file, a size, or a name (with the
//     later changes that rest on this name);
//   - the last write is torn at 512 bytes or 4 KiB: its head is out and the file ends there, or goes
//     on with zeroes or garbage, or its tail is out and the head is not;
//   - one random choice, as Mem.CrashClone makes it.
//
// Where marks follow a step, the power loss comes after them.
func (r *Recording) Crashes(bounds Enumeration) iter.Seq[CrashState] {
	return func(yield func(CrashState) bool) {
		events := r.snapshot()
		plans := r.plan(events, bounds)
		p := r.replay()
		for step := 0; len(plans) > 0; step++ {
			for len(plans) > 0 && plans[0].step == step {
				state := CrashState{
					FS: plans[0].leave(p.mem, bounds), Marks: slices.Clone(p.marks), Step: step,
					Description: fmt.Sprintf("after step %d of %d: %s", step, len(events), plans[0].describe(p.mem)),
				}
				if !yield(state) {
					return
				}
				plans = plans[1:]
			}
			if step < len(events) {
				p.step(events[step])
			}
		}
	}
}

// plan says how to make one state out of the system as it runs after a step.
type plan struct {
	step   int
	kind   planKind
	file   uint64 // id: planOmitData, planTorn
	op     int    // index among the pending operations of the file, or among the pending names
	sector int64  // planTorn: bytes
	border int64  // planTorn: the first sector after the border
	rest   tornRest
}

type planKind uint8

const (
	planAll planKind = iota
	planSynced
	planNames
	planData
	planOmitData
	planOmitName
	planTorn
	planRandom
)

// tornRest is what there is instead of the lost part of a torn write.
type tornRest uint8

const (
	tornShort   tornRest = iota // nothing, the file ends
	tornZeroes                  // zeroes, or what was there
	tornGarbage                 // garbage, where nothing was
	tornHead                    // the head is what is lost
)

// plan lists the states within the bounds.
func (r *Recording) plan(events []event, bounds Enumeration) []plan {
	var plans []plan
	p := r.replay()
	for step := 0; ; step++ {
		if step == len(events) || events[step].mark == nil {
			atSync := step == len(events) || events[step].isSync()
			plans = appendWhole(plans, p.mem, step, atSync)
			plans = appendOmissions(plans, p.mem, step)
			if step > 0 {
				plans = p.appendTorn(plans, lastChange(events[:step]), step, bounds.ZeroTails)
			}
		}
		if step == len(events) {
			break
		}
		p.step(events[step])
	}
	if bounds.MaxStates > 0 && len(plans) > bounds.MaxStates {
		rng := rand.New(rand.NewPCG(bounds.Seed, 0x706c616e))
		rng.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
		plans = plans[:bounds.MaxStates]
		slices.SortFunc(plans, plan.compare)
	}
	return plans
}

func (a plan) compare(b plan) int {
	return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(a.kind, b.kind), cmp.Compare(a.file, b.file), cmp.Compare(a.op, b.op),
		cmp.Compare(a.sector, b.sector), cmp.Compare(a.border, b.border), cmp.Compare(a.rest, b.rest))
}

// lastChange returns the last event that is not a mark.
func lastChange(events []event) event {
	for _, e := range slices.Backward(events) {
		if e.mark == nil {
			return e
		}
	}
	return event{}
}

func appendWhole(plans []plan, m *Mem, step int, atSync bool) []plan {
	plans = append(plans, plan{step: step, kind: planAll})
	data := slices.ContainsFunc(m.files(), func(n *node) bool { return len(n.pending) > 0 })
	if len(m.pending) == 0 && !data {
		return plans // nothing can be lost
	}
	plans = append(plans, plan{step: step, kind: planRandom})
	if atSync {
		plans = append(plans, plan{step: step, kind: planSynced})
		if len(m.pending) > 0 && data {
			plans = append(plans, plan{step: step, kind: planNames}, plan{step: step, kind: planData})
		}
	}
	return plans
}

func appendOmissions(plans []plan, m *Mem, step int) []plan {
	for _, n := range m.files() {
		for i := range n.pending {
			plans = append(plans, plan{step: step, kind: planOmitData, file: n.id, op: i})
		}
	}
	for i := range m.pending {
		plans = append(plans, plan{step: step, kind: planOmitName, op: i})
	}
	return plans
}

// maxBorders is how many borders of one size a write is torn at, evenly spread.
const maxBorders = 8

// appendTorn tears the write that e did, if it did one.
func (p *replay) appendTorn(plans []plan, e event, step int, zeroTails bool) []plan {
	if e.data == nil || e.data.kind != opWrite {
		return plans
	}
	n := p.node(e.file)
	if !slices.Contains(p.mem.files(), n) {
		return plans // no name leads to it
	}
	for _, sector := range sectorSizes {
		first, end := e.data.sectors(sector)
		stride := max(1, (end-first+maxBorders-1)/maxBorders)
		for border := first; border < end; border += stride {
			torn := plan{step: step, kind: planTorn, file: n.id, op: len(n.pending) - 1, sector: sector, border: border}
			for _, torn.rest = range []tornRest{tornShort, tornZeroes, tornGarbage, tornHead} {
				// Before the first border there is no head to lose.
				if torn.rest == tornHead && border == first || torn.rest == tornGarbage && zeroTails {
					continue
				}
				plans = append(plans, torn)
			}
		}
	}
	return plans
}

// leave makes the state out of the running system, which stays as it is.
func (a plan) leave(running *Mem, bounds Enumeration) *Mem {
	if a.kind == planRandom {
		return running.CrashClone(CrashOptions{Seed: mix(bounds.Seed, uint64(a.step), 1) | 1, ZeroTails: bounds.ZeroTails})
	}
	running.mu.Lock()
	m, _ := running.clone()
	running.mu.Unlock()
	if a.kind != planSynced && a.kind != planData {
		a.leaveNames(m)
	}
	if a.kind != planSynced && a.kind != planNames {
		rng := rand.New(rand.NewPCG(bounds.Seed, uint64(a.step)))
		for _, n := range m.files() {
			if n.id == a.file {
				a.leavePart(n, rng)
			} else {
				n.sync()
			}
		}
	}
	m.lose()
	return m
}

// leaveNames makes the pending changes of names durable, but for an omitted one and those that rest
// on it: without it a directory entry, or the file behind it, is not what they took it for.
func (a plan) leaveNames(m *Mem) {
	var omitted []nameOp
	for i, op := range m.pending {
		if a.kind == planOmitName && (i == a.op || slices.ContainsFunc(omitted, op.restsOn)) {
			omitted = append(omitted, op)
		} else {
			op.apply(durableNames)
		}
	}
}

// restsOn reports whether both operations are about one directory entry or about one file.
func (o nameOp) restsOn(earlier nameOp) bool {
	same := func(dirA *node, nameA string, dirB *node, nameB string) bool {
		return dirA != nil && dirA == dirB && nameA == nameB
	}
	return o.child != nil && o.child == earlier.child ||
		same(o.from, o.fromName, earlier.from, earlier.fromName) || same(o.from, o.fromName, earlier.to, earlier.toName) ||
		same(o.to, o.toName, earlier.from, earlier.fromName) || same(o.to, o.toName, earlier.to, earlier.toName)
}

// leavePart makes the pending operations of a file durable, but for an omitted one or for the lost
// part of a torn one.
func (a plan) leavePart(n *node, rng *rand.Rand) {
	t := tearing{sector: sectorSizes[0], rng: rng}
	keep := func(op int, _ int64) bool { return op != a.op }
	if a.kind == planTorn {
		t = tearing{sector: a.sector, rng: rng, garbage: a.rest == tornGarbage, fullSize: a.rest != tornShort}
		keep = func(op int, sector int64) bool {
			return op < a.op || op == a.op && (sector < a.border) == (a.rest != tornHead)
		}
	}
	t.apply(n.durable, n.pending, keep)
}
