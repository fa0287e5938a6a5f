package command

import (
	"fmt"
	"slices"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

// move is one partition of a plan. One that is on its way from an earlier run has no replacement.
type move struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	From      []int32 `json:"from"`
	To        []int32 `json:"to"`
	underWay  bool
}

// planDecommission finds for every partition with a replica on broker id another broker to hold it: one
// that is up, not drained and holds none yet, if possible of a rack that no other replica is in, and of those the one
// with the fewest replicas, those planned before counted. A replacement takes the place of what it
// replaces, so the preferred leaders stay spread. A partition that finds no broker fails the whole plan.
func planDecommission(v *clusterView, id int32) ([]move, error) {
	load := map[int32]int{}
	racks := map[int32]string{}
	for _, b := range v.brokers {
		racks[b.id] = b.rack
	}
	for _, p := range v.partitions {
		for _, replica := range p.goal() {
			load[replica]++
		}
	}
	var plan []move
	var stuck []string
	for _, p := range v.partitions {
		goal := p.goal()
		place := slices.Index(goal, id)
		if place < 0 {
			if slices.Contains(p.Replicas, id) {
				plan = append(plan, move{Topic: p.Topic, Partition: p.Number, From: p.Replicas, To: goal, underWay: true})
			}
			continue
		}
		best, found := replacement(v, goal, id, load, racks)
		if !found {
			stuck = append(stuck, p.String())
			continue
		}
		load[best]++
		to := slices.Clone(goal)
		to[place] = best
		plan = append(plan, move{Topic: p.Topic, Partition: p.Number, From: p.Replicas, To: to})
	}
	if len(stuck) > 0 {
		return nil, &fault.Error{What: fmt.Sprintf("%s of broker %d have nowhere to go: %s", output.Plural(int64(len(stuck)), "partition"), id, some(stuck)),
			Why: "Every other broker that is up and not drained holds a replica of them already", Do: "Add a broker, or give the topics fewer replicas: weir partition move"}
	}
	return plan, nil
}

func replacement(v *clusterView, goal []int32, leaving int32, load map[int32]int, racks map[int32]string) (best int32, found bool) {
	sharesRack := func(id int32) bool {
		return racks[id] != "" && slices.ContainsFunc(goal, func(other int32) bool { return other != leaving && racks[other] == racks[id] })
	}
	for _, b := range v.brokers { // sorted, so the lowest of equals
		if b.id == leaving || b.state != brokerUp || slices.Contains(goal, b.id) {
			continue
		}
		better := !found
		if found {
			mine, its := sharesRack(b.id), sharesRack(best)
			better = !mine && its || mine == its && load[b.id] < load[best]
		}
		if better {
			best, found = b.id, true
		}
	}
	return best, found
}
