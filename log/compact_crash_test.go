package log_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"syscall"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/protocol/recordbatch"
	"weir/segment"
	"weir/segment/vfs"
)

// put1 appends a batch of one record; a nil value is a tombstone.
func put1(l *log.Log, at int64, key string, value []byte) error {
	h := recordbatch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	b, err := recordbatch.AppendBatch(nil, h, recordbatch.CodecNone, []recordbatch.Record{{Timestamp: at, Key: []byte(key), Value: value}})
	if err != nil {
		return err
	}
	return put(l, 1, b)
}

// stateOf is what a log says of each key: the last value, "" for a tombstone.
func stateOf(l *log.Log) (map[string]string, error) {
	b, err := bytesOf(l, l.LogEndOffset())
	if err != nil {
		return nil, err
	}
	state := make(map[string]string)
	for len(b) > 0 {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			return nil, err
		}
		for r, err := range recordbatch.Records(b, 0) {
			if err != nil {
				return nil, err
			}
			state[string(r.Key)] = string(r.Value)
		}
		b = b[h.SizeBytes():]
	}
	return state, nil
}

// live leaves out the keys that have been deleted: their tombstones may be there or not.
func live(state map[string]string) map[string]string {
	state = maps.Clone(state)
	maps.DeleteFunc(state, func(_, v string) bool { return v == "" })
	return state
}

// compactions runs rounds of appends and passes. The state that counts is told
// whenever it is on disk.
func compactions(l *log.Log, told func(state map[string]string, end int64)) error {
	now := time.UnixMilli(1_000_000)
	want := make(map[string]string)
	for round := range 3 {
		for i := range 4 {
			key, value := fmt.Sprint("key-", (round+i)%3), fmt.Sprint("round ", round, " value ", i)
			if i == 3 {
				value = ""
			}
			b := []byte(value)
			if value == "" {
				b = nil
			}
			if err := put1(l, now.UnixMilli(), key, b); err != nil {
				return err
			}
			want[key] = value
			if i%2 == 1 {
				if err := l.Roll(); err != nil {
					return err
				}
			}
		}
		told(maps.Clone(want), l.LogEndOffset())
		c := log.Compaction{DeleteRetentionMillis: 1}
		if _, err := l.Compact(context.Background(), now, l.LogEndOffset(), c, logtest.Judge{}); err != nil {
			return err
		}
		now = now.Add(time.Second)
	}
	return l.Sync()
}

// TestCompactCrashEnumeration opens what a power loss at any moment of some
// passes can have left: no key has lost its last value, none is back, and another
// pass gets through.
func TestCompactCrashEnumeration(t *testing.T) {
	states := 1500
	if testing.Short() {
		states = 200
	}
	type mark struct {
		state map[string]string
		end   int64
	}
	mem := vfs.NewMem()
	rec := mem.Record()
	l, err := log.Open(scriptConfig(mem))
	if err != nil {
		t.Fatal(err)
	}
	if err := compactions(l, func(state map[string]string, end int64) { mem.Mark(mark{state, end}) }); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for crash := range rec.Crashes(vfs.Enumeration{MaxStates: states, Seed: 1}) {
		var m mark
		if len(crash.Marks) > 0 {
			m = crash.Marks[len(crash.Marks)-1].(mark)
		}
		cfg := scriptConfig(crash.FS)
		cfg.Recovery = log.RecoverPowerLoss
		if err := compacted(cfg, m.state, m.end); err != nil {
			t.Fatalf("step %d, %s: %v", crash.Step, crash.Description, err)
		}
		n++
	}
	if n < 100 {
		t.Fatalf("only %d states", n)
	}
	t.Logf("%d states", n)
}

// compacted opens a log whose state was told when it ended at end, and perhaps
// more came after that.
func compacted(cfg log.Config, want map[string]string, end int64) error {
	l, err := log.Open(cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	for range 2 {
		if err := logtest.Check(l); err != nil {
			return err
		}
		got, err := stateOf(l)
		if err != nil {
			return err
		}
		if l.LogEndOffset() < end || l.LogEndOffset() == end && !maps.Equal(live(got), live(want)) {
			return fmt.Errorf("log ends at %d with %v, want %d and %v", l.LogEndOffset(), got, end, want)
		}
		if err := l.Roll(); err != nil {
			return err
		}
		if _, err := l.Compact(context.Background(), time.UnixMilli(9_000_000), l.LogEndOffset(), log.Compaction{}, logtest.Judge{}); err != nil {
			return err
		}
	}
	return nil
}

// TestCompactFailEachOperation fails operation n of some passes, for n = 1, 2, ...
// The log either says that it has failed or goes on, and what is on disk is sound.
func TestCompactFailEachOperation(t *testing.T) {
	for fault, rule := range map[string]vfs.Rule{
		"no space":   {Kinds: vfs.OpWrite | vfs.OpPreallocate | vfs.OpCreate, Err: syscall.ENOSPC},
		"io error":   {Kinds: vfs.OpChanging &^ vfs.OpSync &^ vfs.OpSyncDir, Err: syscall.EIO},
		"sync error": {Kinds: vfs.OpSync | vfs.OpSyncDir, Err: syscall.EIO},
		"read error": {Kinds: vfs.OpRead, Err: syscall.EIO},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			for n := 1; !failCompaction(t, rule, n); n++ {
				if n > 2000 {
					t.Fatal("the passes never get through")
				}
			}
		})
	}
}

func failCompaction(t *testing.T, rule vfs.Rule, n int) (through bool) {
	t.Helper()
	mem := vfs.NewMem()
	inj := vfs.NewInjector()
	cfg := scriptConfig(vfs.Inject(mem, inj))
	l, err := log.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rule.Nth = n
	inj.Add(rule)
	var want map[string]string
	var end int64
	err = compactions(l, func(state map[string]string, at int64) { want, end = state, at })
	inj.Clear()
	hit := false
	for _, op := range inj.Trace() {
		hit = hit || op.Err != nil
	}
	var syncErr *segment.SyncError
	if errors.As(err, &syncErr) && l.Failed() == nil {
		t.Fatalf("operation %d: %v, and the log goes on", n, err)
	}
	if err != nil && !hit {
		t.Fatalf("operation %d: no fault, and %v", n, err)
	}
	powerLoss := mem.CrashClone(vfs.CrashOptions{Seed: uint64(n)})
	if got, err := stateOf(l); err != nil || l.LogEndOffset() == end && !maps.Equal(live(got), live(want)) {
		t.Fatalf("operation %d: readers see %v (%v), want %v", n, got, err, want)
	}
	if err := l.Close(); err != nil && l.Failed() == nil {
		t.Fatalf("operation %d: close: %v", n, err)
	}
	for name, left := range map[string]vfs.FS{"close": mem, "power loss": powerLoss} {
		cfg := scriptConfig(left)
		cfg.Recovery = log.RecoverPowerLoss
		if err := compacted(cfg, want, end); err != nil {
			t.Fatalf("operation %d, then %s: %v", n, name, err)
		}
	}
	return !hit
}
