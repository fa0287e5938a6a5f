package log_test

import (
	"fmt"
	"testing"

	"weir/log"
	"weir/segment/vfs"
)

// TestCrashEnumeration records each write path and opens what a power loss
// after each operation can have left: every prefix, each unsynced operation
// missing, writes torn, tails of zeros and of garbage.
func TestCrashEnumeration(t *testing.T) {
	states := 1500
	if testing.Short() {
		states = 200
	}
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			rec := mem.Record()
			l, err := log.Open(scriptConfig(mem))
			if err != nil {
				t.Fatal(err)
			}
			if err := script.run(l, batches(t), func(p promise) { mem.Mark(p) }); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			n := 0
			for state := range rec.Crashes(vfs.Enumeration{MaxStates: states, Seed: 1}) {
				var p promise
				if len(state.Marks) > 0 {
					p = state.Marks[len(state.Marks)-1].(promise)
				}
				cfg := scriptConfig(state.FS)
				cfg.Recovery = log.RecoverPowerLoss
				if err := kept(cfg, p); err != nil {
					t.Fatal(fmt.Errorf("step %d, %s: %w", state.Step, state.Description, err))
				}
				n++
			}
			if n == 0 {
				t.Fatal("no state")
			}
			t.Logf("%d states", n)
		})
	}
}
