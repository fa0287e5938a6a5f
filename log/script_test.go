package log_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/log"
	"weir/log/logtest"
	"weir/segment/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write the results into the scripts")

// TestScripts runs testdata/*.script: a command per line, its result below
// after "> ", a sentence after "#" that says what is shown.
//
//	append [epoch=E] [ts=T] N...   one append of batches of N records; n, b, c for raft frames
//	sync, roll, advance O, delete, truncate R, close
//	crash process|power            what is left is opened by the next open
//	damage FILE POS                flips a bit
//	open clean|process|power
//	dump                           segments, entries, epochs
//	read O MAX LIMIT               one range
func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/*.script")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t, fs: vfs.NewMem()}
			var got strings.Builder
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, ">") {
					continue
				}
				got.WriteString(line)
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					for out := range strings.Lines(s.do(strings.Fields(line))) {
						got.WriteString("> " + out)
					}
				}
			}
			if *rewrite {
				if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != string(text) {
				t.Errorf("the results differ; they are:\n%s", got.String())
			}
			if s.l != nil {
				if err := errors.Join(logtest.Check(s.l), s.l.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

type script struct {
	t  *testing.T
	fs *vfs.Mem
	l  *log.Log
}

// do runs one command and returns what it has to say, in lines.
func (s *script) do(words []string) string {
	number := func(i int) int64 {
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil {
			s.t.Fatal(words, err)
		}
		return n
	}
	switch words[0] {
	case "append":
		return s.append(words[1:])
	case "sync":
		return result(s.l.Sync())
	case "roll":
		return result(s.l.Roll())
	case "advance":
		return result(s.l.AdvanceStart(number(1)))
	case "delete":
		n, err := s.l.DeleteSegments()
		return result(err) + fmt.Sprintf("%d segments\n", n)
	case "truncate":
		return result(s.l.TruncateSuffix(uint64(number(1))))
	case "close":
		l := s.l
		s.l = nil
		return result(l.Close())
	case "crash":
		return s.crash(words[1])
	case "damage":
		return s.damage("/log/"+words[1], number(2))
	case "open":
		return s.open(words[1])
	case "dump":
		return s.dump()
	case "read":
		r, err := s.l.Read(number(1), int(number(2)), number(3), true)
		return result(errors.Join(err, r.Release())) + fmt.Sprintf("offsets [%d, %d), %d bytes at %d\n", r.FirstOffset, r.NextOffset, r.Bytes, r.Position)
	}
	s.t.Fatalf("no command %q", words[0])
	return ""
}

func result(err error) string {
	if err == nil {
		return ""
	}
	return err.Error() + "\n"
}

func (s *script) append(words []string) string {
	epoch, ts := int64(1), int64(1000)
	var entries []log.Entry
	for _, w := range words {
		name, value, option := strings.Cut(w, "=")
		n, err := strconv.ParseInt(cutOr(option, value, w), 10, 64)
		kinds := map[string]log.EntryKind{"n": log.KindNoop, "b": log.KindBarrier, "c": log.KindConfiguration}
		switch kind, raft := kinds[w]; {
		case raft:
			entries = append(entries, log.Entry{Kind: kind, Epoch: int32(epoch)})
		case err != nil:
			s.t.Fatal(err)
		case name == "epoch":
			epoch = n
		case name == "ts":
			ts = n
		default:
			entries = append(entries, log.Entry{Kind: log.KindBatch, Epoch: int32(epoch), Data: logtest.Batch(s.t, ts, int(n), "value")})
		}
	}
	res, err := s.l.Append(entries)
	return result(err) + fmt.Sprintf("offsets [%d, %d), raft indexes %d to %d\n", res.BaseOffset, res.NextOffset, res.FirstRaftIndex, res.LastRaftIndex)
}

func cutOr(cut bool, value, whole string) string {
	if cut {
		return value
	}
	return whole
}

func (s *script) crash(how string) string {
	left := s.fs.ProcessCrashClone()
	if how == "power" {
		left = s.fs.CrashClone(vfs.CrashOptions{})
	}
	err := s.l.Close()
	s.fs, s.l = left, nil
	return result(err)
}

func (s *script) damage(name string, at int64) string {
	b, err := vfs.ReadFile(s.fs, name)
	if err != nil {
		return result(err)
	}
	b[at] ^= 1
	return result(vfs.ReplaceFile(s.fs, name, b))
}

func (s *script) open(how string) string {
	mode := map[string]log.RecoveryMode{"clean": log.RecoverClean, "process": log.RecoverProcessCrash, "power": log.RecoverPowerLoss}[how]
	l, err := log.Open(log.Config{
		Dir: "/log", FS: s.fs, Recovery: mode, Now: func() time.Time { return time.UnixMilli(5000) },
		Settings: log.Settings{SegmentBytes: 600, IndexIntervalBytes: 1},
	})
	if err != nil {
		return result(err)
	}
	s.l = l
	return fmt.Sprintf("[%d, %d), durable %d, raft indexes %d to %d, %d segments\n", l.LogStartOffset(), l.LogEndOffset(),
		l.DurableOffset(), l.FirstRaftIndex(), l.LastRaftIndex(), l.Segments())
}

func (s *script) dump() string {
	var b strings.Builder
	for f, err := range s.l.Frames(s.l.FirstRaftIndex()) {
		if err != nil {
			return result(err)
		}
		fmt.Fprintf(&b, "%d: %s [%d, %d) epoch %d, %d bytes at %d\n", f.RaftIndex, f.Kind, f.Offset, f.NextOffset, f.Epoch, f.Bytes, f.Position)
	}
	return b.String()
}
