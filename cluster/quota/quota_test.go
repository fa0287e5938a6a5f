package quota

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/cluster/metadata"
)

// entity has "" for what is not said, and * for the default.
func entity(user, client string) metadata.QuotaEntity {
	name := func(s string) metadata.QuotaName {
		switch s {
		case "":
			return metadata.QuotaName{}
		case "*":
			return metadata.QuotaName{Kind: metadata.QuotaDefault}
		}
		return metadata.QuotaName{Kind: metadata.QuotaNamed, Name: s}
	}
	return metadata.QuotaEntity{User: name(user), ClientID: name(client)}
}

func limits(clients ...metadata.ClientQuota) *Limits {
	return NewLimits(metadata.QuotaSet{Clients: clients, Index: 1})
}

func quota(user, client string, k Kind, rate float64) metadata.ClientQuota {
	return metadata.ClientQuota{Entity: entity(user, client), Values: map[string]float64{k.String(): rate}}
}

// all is a bucket's burst of ten seconds.
var all = Config{Windows: 11, Window: time.Second}

var start = time.Unix(1_000_000, 0)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * 1e9)) }

// TestPrecedence takes the entities of a client away one by one, the first in order first.
func TestPrecedence(t *testing.T) {
	order := [][2]string{{"u", "c"}, {"u", "*"}, {"u", ""}, {"*", "c"}, {"*", "*"}, {"*", ""}, {"", "c"}, {"", "*"}}
	for i := range order {
		clients := []metadata.ClientQuota{quota("u", "d", Produce, 99), quota("v", "c", Produce, 99), quota("v", "", Produce, 99),
			quota("", "d", Produce, 99), quota("*", "d", Produce, 99), quota("u", "c", Fetch, 99)}
		for j, e := range order[i:] {
			clients = append(clients, quota(e[0], e[1], Produce, float64(i+j+1)))
		}
		c := limits(clients...).Client("u", "c")
		if c.rates[Produce] != float64(i+1) || c.rates[Fetch] != 99 || c.Limited(Request) {
			t.Errorf("without the first %d the rates are %v", i, c.rates)
		}
	}
	if c := limits(quota("u", "d", Produce, 1), quota("v", "*", Fetch, 1)).Client("u", "c"); c != nil {
		t.Errorf("of others: %+v", c)
	}
}

// TestHolders: who shares what, by the entity that the limit is of.
func TestHolders(t *testing.T) {
	for _, x := range []struct {
		user, client string
		shared       [3]bool // with another client id of the user, with the client id of another user, with neither
	}{
		{"*", "*", [3]bool{}}, {"*", "", [3]bool{true}}, {"", "*", [3]bool{false, true}},
	} {
		l := limits(quota(x.user, x.client, Produce, 1))
		mine := l.Client("u", "c").holders[Produce]
		for i, o := range [][2]string{{"u", "d"}, {"v", "c"}, {"v", "d"}} {
			if got := l.Client(o[0], o[1]).holders[Produce] == mine; got != x.shared[i] {
				t.Errorf("of (%s, %s), %v shares: %t", x.user, x.client, o, got)
			}
		}
	}
	l := limits(quota("", "*", Produce, 1))
	long := strings.Repeat("x", metadata.MaxQuotaNameBytes)
	if l.Client("u", long+"1").holders != l.Client("u", long+"2").holders {
		t.Error("a long client id is kept whole")
	}
}

// TestRate: a burst is free, then the wait is the debt by the rate, as Kafka's is over a burst.
func TestRate(t *testing.T) {
	b, c := NewBuckets(all), limits(quota("", "*", Produce, 100)).Client("u", "c")
	for _, x := range []struct {
		at, amount float64
		wait       time.Duration
	}{
		{0, 1000, 0},                    // ten seconds of the rate
		{0, 50, 500 * time.Millisecond}, // Kafka: (1050/10 - 100) / 100 * 10 s
		{0.25, 0, 250 * time.Millisecond},
		{0.5, 0, 0},
		{1, 50, 0},
		{1, 0.01, time.Millisecond}, // never told to wait for nothing
		{100, 1000, 0},              // no more than a burst comes together
		{100, 100, time.Second},
		{99, 0, time.Second}, // a clock that goes back gives nothing
	} {
		if got := b.Take(c, Produce, x.amount, at(x.at)); got != x.wait {
			t.Errorf("at %v, %v more: wait %v, want %v", x.at, x.amount, got, x.wait)
		}
	}
	if got := b.Take(c, Fetch, 1e9, at(0)); got != 0 {
		t.Errorf("without a limit: wait %v", got)
	}
	if got := b.Take(c, Produce, 1e300, at(0)); got != MaxWait {
		t.Errorf("endless: wait %v", got)
	}
	if n := b.Throttled(Produce); n.Answers.Load() != 6 || b.Waiting(Produce, at(100)) != 1 || b.Waiting(Fetch, at(100)) != 0 {
		t.Errorf("%d answers, %d wait", n.Answers.Load(), b.Waiting(Produce, at(100)))
	}
}

// TestTryTake: what goes beyond the rate goes out once, and then nothing does until it is paid.
func TestTryTake(t *testing.T) {
	b, c := NewBuckets(all), limits(quota("", "*", Fetch, 100)).Client("u", "c")
	for _, x := range []struct {
		at, amount float64
		wait       time.Duration
		ok         bool
	}{
		{0, 1100, time.Second, true}, {0, 5, time.Second, false}, {0.5, 5, 500 * time.Millisecond, false}, {1, 100, time.Second, true},
	} {
		if wait, ok := b.TryTake(c, Fetch, x.amount, at(x.at)); wait != x.wait || ok != x.ok {
			t.Errorf("at %v, %v more: wait %v, %t", x.at, x.amount, wait, ok)
		}
	}
	if _, ok := b.TryTake(c, Produce, 1e9, at(0)); !ok || b.Most(c, Fetch) != 1000 || !math.IsInf(b.Most(c, Produce), 1) {
		t.Errorf("without a limit: %t; at most %v", ok, b.Most(c, Fetch))
	}
}

// TestRequestTime is in seconds of a processor; a wait is one window at most, and the rest stays owed.
func TestRequestTime(t *testing.T) {
	b, c := NewBuckets(all), limits(quota("", "*", Request, 50)).Client("u", "c")
	for _, x := range []struct {
		at, amount float64
		wait       time.Duration
	}{
		{0, 5, 0}, {0, 0.25, 500 * time.Millisecond}, {0, 10, time.Second}, {1, 0, time.Second}, {20.5, 0, 0},
	} {
		if got := b.Take(c, Request, x.amount, at(x.at)); got != x.wait {
			t.Errorf("at %v, %v more: wait %v, want %v", x.at, x.amount, got, x.wait)
		}
	}
}

// TestRateChanges: what is owed is paid by the new rate, and no more comes together than that allows.
func TestRateChanges(t *testing.T) {
	b := NewBuckets(all)
	slow, fast := limits(quota("", "*", Produce, 10)).Client("u", "c"), limits(quota("", "*", Produce, 1000)).Client("u", "c")
	if got := b.Take(slow, Produce, 1100, at(0)); got != 100*time.Second {
		t.Errorf("slow: wait %v", got)
	}
	if got := b.Take(fast, Produce, 0, at(0)); got != time.Second {
		t.Errorf("fast: wait %v", got)
	}
	b.Take(fast, Produce, 0, at(60))
	if got := b.Take(slow, Produce, 110, at(60)); got != time.Second {
		t.Errorf("slow again: wait %v", got)
	}
}

// TestBucketsAreBounded: holders that are idle are forgotten, and too many busy ones share.
func TestBucketsAreBounded(t *testing.T) {
	b, l := NewBuckets(all), limits(quota("", "*", Produce, 1))
	now := 0.0
	for i := range 20 * sweepFrom {
		now += 0.01 // a thousand in ten seconds
		b.Take(l.Client("u", fmt.Sprint(i)), Produce, 5, at(now))
	}
	if n := len(b.byHolder); n > 2*sweepFrom {
		t.Errorf("%d buckets of idle holders", n)
	}
	for i := range maxBuckets + 1000 {
		b.Take(l.Client("u", fmt.Sprint("busy", i)), Produce, 1, at(now))
	}
	if n := len(b.byHolder); n > maxBuckets+int(kinds) {
		t.Errorf("%d buckets", n)
	}
	if got := b.Take(l.Client("u", "one more"), Produce, 0, at(now)); got == 0 {
		t.Error("those beyond the bound have no limit")
	}
	b.Take(l.Client("u", "later"), Produce, 0, at(now+3600))
	b.Take(l.Client("u", "and later"), Produce, 0, at(now+3601))
	if n := len(b.byHolder); n > 2 {
		t.Errorf("%d buckets an hour later", n)
	}
}

// TestLongRun: clients that wait as they are told take what their rate allows, a burst and one request above it at most.
func TestLongRun(t *testing.T) {
	for range 50 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		rate := 1 + 1000*r.Float64()
		b, c := NewBuckets(Config{Windows: 1 + r.IntN(12), Window: time.Second}), limits(quota("u", "", Fetch, rate)).Client("u", "c")
		now, taken, largest := 0.0, 0.0, 0.0
		for range 1000 {
			amount := rate * 3 * r.Float64()
			wait, ok := b.TryTake(c, Fetch, amount, at(now))
			if ok {
				taken += amount
				largest = max(largest, amount)
			}
			if most := rate*now + b.Most(c, Fetch) + largest; taken > most*1.001 {
				t.Fatalf("seed %d: %v taken in %v s, at most %v", seed, taken, now, most)
			}
			now += wait.Seconds() + r.Float64()/10
		}
		if taken < 0.9*rate*now {
			t.Fatalf("seed %d: only %v taken in %v s at %v a second", seed, taken, now, rate)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, k := range Kinds() {
		if got, ok := Lookup(k.String()); !ok || got != k {
			t.Errorf("%v is %v, %t", k, got, ok)
		}
	}
	if _, ok := Lookup("controller_mutation_rate"); ok {
		t.Error("what is not limited is found")
	}
}
