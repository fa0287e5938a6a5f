package command

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

// fileOffset is one line of a file of offsets in the form of Kafka's tool: topic,partition,offset.
type fileOffset struct {
	topicPartition
	offset int64
	where  string // file:line
}

// maxFileOffsets bounds what a file may hold: more than a cluster has partitions.
const maxFileOffsets = 1_000_000

// readOffsetsFile reads such a file. Errors are wrong usage, with the line.
func readOffsetsFile(name string) ([]fileOffset, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &fault.Error{What: "cannot read the offsets", Why: err.Error(), Exit: fault.WrongUsage, Err: err}
	}
	defer f.Close()
	var all []fileOffset
	seen := map[topicPartition]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" {
			continue
		}
		o := fileOffset{where: fmt.Sprintf("%s:%d", name, n)}
		if err := o.parse(line); err != nil {
			return nil, fault.Usage("%s: %v", o.where, err)
		}
		if before, twice := seen[o.topicPartition]; twice {
			return nil, fault.Usage("%s: %s[%d] is there already, at %s", o.where, o.topic, o.partition, before)
		}
		if seen[o.topicPartition] = o.where; len(all) == maxFileOffsets {
			return nil, fault.Usage("%s: a file holds at most %s lines", o.where, output.Count(maxFileOffsets))
		}
		all = append(all, o)
	}
	if err := lines.Err(); err != nil {
		return nil, fault.Usage("%s: %v", name, err)
	}
	if len(all) == 0 {
		return nil, fault.Usage("%s holds no offsets: its lines are topic,partition,offset", name)
	}
	return all, nil
}

func (o *fileOffset) parse(line string) error {
	cells := strings.Split(line, ",")
	if len(cells) != 3 {
		return fmt.Errorf("got %q, want topic,partition,offset", line)
	}
	for i := range cells {
		cells[i] = strings.Trim(strings.TrimSpace(cells[i]), `"`)
	}
	if o.topic = cells[0]; o.topic == "" {
		return errors.New("the topic is empty")
	}
	partition, err := strconv.ParseInt(cells[1], 10, 32)
	if err != nil || partition < 0 {
		return fmt.Errorf("%q is no partition", cells[1])
	}
	if o.offset, err = strconv.ParseInt(cells[2], 10, 64); err != nil || o.offset < 0 {
		return fmt.Errorf("%q is no offset", cells[2])
	}
	o.partition = int32(partition)
	return nil
}

// fileFault puts a line's place before what is wrong with it.
func fileFault(where string, err error) error {
	var e *fault.Error
	if errors.As(err, &e) {
		e.What = where + ": " + e.What
	}
	return err
}

// noUndo is the name that asks for no undo file.
const noUndo = "none"

// undoFile keeps what was committed before a reset.
type undoFile struct {
	name string // empty: one is made up
	made bool   // by this run, so it may be written again
	kept int    // offsets in it
}

// write makes the file, on disk when it returns. It never replaces one that was there.
func (u *undoFile) write(r *reset) error {
	if u.name == noUndo {
		return nil
	}
	var b strings.Builder
	u.kept = 0
	for _, row := range r.rows {
		if row.Current != nil {
			u.kept++
			fmt.Fprintf(&b, "%s,%d,%d\n", row.Topic, row.Partition, *row.Current)
		}
	}
	if u.kept == 0 && !u.made {
		return nil
	}
	if u.name == "" {
		u.name = undoName(r.o.group, r.s.Now())
	}
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if u.made {
		mode = os.O_WRONLY | os.O_TRUNC
	}
	f, err := os.OpenFile(u.name, mode, 0o644)
	if err == nil {
		u.made = true
		_, err = f.WriteString(b.String())
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		e := &fault.Error{What: "cannot write the undo file; nothing was reset", Why: err.Error(), Do: "Name another with --undo, or say --undo " + noUndo, Err: err}
		if errors.Is(err, fs.ErrExist) {
			e.Why = u.name + " is there already"
		}
		return e
	}
	return nil
}

// tell says how a reset is undone.
func (u *undoFile) tell(r *reset) {
	if u.made {
		r.s.note("What was committed before is in %s: weir group reset %s --to file:%s --execute", u.name, r.o.group, u.name)
	}
	if missing := len(r.rows) - u.kept; missing > 0 && u.name != noUndo {
		r.s.note("%s had nothing committed before, which no file can say.", output.Plural(int64(missing), "partition"))
	}
}

// undoName is a name for a group's file, of letters that every file system takes.
func undoName(group string, now time.Time) string {
	safe := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			return c
		}
		return '_'
	}, group)
	return fmt.Sprintf("weir-undo-%.100s-%s.csv", safe, now.UTC().Format("20060102T150405.000Z"))
}
