package group

// agrees says whether a member with these protocols can be one of the group's.
func (g *Classic) agrees(protocolType string, protocols []Protocol) bool {
	if protocolType == "" || len(protocols) == 0 {
		return false
	}
	if len(g.members) == 0 {
		return true
	}
	if protocolType != g.protocolType {
		return false
	}
	for _, p := range protocols {
		if g.allKnow(p.Name) {
			return true
		}
	}
	return false
}

func (g *Classic) allKnow(protocol string) bool {
	for _, m := range g.members {
		if !m.knows(protocol) {
			return false
		}
	}
	return true
}

// choose lets every member vote for the first of its protocols that all know.
func (g *Classic) choose() string {
	votes := make(map[string]int)
	for _, m := range g.members {
		for _, p := range m.protocols {
			if g.allKnow(p.Name) {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.members[g.leader].protocols {
		if best == "" && votes[p.Name] > 0 || votes[p.Name] > votes[best] {
			best = p.Name
		}
	}
	return best
}
