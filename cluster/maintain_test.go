package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/cluster/metadata"
	"weir/partition"
	"weir/segment/vfs"
)

// startBusy starts a node that looks after its folders all the time, on a disk that fails as told.
func startBusy(t *testing.T, dir string, inj *vfs.Injector, more map[string]string) *Node {
	t.Helper()
	values := map[string]string{"log.write.timeout.ms": "3000", "log.retention.check.interval.ms": "10", "log.cleaner.backoff.ms": "10"}
	for k, v := range more {
		values[k] = v
	}
	n, err := openOn(context.Background(), vfs.Inject(vfs.OS, inj), brokerConfig(t, dir, values),
		[]metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 1}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func isGone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// TestHungFolderIsLeftAlone: a disk hangs in what is done in the background in one folder. In the others that goes on,
// with one slot for all compactions, too.
func TestHungFolderIsLeftAlone(t *testing.T) {
	for _, x := range []struct {
		name   string
		rule   vfs.Rule
		begin  func(t *testing.T, topic *Topic) // gives a folder something to do
		isDone func(t *testing.T, topic *Topic) bool
	}{
		{"retention", vfs.Rule{Kinds: vfs.OpRename, Path: "*.deleted"},
			func(t *testing.T, topic *Topic) {
				p, err := topic.Partition(0)
				for range 5 {
					if err != nil {
						t.Fatal(err)
					}
					p.Propose(testBatch(t, time.Now().Add(-240*time.Hour), strings.Repeat("o", 100)), partition.AcksAll) // the disk may hang already
				}
			},
			func(_ *testing.T, topic *Topic) bool {
				return isGone(filepath.Join(topic.folders[0].partition(topic.ID, 0), "00000000000000000000.log"))
			}},
		{"compaction", vfs.Rule{Kinds: vfs.OpCreate, Path: "*.cleaned"},
			func(t *testing.T, topic *Topic) {
				for range 12 {
					appendRecord(t, topic, 0, time.Now(), "value")
				}
			},
			func(t *testing.T, topic *Topic) bool { return countRecords(t, topic) <= 6 }},
		{"trash", vfs.Rule{Kinds: vfs.OpReadDir, Path: "trash"},
			func(t *testing.T, topic *Topic) {
				if err := os.Mkdir(filepath.Join(topic.folders[0].trash(), "old.1"), 0o755); err != nil {
					t.Fatal(err)
				}
			},
			func(_ *testing.T, topic *Topic) bool {
				return isGone(filepath.Join(topic.folders[0].trash(), "old.1"))
			}},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, setting := threeFolders(t)
			inj, gate := vfs.NewInjector(), vfs.NewGate()
			n := startBusy(t, setting, inj, map[string]string{"log.segment.bytes": "200", "log.cleaner.min.cleanable.ratio": "0", "log.cleanup.policy": "compact,delete"})
			defer func() {
				gate.Open()
				closeNode(t, n)
			}()
			topics := make([]*Topic, 3)
			for i := range topics {
				topics[i] = mustTopic(t, n, x.name+string(rune('0'+i)), 1, nil)
			}
			x.rule.Gate = gate
			inj.Add(x.rule)
			for _, topic := range topics {
				x.begin(t, topic)
			}
			<-gate.Entered()
			awaitTrue(t, func() bool {
				done := 0
				for _, topic := range topics {
					if x.isDone(t, topic) {
						done++
					}
				}
				return done == 2
			})
			gate.Open()
			awaitTrue(t, func() bool {
				for _, topic := range topics {
					if p := n.Topic(topic.Name).partitions[0]; p == nil || !x.isDone(t, n.Topic(topic.Name)) {
						return false
					}
				}
				return true
			})
		})
	}
}
