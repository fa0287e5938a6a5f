package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
	"weir/cmd/weir/record"
)

// checkpointEvery bounds what a resumed replay writes twice.
const checkpointEvery = time.Second

// copier writes what a reading reads to another topic. The position is kept only after everything up to
// it has been acknowledged: a record may come twice after a crash, and none is left out.
type copier struct {
	cl       *connect.Client
	to       *sender
	opts     replayOptions
	filter   record.Filter
	state    *replayState
	pace     pacer
	progress *output.Progress
	flushed  time.Time // the last checkpoint

	read int64

	mu      sync.Mutex // guards what promises change, on the client's goroutines
	written int64      // acknowledged
	err     error      // the first
}

func (c *copier) run(ctx context.Context, s *Streams, spans []span) error {
	defer c.to.close()
	began := time.Now()
	r := reading{cl: c.cl, spans: spans, quiet: quietTime, notice: s.note}
	err := r.run(ctx, func(batch []*kgo.Record) error { return c.copy(ctx, batch) })
	if kept := c.checkpoint(); err == nil {
		err = kept
	}
	c.progress.Clear()
	if err == nil {
		c.state.finish()
		err = c.state.save(c.opts.resume)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	report := replayReport{c.opts.topic, c.opts.into, c.read, c.written, time.Since(began).Seconds()}
	if err == nil || c.written > 0 {
		if printed := report.write(s.Out, c.opts.format); err == nil {
			err = printed
		}
	}
	if err != nil && ctx.Err() == nil {
		err = c.cl.Explain(fmt.Sprintf("cannot replay %s into %s", c.opts.topic, c.opts.into), err)
		if c.written > 0 {
			err = fault.Partial(err)
		}
	}
	return err
}

func (c *copier) copy(ctx context.Context, batch []*kgo.Record) error {
	for _, r := range batch {
		if c.filter.Match(r) {
			if err := c.pace.wait(ctx); err != nil {
				return err
			}
			if err := c.write(r); err != nil {
				return err
			}
		}
		c.read++
		c.state.advance(r.Partition, r.Offset+1)
		c.progress.Set(c.read)
		if time.Since(c.flushed) >= checkpointEvery {
			if err := c.checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *copier) write(r *kgo.Record) error {
	w := &kgo.Record{Topic: c.opts.into, Key: r.Key, Value: r.Value, Headers: r.Headers, Partition: anyPartition}
	if c.opts.keepPartitions {
		w.Partition = r.Partition
	}
	if c.opts.keepTimestamps {
		if err := writableTime(r.Timestamp); err != nil {
			return err
		}
		w.Timestamp = r.Timestamp
	}
	c.to.send(w, func(_ *kgo.Record, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case err == nil:
			c.written++
		case c.err == nil:
			c.err = err
		}
	})
	return c.to.stalled()
}

// checkpoint waits until all that was written is acknowledged, and keeps the position.
func (c *copier) checkpoint() error {
	if err := c.to.flush(); err != nil {
		return err
	}
	c.mu.Lock()
	failed := c.err
	c.mu.Unlock()
	if failed != nil {
		return failed
	}
	c.flushed = time.Now()
	return c.state.save(c.opts.resume)
}

// replayState is how far a replay has come. Its ends are those it began with.
type replayState struct {
	Topic      string            `json:"topic"`
	Into       string            `json:"into"`
	Filters    []string          `json:"filters,omitempty"`
	Partitions []replayPartition `json:"partitions"`
}

type replayPartition struct {
	Partition int32 `json:"partition"`
	Next      int64 `json:"next"` // everything below is written
	End       int64 `json:"end"`  // exclusive
}

func newReplayState(o replayOptions, spans []span) *replayState {
	st := &replayState{Topic: o.topic, Into: o.into, Filters: o.filters}
	if o.hasKey {
		st.Filters = append([]string{"key=" + o.key}, st.Filters...)
	}
	for _, s := range spans {
		st.Partitions = append(st.Partitions, replayPartition{s.partition, s.from, s.to})
	}
	return st
}

func (st *replayState) spans() []span {
	spans := make([]span, len(st.Partitions))
	for i, p := range st.Partitions {
		spans[i] = span{st.Topic, p.Partition, p.Next, p.End}
	}
	return spans
}

func (st *replayState) advance(partition int32, next int64) {
	for i := range st.Partitions {
		if st.Partitions[i].Partition == partition {
			st.Partitions[i].Next = next
		}
	}
}

// finish says that nothing is left, also where the last offsets held nothing to show.
func (st *replayState) finish() {
	for i := range st.Partitions {
		st.Partitions[i].Next = st.Partitions[i].End
	}
}

// load takes over what path holds, if it exists and is about the same replay.
func (st *replayState) load(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var old replayState
	if err == nil {
		err = json.Unmarshal(data, &old)
	}
	if err != nil {
		return &fault.Error{What: "cannot go on from " + path, Why: err.Error(), Do: "Name another file, or remove it to begin anew", Err: err}
	}
	if old.Topic != st.Topic || old.Into != st.Into || !slices.Equal(old.Filters, st.Filters) {
		return fault.Usage("%s is about another replay: of %q into %q with filters %q. Name another file", path, old.Topic, old.Into, old.Filters)
	}
	st.Partitions = old.Partitions
	return nil
}

// save writes the state to path, whole or not at all; an empty path keeps nothing.
func (st *replayState) save(path string) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
