package txn_test

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

	"weir/cluster/txn"
	"weir/cluster/txn/record"
)

var rewrite = flag.Bool("rewrite", false, "write what scripts have led to into them")

// TestScripts plays testdata/*.script. A line is an input, and after => its answer, the state, and who the producer
// is then. Inputs are
//
//	init [id/epoch]        by a client that begins, or that says who it is
//	add v id/epoch t-0...  v is the version of the client's transactions
//	verify id/epoch t-0
//	end v id/epoch commit|abort
//	done                   all markers are written
//	later seconds          time passes, and what is due expires
//	hold                   what the next input writes stays under way until
//	stored, failed         it is known how that went
//	crash                  another coordinator goes on from what is stored
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &stage{t: t, now: time.UnixMilli(1_000_000), fresh: 1, transaction: txn.New()}
			lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
			for i, line := range lines {
				input, want, _ := strings.Cut(line, "=>")
				if input = strings.TrimSpace(input); input == "" || input[0] == '#' {
					continue
				}
				got := s.play(strings.Fields(input))
				if *rewrite {
					lines[i] = strings.TrimSpace(fmt.Sprintf("%-32s => %s", input, got))
				} else if got != strings.TrimSpace(want) {
					t.Fatalf("line %d, %s:\ngot  %s\nwant %s", i+1, input, got, strings.TrimSpace(want))
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// stage is a transactional id on which a script is played.
type stage struct {
	t           *testing.T
	now         time.Time
	fresh       int64
	hold        bool
	held        bool
	transaction *txn.Transaction
}

const timeout = time.Minute

func (s *stage) play(words []string) string {
	arg := func(i int) string {
		if i >= len(words) {
			s.t.Fatalf("%v: too short", words)
		}
		return words[i]
	}
	var step txn.Step
	switch words[0] {
	case "init":
		r := txn.InitRequest{Timeout: timeout, Expected: txn.NoProducer, FreshID: txn.NoID}
		if len(words) > 1 {
			r.Expected = s.producer(arg(1))
		}
		if step = s.transaction.Init(s.now, r); errors.Is(step.Err, txn.ErrNeedID) {
			r.FreshID, s.fresh = s.fresh, s.fresh+1
			step = s.transaction.Init(s.now, r)
		}
	case "add":
		step = s.transaction.Add(s.now, s.producer(arg(2)), s.version(arg(1)), s.partitions(words[3:]))
	case "verify":
		step.Err = s.transaction.Verify(s.producer(arg(1)), s.partitions(words[2:])[0])
	case "end":
		r := txn.EndRequest{Producer: s.producer(arg(2)), Commit: arg(3) == "commit", Version: s.version(arg(1)), FreshID: txn.NoID}
		if step = s.transaction.End(s.now, r); errors.Is(step.Err, txn.ErrNeedID) {
			r.FreshID, s.fresh = s.fresh, s.fresh+1
			step = s.transaction.End(s.now, r)
		}
	case "done":
		step = s.transaction.Complete(s.now)
	case "later":
		seconds, err := strconv.Atoi(arg(1))
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(time.Duration(seconds) * time.Second)
		step = s.transaction.Expire(s.now)
	case "hold":
		s.hold = true
		return "ok"
	case "stored":
		s.transaction.Stored()
		s.held = false
	case "failed":
		s.transaction.Failed()
		s.held = false
	case "crash":
		s.crash()
	default:
		s.t.Fatalf("%v: no such input", words)
	}
	return s.answer(step)
}

// answer words a step, and has it stored.
func (s *stage) answer(step txn.Step) string {
	answer := "ok"
	switch {
	case step.Err != nil:
		answer = strings.TrimPrefix(step.Err.Error(), "txn: ")
	case step.Write != nil || step.Producer != (txn.Producer{}):
		answer = word(step.Producer)
	}
	if step.Write != nil {
		if s.held = s.hold; !s.hold {
			s.transaction.Stored()
		}
		s.hold = false
		answer += ", writes"
	}
	is := s.transaction.Snapshot()
	return fmt.Sprintf("%s; %v %s %v", answer, is.State, word(is.Producer), is.Partitions)
}

func (s *stage) crash() {
	is := s.transaction.Snapshot()
	s.held = false
	if is.Producer == txn.NoProducer {
		s.transaction = txn.New()
		return
	}
	read, err := record.ParseValue(record.Value(&is))
	if err != nil {
		s.t.Fatal(err)
	}
	s.transaction = txn.Restore(read)
}

func word(p txn.Producer) string { return fmt.Sprintf("%d/%d", p.ID, p.Epoch) }

func (s *stage) producer(word string) (p txn.Producer) {
	if _, err := fmt.Sscanf(word, "%d/%d", &p.ID, &p.Epoch); err != nil {
		s.t.Fatalf("%q: %v", word, err)
	}
	return p
}

func (s *stage) version(word string) int16 {
	v, err := strconv.Atoi(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return int16(v)
}

func (s *stage) partitions(words []string) (all []txn.Partition) {
	for _, w := range words {
		topic, index, _ := strings.Cut(w, "-")
		i, err := strconv.Atoi(index)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, txn.Partition{Topic: topic, Index: int32(i)})
	}
	return all
}
