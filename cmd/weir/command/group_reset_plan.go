package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/seek"
)

// resetTarget is where a reset goes: a point of the seek grammar, so far from what is committed, or
// what a file says.
type resetTarget struct {
	point seek.Point
	shift int64
	file  []fileOffset
}

// plan works out what a reset does, with the group's offsets as they are now.
func (r *reset) plan(ctx context.Context) error {
	ask, cancel := asking(ctx, r.cl)
	defer cancel()
	current, err := r.committed(ask, r.o.group)
	if err != nil {
		return err
	}
	wanted, topics, err := r.wanted(ctx, current)
	if err != nil {
		return err
	}
	r.rows = nil
	if len(wanted) > 0 {
		where, err := newPositions(ctx, r.cl, topics, false)
		if err != nil {
			return err
		}
		for _, at := range wanted {
			if err := r.planOne(ctx, where, at, current); err != nil {
				return err
			}
		}
	}
	if len(r.rows) == 0 {
		return &fault.Error{What: fmt.Sprintf("there is nothing to reset in group %q", r.o.group), Why: "No partition has an offset to begin with",
			Do: "See what it has: weir group describe " + r.o.group}
	}
	return r.readTimes(ask)
}

// committed reads what a group has committed.
func (r *reset) committed(ctx context.Context, group string) (map[topicPartition]int64, error) {
	responses, err := r.cl.Admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, r.cl.Explain(fmt.Sprintf("cannot read the offsets of group %q", group), err)
	}
	offsets := map[topicPartition]int64{}
	responses.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			offsets[topicPartition{o.Topic, o.Partition}] = o.At
		}
	})
	return offsets, nil
}

// wanted lists the partitions to reset, sorted, and their topics: those of the file, all of the topics
// named, or those that have offsets.
func (r *reset) wanted(ctx context.Context, current map[topicPartition]int64) ([]topicPartition, []kadm.TopicDetail, error) {
	if len(r.o.topics) > 0 && r.target.file == nil {
		return r.ofTopics(ctx)
	}
	if r.target.file != nil {
		return r.ofFile(ctx)
	}
	if r.target.point.Kind == seek.Group {
		ask, cancel := asking(ctx, r.cl)
		defer cancel()
		var err error
		if current, err = r.committed(ask, r.target.point.Name); err != nil {
			return nil, nil, err
		}
		if len(current) == 0 {
			if _, err := knownGroups(ctx, r.cl, []string{r.target.point.Name}); err != nil {
				return nil, nil, err
			}
		}
	}
	var names []string
	for at := range current {
		names = append(names, at.topic)
	}
	details, err := r.lookUp(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	var wanted []topicPartition
	for at := range current {
		if _, ok := details[at.topic].Partitions[at.partition]; !ok {
			r.s.note("%s[%d] does not exist any more, it is left out", at.topic, at.partition)
			continue
		}
		wanted = append(wanted, at)
	}
	return inOrder(wanted), details.Sorted(), nil
}

// ofTopics are the partitions of the topics named.
func (r *reset) ofTopics(ctx context.Context) (wanted []topicPartition, topics []kadm.TopicDetail, err error) {
	if topics, err = findTopics(ctx, r.cl, r.o.topics, false, true); err != nil {
		return nil, nil, err
	}
	for _, t := range topics {
		for n := range t.Partitions {
			if len(r.o.partitions) == 0 || slices.Contains(r.o.partitions, n) {
				wanted = append(wanted, topicPartition{t.Topic, n})
			}
		}
		for _, n := range r.o.partitions {
			if _, ok := t.Partitions[n]; !ok {
				return nil, nil, missingPartition(t, n)
			}
		}
	}
	return inOrder(wanted), topics, nil
}

// ofFile are the partitions of the file, or those of them that the flags name.
func (r *reset) ofFile(ctx context.Context) (wanted []topicPartition, _ []kadm.TopicDetail, err error) {
	var names []string
	for _, f := range r.target.file {
		names = append(names, f.topic)
	}
	details, err := r.lookUp(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range r.target.file {
		t, ok := details[f.topic]
		if !ok {
			return nil, nil, fileFault(f.where, missingTopic(ctx, r.cl, f.topic))
		}
		if _, ok := t.Partitions[f.partition]; !ok {
			return nil, nil, fileFault(f.where, missingPartition(t, f.partition))
		}
		if len(r.o.topics) > 0 && !slices.Contains(r.o.topics, f.topic) || len(r.o.partitions) > 0 && !slices.Contains(r.o.partitions, f.partition) {
			continue
		}
		wanted = append(wanted, f.topicPartition)
	}
	return inOrder(wanted), details.Sorted(), nil
}

// lookUp describes the topics that exist.
func (r *reset) lookUp(ctx context.Context, names []string) (kadm.TopicDetails, error) {
	if len(names) == 0 {
		return nil, nil
	}
	details, err := listTopics(ctx, r.cl, distinct(names)...)
	if err != nil {
		return nil, err
	}
	for name, d := range details {
		if d.Err != nil {
			delete(details, name)
		}
	}
	return details, nil
}

func inOrder(all []topicPartition) []topicPartition {
	slices.SortFunc(all, func(a, b topicPartition) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return all
}

// planOne adds a partition to the plan, unless it has no offset to go by, which is told.
func (r *reset) planOne(ctx context.Context, where *positions, at topicPartition, current map[topicPartition]int64) error {
	bounds, err := where.bounds(at.topic, at.partition)
	if err != nil {
		return err
	}
	row := resetRow{Topic: at.topic, Partition: at.partition}
	if offset, ok := current[at]; ok {
		row.Current = &offset
	}
	asked, exact, ok := r.exact(at, row.Current)
	switch {
	case !ok:
		r.s.note("%v: nothing is committed there to shift from, it is left out", &row)
		return nil
	case exact:
		if row.New = min(max(asked, bounds.Start), bounds.End); row.New != asked {
			row.Asked = &asked
		}
	default:
		row.New, _, err = where.resolve(ctx, r.target.point, at.topic, at.partition)
		var none *seek.NoOffsetError
		if errors.As(err, &none) {
			r.s.note("%v: %v there, it is left out", &row, none)
			return nil
		}
		if err != nil {
			return err
		}
	}
	if row.Asked != nil {
		r.s.note("%v: the log holds %d to %d, so %d becomes %d", &row, bounds.Start, bounds.End, asked, row.New)
	}
	if row.Current != nil {
		change := row.New - *row.Current
		row.Change = &change
	}
	row.LagAfter = max(bounds.End-row.New, 0)
	r.rows = append(r.rows, row)
	return nil
}

// exact is the offset that is asked for by number, which may lie outside of the log; ok is false when there
// is nothing to shift from.
func (r *reset) exact(at topicPartition, current *int64) (offset int64, exact, ok bool) {
	switch {
	case r.target.file != nil:
		i := slices.IndexFunc(r.target.file, func(f fileOffset) bool { return f.topicPartition == at })
		return r.target.file[i].offset, true, true
	case r.target.shift == 0:
		return r.target.point.Offset, r.target.point.Kind == seek.Exact, true
	case current == nil:
		return 0, true, false
	case r.target.shift > forever-*current:
		return forever, true, true
	}
	return *current + r.target.shift, true, true
}

// readTimes fills in when the next records on both sides were written.
func (r *reset) readTimes(ctx context.Context) error {
	before, after := map[topicPartition]int64{}, map[topicPartition]int64{}
	for _, row := range r.rows {
		at := topicPartition{row.Topic, row.Partition}
		end := row.New + row.LagAfter
		if row.Current != nil && *row.Current < end {
			before[at] = *row.Current
		}
		if row.New < end {
			after[at] = row.New
		}
	}
	for _, side := range []struct {
		from map[topicPartition]int64
		into func(*resetRow) **string
	}{{before, func(r *resetRow) **string { return &r.CurrentTime }}, {after, func(r *resetRow) **string { return &r.NewTime }}} {
		found, err := firstRecords(ctx, r.cl, side.from, false)
		if err != nil {
			return err
		}
		for i := range r.rows {
			row := &r.rows[i]
			if u, ok := found[topicPartition{row.Topic, row.Partition}]; ok && !u.none && u.timestamp >= 0 {
				text := output.Millis(u.timestamp)
				*side.into(row) = &text
			}
		}
	}
	return nil
}
