package broker

import (
	"slices"

	"weir/cluster/group"
	"weir/cluster/group/record"
	"weir/protocol/recordbatch"
)

// factBytes is about what a stored fact takes beside what the group has of it in memory anyway.
const factBytes = 128

// inTopic says whether the topic has anything of a group's members.
func (s *shard) inTopic(name string) bool { return s.stored[name] != nil || s.facts[name] != nil }

// setFact notes what the topic has.
func (s *shard) setFact(name string, f group.Fact) {
	facts := s.facts[name]
	_, known := facts[f.Key]
	switch {
	case f.Value == nil && known:
		if delete(facts, f.Key); len(facts) == 0 {
			delete(s.facts, name)
		}
		s.storedBytes -= factBytes
		return
	case f.Value == nil:
		return
	case facts == nil:
		facts = make(group.Facts)
		s.facts[name] = facts
	}
	if !known {
		s.storedBytes += factBytes
	}
	facts[f.Key] = f.Value
}

// forgetFacts notes that the topic has none of a group any more.
func (s *shard) forgetFacts(name string) {
	s.storedBytes -= int64(factBytes * len(s.facts[name]))
	delete(s.facts, name)
}

// applyFact applies the record of a fact.
func (s *shard) applyFact(r recordbatch.Record) error {
	name, key, err := record.ParseKey(r.Key)
	if err != nil {
		return err
	}
	f := group.Fact{Key: key}
	if r.Value != nil {
		if f.Value, err = record.ParseValue(key.Kind, r.Value); err != nil {
			return err
		}
		s.setStored(name, nil) // it has changed its protocol
	}
	s.setFact(name, f)
	return nil
}

func factRecords(name string, facts []group.Fact, now int64) []recordbatch.Record {
	records := make([]recordbatch.Record, 0, len(facts))
	for _, f := range facts {
		records = append(records, recordbatch.Record{Timestamp: now, Key: record.Key(name, f.Key), Value: record.Value(f.Value)})
	}
	return records
}

// factTombstones are the records that have the topic forget a group's facts.
func (s *shard) factTombstones(name string, now int64) []recordbatch.Record {
	facts := s.facts[name].List()
	for i := range facts {
		facts[i].Value = nil
	}
	return factRecords(name, facts, now)
}

// recordsOf makes the records of a group's write, and what is to be noted when they are in the topic. What the
// topic has of the group's other protocol goes. What it does not know anyway need not go, nor be written
// that nobody is left in a group that it does not know.
func (s *shard) recordsOf(g *liveGroup, w *group.Write, now int64) (records []recordbatch.Record, apply func()) {
	if w.Facts == nil {
		if len(w.Snapshot.Members) == 0 && !s.inTopic(g.name) && g.writing == 0 {
			return nil, nil
		}
		value := encodeGroup(w.Snapshot)
		return append(s.factTombstones(g.name, now), groupRecord(g.name, value, now)), func() {
			s.forgetFacts(g.name)
			s.setStored(g.name, value)
		}
	}
	facts := slices.DeleteFunc(w.Facts, func(f group.Fact) bool {
		_, known := s.facts[g.name][f.Key]
		return f.Value == nil && !known && g.writing == 0
	})
	records = factRecords(g.name, facts, now)
	if s.stored[g.name] != nil {
		records = append(records, groupRecord(g.name, nil, now))
	}
	return records, func() {
		s.setStored(g.name, nil)
		for _, f := range facts {
			s.setFact(g.name, f)
		}
	}
}
