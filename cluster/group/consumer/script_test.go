package consumer

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/cluster/group"
	"weir/cluster/group/assignor"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata give instead of checking it")

// TestScripts runs the scripts of testdata: a line with a command, then what the group does, each
// line after "> ". Lines that begin with # are for the reader. A write is stored at once, and not
// shown, unless the script says "manual".
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

// fakeWorld is topics and limits.
type fakeWorld struct {
	limits Limits
	topics map[string]fakeTopic
	made   byte
	hidden map[string]string // topics by the host of who may not know of them
	rights uint64
}

type fakeTopic struct {
	id assignor.TopicID
	n  int32
}

func newFakeWorld() *fakeWorld {
	return &fakeWorld{
		limits: Limits{Size: 3, MinSession: time.Second, MaxSession: time.Minute, Patterns: 2, MemberBytes: 2000, GroupBytes: 1 << 20, Session: 45 * time.Second, Assignors: []string{"uniform", "range"}},
		topics: make(map[string]fakeTopic),
	}
}

func (w *fakeWorld) Limits() Limits { return w.limits }

// Knows lets everybody know of all topics but those that are hidden from a host.
func (w *fakeWorld) Knows(clientHost string) func(string) bool {
	if w.hidden == nil {
		return nil
	}
	return func(topic string) bool { return w.hidden[clientHost] != topic }
}

func (w *fakeWorld) Rights() uint64 { return w.rights }

func (w *fakeWorld) Topic(name string) (assignor.TopicID, int32, bool) {
	t, ok := w.topics[name]
	return t.id, t.n, ok
}

// set makes a topic, makes it larger, or deletes it with 0 partitions.
func (w *fakeWorld) set(name string, n int32) {
	t := w.topics[name]
	if t.n == 0 {
		w.made++
		t.id = assignor.TopicID{15: w.made}
	}
	if t.n = n; n == 0 {
		delete(w.topics, name)
	} else {
		w.topics[name] = t
	}
}

func (w *fakeWorld) match(patterns []string) map[string][]string {
	out := make(map[string][]string)
	for _, p := range patterns {
		out[p] = nil
		for _, name := range slices.Sorted(maps.Keys(w.topics)) {
			if regexp.MustCompile("^(?:" + p + ")$").MatchString(name) {
				out[p] = append(out[p], name)
			}
		}
	}
	return out
}

// scene is one group with its clients, by name, which is also the member id.
type scene struct {
	world   *fakeWorld
	g       *Group
	now     time.Time
	out     bytes.Buffer
	manual  bool
	tickets map[group.Ticket]string
	next    group.Ticket
	epochs  map[string]int32               // as told
	owned   map[string]assignor.Assignment // likewise
	names   map[assignor.TopicID]string    // of topics, also deleted ones
	facts   group.Facts                    // that are stored
	ahead   *group.Write
}

func run(t *testing.T, text []byte) []byte {
	s := &scene{
		world: newFakeWorld(), now: time.UnixMilli(1_000_000), tickets: make(map[group.Ticket]string), epochs: make(map[string]int32),
		owned: make(map[string]assignor.Assignment), names: make(map[assignor.TopicID]string), facts: make(group.Facts),
	}
	s.g = New(s.world, s.now)
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
		if err := s.command(words[0], append(plain, ""), args); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return s.out.Bytes()
}

func (s *scene) command(verb string, plain []string, args map[string]string) error {
	name := plain[0]
	switch verb {
	case "manual":
		s.manual = true
	case "limits":
		return s.setLimits(args)
	case "topic": // the group hears of it by refresh
		n, err := strconv.Atoi(plain[1])
		if err != nil {
			return err
		}
		s.world.set(name, int32(n))
		id, _, _ := s.world.Topic(name)
		s.names[id] = name
	case "many": // topics with long names
		for i := range 30 {
			s.world.set(fmt.Sprintf("%s%0200d", name, i), 1)
		}
	case "refresh":
		s.tell(s.g.Refresh(s.now, s.world.match(s.g.Patterns())))
	case "join":
		r := s.request(name, args)
		r.Epoch, r.Owned, r.Rebalance = 0, assignor.Assignment{}, 30*time.Second
		if r.Topics == nil && r.Regex == nil {
			r.Topics = []string{"t"}
		}
		s.tell(s.g.Beat(s.now, r))
	case "beat": // with what it was told, and has done
		s.tell(s.g.Beat(s.now, s.request(name, args)))
	case "leave":
		r := s.request(name, args)
		if r.Epoch, r.Owned = leaveEpoch, nil; plain[1] == "static" {
			r.Epoch = leftEpoch
		}
		s.tell(s.g.Beat(s.now, r))
	case "commit":
		topic, p, _ := strings.Cut(plain[1], ":")
		n, _ := strconv.Atoi(p)
		s.say("%v", word(s.g.Commit(name, s.request(name, args).Epoch, slices.Values([]group.TopicPartition{{Topic: topic, Partition: int32(n)}}))))
	case "drop":
		for ticket, who := range s.tickets {
			if who == name {
				delete(s.tickets, ticket)
				s.tell(s.g.Drop(s.now, ticket))
			}
		}
	case "stored", "failed":
		w := s.ahead
		if s.ahead = nil; w == nil {
			s.say("nothing is written")
			break
		}
		if verb == "failed" {
			s.tell(s.g.Stored(s.now, w.Number, errors.New("disk")))
			break
		}
		s.keep(w)
		s.tell(s.g.Stored(s.now, w.Number, nil))
	case "after":
		d, err := time.ParseDuration(name)
		if err != nil {
			return err
		}
		s.now = s.now.Add(d)
		s.tell(s.g.Expire(s.now))
	case "restore": // what is stored, by another coordinator
		s.g = Restore(s.world, s.facts, s.now)
		clear(s.tickets)
		s.ahead = nil
	case "close":
		s.tell(s.g.Close(errors.New("moved")))
	case "upgrade", "cjoin", "csync", "cbeat", "cleave", "downgrade":
		return s.classic(verb, name, args)
	case "subscribed":
		topics, _ := s.g.Subscribed()
		s.say("%v", slices.Sorted(maps.Keys(topics)))
	case "show":
		s.show()
	default:
		return fmt.Errorf("no such command")
	}
	return nil
}

func (s *scene) setLimits(args map[string]string) error {
	for k, v := range args {
		n, err := strconv.Atoi(v)
		if err != nil {
			return err
		}
		switch k {
		case "size":
			s.world.limits.Size = n
		case "member":
			s.world.limits.MemberBytes = n
		case "group":
			s.world.limits.GroupBytes = n
		}
	}
	return nil
}

// request is what a client says that goes by what it was told; owned=t:0 says something else, owned=none
// that nothing is said.
func (s *scene) request(name string, args map[string]string) Request {
	s.next++
	s.tickets[s.next] = name
	r := Request{
		Ticket: s.next, MemberID: name, InstanceID: args["instance"], ClientID: "c", ClientHost: "/h", Epoch: s.epochs[name], Rebalance: -1,
		Assignor: args["assignor"], Owned: s.owned[name],
	}
	if v, ok := args["epoch"]; ok {
		n, _ := strconv.Atoi(v)
		r.Epoch = int32(n)
	}
	if v, ok := args["topics"]; ok {
		r.Topics = list(v)
	}
	if v, ok := args["regex"]; ok {
		r.Regex = &v
	}
	switch v, ok := args["owned"]; {
	case v == "none":
		r.Owned = nil
	case ok:
		r.Owned = assignor.Assignment{}
		for _, x := range list(v) {
			topic, p, _ := strings.Cut(x, ":")
			id, _, _ := s.world.Topic(topic)
			n, _ := strconv.Atoi(p)
			r.Owned[id] = append(r.Owned[id], int32(n))
		}
	}
	return r
}

func list(v string) []string {
	if v == "" {
		return []string{}
	}
	return strings.Split(v, ",")
}

func (s *scene) say(format string, args ...any) { fmt.Fprintf(&s.out, "> "+format+"\n", args...) }

func word(err error) string {
	if err == nil {
		return "ok"
	}
	return strings.TrimPrefix(err.Error(), "group: ")
}

// named writes an assignment with names.
func (s *scene) named(a assignor.Assignment) string {
	if a == nil {
		return "-"
	}
	var words []string
	for _, id := range a.Topics() {
		words = append(words, fmt.Sprintf("%s%v", s.names[id], a[id]))
	}
	return "{" + strings.Join(words, " ") + "}"
}

func (s *scene) tell(out group.Output) {
	for _, a := range out.Answers {
		name := s.tickets[a.Ticket]
		delete(s.tickets, a.Ticket)
		if a.Beat == nil {
			s.tellClassic(name, a)
			continue
		}
		if a.Beat.Err != nil {
			s.say("%s: %s", name, word(a.Beat.Err))
			continue
		}
		s.epochs[name] = a.Beat.Epoch
		if a.Beat.Assignment != nil {
			s.owned[name] = a.Beat.Assignment
		}
		s.say("%s: epoch %d %s", name, a.Beat.Epoch, s.named(a.Beat.Assignment))
	}
	if out.Match {
		s.say("match %v", s.g.Patterns())
	}
	if w := out.Write; w != nil && s.manual {
		s.say("write %d", w.Number)
		for _, f := range w.Facts {
			s.say("  %s", s.fact(f))
		}
		s.ahead = w
	} else if w != nil {
		s.keep(w)
		s.tell(s.g.Stored(s.now, w.Number, nil))
	}
}

func (s *scene) fact(f group.Fact) string {
	switch v := f.Value.(type) {
	case nil:
		return fmt.Sprintf("%d %s gone", f.Key.Kind, f.Key.Name)
	case group.GroupFact:
		return fmt.Sprintf("group at %d", v.Epoch)
	case group.TargetFact:
		return fmt.Sprintf("target of %d", v.Epoch)
	case assignor.Assignment:
		return fmt.Sprintf("%s to have %s", f.Key.Name, s.named(v))
	case group.CurrentFact:
		return fmt.Sprintf("%s at %d after %d state %d has %s gives up %s", f.Key.Name, v.Epoch, v.Previous, v.State, s.named(v.Assigned), s.named(v.Revoking))
	case group.MemberFact:
		return strings.TrimSpace(fmt.Sprintf("%s subscribes %v %s", f.Key.Name, v.Topics, v.Regex))
	case group.PatternFact:
		return fmt.Sprintf("%s matches %v", f.Key.Name, v.Topics)
	}
	return "?"
}

func (s *scene) keep(w *group.Write) {
	for _, f := range w.Facts {
		if s.facts[f.Key] = f.Value; f.Value == nil {
			delete(s.facts, f.Key)
		}
	}
}

func (s *scene) show() {
	d := s.g.Describe()
	due := "never"
	if t := s.g.Deadline(); !t.IsZero() {
		due = t.Sub(s.now).String()
	}
	s.say("%s epoch %d target %d %s parked %v due %s", d.State, d.Epoch, d.TargetEpoch, d.Assignor, slices.Sorted(maps.Values(s.tickets)), due)
	for _, m := range d.Members {
		s.say("  %s epoch %d has %s is to have %s", m.ID, m.Epoch, s.named(m.Assigned), s.named(m.Target))
	}
}
