package group

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata give instead of checking it")

// TestScripts runs the scripts of testdata: a line with a command, then what the group does,
// each line after "> ". Lines that begin with # are for the reader.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, text)
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, text) {
				t.Errorf("got:\n%s\nwant:\n%s", got, text)
			}
		})
	}
}

// scene is one group with its clients, by name.
type scene struct {
	limits  Limits
	g       *Classic
	now     time.Time
	out     bytes.Buffer
	tickets map[Ticket]string // parked and answered ones: whose, and of what
	ids     map[string]string // the id that a client was told
	next    Ticket
	made    int
	last    Snapshot // that was asked to be written
}

func run(t *testing.T, text []byte) []byte {
	s := &scene{
		limits:  Limits{Size: 3, ProtocolBytes: 100, MemberBytes: 400, GroupBytes: 1 << 20, MinSession: 6 * time.Second, MaxSession: time.Minute},
		now:     time.UnixMilli(1_000_000),
		tickets: make(map[Ticket]string), ids: make(map[string]string),
	}
	s.g = New(&s.limits)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "> ") {
			continue
		}
		fmt.Fprintln(&s.out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		args := make(map[string]string)
		var plain []string
		for _, w := range words[1:] {
			if k, v, ok := strings.Cut(w, "="); ok {
				args[k] = v
			} else {
				plain = append(plain, w)
			}
		}
		if err := s.command(words[0], plain, args); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return s.out.Bytes()
}

func (s *scene) command(verb string, plain []string, args map[string]string) error {
	name := ""
	if len(plain) > 0 {
		name = plain[0]
	}
	id, ok := args["id"]
	if !ok {
		id = s.ids[name]
	}
	generation := s.g.Generation()
	if v, ok := args["gen"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			return err
		}
		generation = int32(n)
	}
	switch verb {
	case "limits":
		return s.setLimits(args)
	case "join":
		return s.join(name, id, args)
	case "sync":
		r := SyncRequest{Ticket: s.ticket(name + " sync"), MemberID: id, InstanceID: args["instance"], Generation: generation, Assignments: map[string][]byte{}}
		if v, ok := args["type"]; ok {
			r.ProtocolType = &v
		}
		if v, ok := args["protocol"]; ok {
			r.Protocol = &v
		}
		for _, a := range list(args["assign"]) {
			who, what, _ := strings.Cut(a, ":")
			r.Assignments[s.ids[who]] = []byte(what)
		}
		s.tell(s.g.Sync(s.now, r))
	case "heartbeat":
		s.say("%v", word(s.g.Heartbeat(s.now, id, args["instance"], generation)))
	case "commit":
		s.say("%v", word(s.g.Commit(s.now, id, args["instance"], generation)))
	case "leave":
		errs, out := s.g.Leave(s.now, []Leaver{{id, args["instance"]}})
		s.say("%v", word(errs[0]))
		s.tell(out)
	case "drop":
		for ticket, what := range s.tickets {
			if what == name+" join" || what == name+" sync" {
				delete(s.tickets, ticket)
				s.tell(s.g.Drop(s.now, ticket))
			}
		}
	case "stored", "failed":
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return err
		}
		var failed error
		if verb == "failed" {
			failed = errors.New("disk")
		}
		s.tell(s.g.Stored(s.now, n, failed))
	case "after":
		d, err := time.ParseDuration(name)
		if err != nil {
			return err
		}
		s.now = s.now.Add(d)
		s.tell(s.g.Expire(s.now))
	case "restore": // what was written last, by another coordinator
		s.g = Restore(&s.limits, s.last, s.now)
		clear(s.tickets)
	case "close":
		s.tell(s.g.Close(errors.New("moved")))
	case "show":
		s.show()
	default:
		return fmt.Errorf("no such command")
	}
	return nil
}

func (s *scene) setLimits(args map[string]string) (err error) {
	if v, ok := args["delay"]; ok {
		s.limits.InitialRebalanceDelay, err = time.ParseDuration(v)
	}
	if v, ok := args["size"]; ok && err == nil {
		s.limits.Size, err = strconv.Atoi(v)
	}
	if v, ok := args["bytes"]; ok && err == nil {
		s.limits.GroupBytes, err = strconv.Atoi(v)
	}
	return err
}

func (s *scene) join(name, id string, args map[string]string) error {
	s.made++
	r := JoinRequest{
		Ticket: s.ticket(name + " join"), MemberID: id, NewMemberID: fmt.Sprintf("%s%d", name, s.made), InstanceID: args["instance"],
		ClientID: name, ClientHost: "/host", Session: 10 * time.Second, Rebalance: 30 * time.Second, ProtocolType: ConsumerType,
		RequireKnownID: args["v"] >= "4", SkipAssignment: args["v"] >= "9",
	}
	var err error
	if v, ok := args["session"]; ok {
		if r.Session, err = time.ParseDuration(v); err != nil {
			return err
		}
	}
	if v, ok := args["rebalance"]; ok {
		if r.Rebalance, err = time.ParseDuration(v); err != nil {
			return err
		}
	}
	if v, ok := args["type"]; ok {
		r.ProtocolType = v
	}
	protocols := "range:" + name
	if v, ok := args["protocols"]; ok {
		protocols = v
	}
	for _, p := range list(protocols) {
		protocol, metadata, _ := strings.Cut(p, ":")
		if n, err := strconv.Atoi(metadata); err == nil {
			metadata = strings.Repeat("x", n)
		}
		r.Protocols = append(r.Protocols, Protocol{protocol, []byte(metadata)})
	}
	s.tell(s.g.Join(s.now, r))
	return nil
}

func list(v string) []string {
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}

func (s *scene) ticket(what string) Ticket {
	s.next++
	s.tickets[s.next] = what
	return s.next
}

func (s *scene) say(format string, args ...any) { fmt.Fprintf(&s.out, "> "+format+"\n", args...) }

func word(err error) string {
	if err == nil {
		return "ok"
	}
	return strings.TrimPrefix(err.Error(), "group: ")
}

func (s *scene) tell(out Output) {
	for _, a := range out.Answers {
		what := s.tickets[a.Ticket]
		delete(s.tickets, a.Ticket)
		if a.Join != nil {
			s.tellJoin(what, a.Join)
		} else if a.Sync.Err != nil {
			s.say("%s: %s", what, word(a.Sync.Err))
		} else {
			s.say("%s: %s %s %q", what, a.Sync.ProtocolType, a.Sync.Protocol, a.Sync.Assignment)
		}
	}
	if w := out.Write; w != nil {
		s.last = w.Snapshot
		var members []string
		for _, m := range w.Snapshot.Members {
			members = append(members, fmt.Sprintf("%s:%s:%s", m.ID, m.Subscription, m.Assignment))
		}
		s.say("write %d: generation %d %s leader %q members %v", w.Number, w.Snapshot.Generation, w.Snapshot.Protocol, w.Snapshot.Leader, members)
	}
}

func (s *scene) tellJoin(what string, a *JoinAnswer) {
	name, _, _ := strings.Cut(what, " ")
	if a.MemberID != "" && (a.Err == nil || errors.Is(a.Err, ErrMemberIDRequired)) {
		s.ids[name] = a.MemberID
	}
	if a.Err != nil {
		s.say("%s: %s %q", what, word(a.Err), a.MemberID)
		return
	}
	var members []string
	for _, m := range a.Members {
		members = append(members, fmt.Sprintf("%s:%s", m.MemberID, m.Metadata))
	}
	skip := ""
	if a.SkipAssignment {
		skip = " skips"
	}
	s.say("%s: %s generation %d %s leader %s members %v%s", what, a.MemberID, a.Generation, a.Protocol, a.Leader, members, skip)
}

func (s *scene) show() {
	d := s.g.Describe()
	var members []string
	for _, m := range d.Members {
		members = append(members, fmt.Sprintf("%s:%s", m.ID, m.Assignment))
	}
	due := "never"
	if t := s.g.Deadline(); !t.IsZero() {
		due = t.Sub(s.now).String()
	}
	parked := slices.Sorted(maps.Values(s.tickets))
	s.say("%s %q generation %d members %v parked %v due %s", d.State, d.Protocol, s.g.Generation(), members, parked, due)
}
