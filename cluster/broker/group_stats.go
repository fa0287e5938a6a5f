package broker

import "weir/cluster/group"

// GroupStats is a group that this broker coordinates, as it is now.
type GroupStats struct {
	Name    string
	State   string
	Members int
	Offsets map[group.TopicPartition]int64 // committed
}

// GroupStats lists the groups that are coordinated here. Those of a partition that cannot be read now are left out.
func (b *Broker) GroupStats() (all []GroupStats) {
	_ = b.groups.each(func(s *shard) {
		for _, name := range s.names() {
			state, _ := s.state(name)
			g := GroupStats{Name: name, State: string(state), Offsets: make(map[group.TopicPartition]int64)}
			if live := s.groups[name]; live != nil {
				g.Members = live.Size()
			}
			for _, tp := range s.offsets.Partitions(name) {
				if c, ok := s.offsets.Get(name, tp); ok {
					g.Offsets[tp] = c.Offset
				}
			}
			all = append(all, g)
		}
	})
	return all
}
