//go:build torture

package torture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"weir/cmd/weir/torture/history"
)

// frame is one of a replica's log, with where it was found.
type frame struct {
	file     string
	position int
	bytes    []byte
}

// nextOffset is one past the last record of the frame, if it is a batch.
func (f frame) nextOffset() int64 {
	if len(f.bytes) < 61 || f.bytes[16] != 2 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(f.bytes)) + int64(binary.BigEndian.Uint32(f.bytes[23:])) + 1
}

func (f frame) String() string {
	offset, epoch := binary.BigEndian.Uint64(f.bytes), binary.BigEndian.Uint32(f.bytes[12:])
	what := "batch"
	if f.bytes[16] != 2 {
		what = fmt.Sprintf("raft frame of kind %d", f.bytes[21])
	}
	return fmt.Sprintf("%s, offset %d, epoch %d, %d bytes, at %d of %s", what, offset, epoch, len(f.bytes), f.position, f.file)
}

// frames reads a partition's log from its first segment on, as far as it is
// written, without the headers of segments: replicas may begin those elsewhere.
func frames(dir string) (all []frame, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		found, err := framesOf(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func framesOf(f *os.File) (all []frame, err error) {
	r := bufio.NewReaderSize(f, 1<<18)
	if _, err := r.Discard(segmentHeaderBytes); err != nil {
		return nil, err
	}
	for position := segmentHeaderBytes; ; {
		head, err := r.Peek(12)
		if err == io.EOF {
			return all, nil // sealed, or full
		}
		if err != nil {
			return nil, err
		}
		length := int(binary.BigEndian.Uint32(head[8:]))
		if length == 0 {
			return all, nil
		}
		if length > 64<<20 {
			return nil, fmt.Errorf("a frame of %d bytes at %d", length, position)
		}
		b := make([]byte, 12+length)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, fmt.Errorf("frame at %d: %w", position, err)
		}
		all = append(all, frame{file: f.Name(), position: position, bytes: b})
		position += len(b)
	}
}

// replicas reads a partition's log where it is.
func (c *trio) replicas(to topic, p int32) (who []int32, logs [][]frame, err error) {
	id := c.ids[to.name]
	who = c.holders[to.partition(p)]
	if who == nil {
		for i := range c.brokers {
			who = append(who, int32(i)+1)
		}
	}
	for _, i := range who {
		l, err := frames(filepath.Join(c.brokers[i-1].data, "topics", hex.EncodeToString(id[:]), fmt.Sprint(p)))
		if err != nil {
			return nil, nil, err
		}
		logs = append(logs, l)
	}
	return who, logs, nil
}

// differ says where two logs do, "" for nowhere up to the shorter end.
func differ(a, b []frame) string {
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i].bytes, b[i].bytes) {
			return fmt.Sprintf("entry %d:\n\t%v\n\t%v", i, a[i], b[i])
		}
	}
	return ""
}

// awaitEqual waits, with nobody producing any more, until the replicas of each
// partition hold the same bytes.
func (c *trio) awaitEqual() {
	c.t.Helper()
	began := time.Now()
	for _, to := range c.topics() {
		for p := range to.partitions {
			for {
				why := c.unequal(to, p)
				if why == "" {
					break
				}
				if time.Since(began) > patience {
					c.t.Errorf("%s-%d: the replicas are not equal after %v: %s", to.name, p, patience, why)
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	c.t.Logf("the replicas were equal after %v", time.Since(began).Round(time.Millisecond))
}

func (c *trio) unequal(to topic, p int32) string {
	who, logs, err := c.replicas(to, p)
	if err != nil {
		return err.Error()
	}
	for i := 1; i < len(logs); i++ {
		if d := differ(logs[0], logs[i]); d != "" {
			return fmt.Sprintf("brokers %d and %d differ in %s", who[0], who[i], d)
		}
		if len(logs[0]) != len(logs[i]) {
			return fmt.Sprintf("broker %d has %d entries, broker %d has %d", who[0], len(logs[0]), who[i], len(logs[i]))
		}
	}
	return ""
}

// compareStopped compares the replicas after their brokers have ended: what
// the last of them wrote alone aside, they hold the same bytes, and among
// those everything that the final reading saw.
func (c *trio) compareStopped() {
	c.t.Helper()
	ends := map[int32]int64{}
	for _, e := range c.l.record.Events() {
		if e.Op == history.Bounds {
			ends[e.Partition] = e.End
		}
	}
	entries := 0
	for _, to := range c.topics() {
		for p := range to.partitions {
			who, logs, err := c.replicas(to, p)
			if err != nil {
				c.t.Errorf("%s-%d: %v", to.name, p, err)
				continue
			}
			for i, l := range logs {
				if d := differ(logs[0], l); d != "" {
					c.t.Errorf("%s-%d: brokers %d and %d differ in %s", to.name, p, who[0], who[i], d)
				}
				end := int64(0)
				for _, f := range l {
					end = max(end, f.nextOffset())
				}
				if want := ends[to.partition(p)]; end < want {
					c.t.Errorf("%s-%d: broker %d ends with offset %d, clients read up to %d", to.name, p, who[i], end, want)
				}
				entries += len(l)
			}
		}
	}
	c.t.Logf("%d entries of all replicas compared", entries)
}
