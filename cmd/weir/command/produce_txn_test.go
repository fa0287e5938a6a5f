package command

import (
	"io"
	"strings"
	"testing"

	"weir/cluster/broker/brokertest"
	"weir/cmd/weir/fault"
)

// readCommitted are the values that a reader of committed records sees.
func (c *cli) readCommitted(topic string) string {
	c.t.Helper()
	return c.ok("consume", topic, "--from", "start", "-e", "--read-committed", "-f", "%v ")
}

func (c *cli) transactions() string {
	c.t.Helper()
	return c.ok("txn", "list", "-o", "json")
}

// TestProduceInOneTransaction: without bounds the whole input is one, which bad input aborts.
func TestProduceInOneTransaction(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "1")
	out, errs, code := c.run("a\nb\nc\n", "produce", "t", "--txn", "import")
	if code != 0 || strings.Count(out, "t[0]@") != 3 || errs != "3 records committed in 1 transaction\n" {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	out, errs, code = c.run(`{"value":"d"}`+"\n"+`{"valeu":"x"}`, "produce", "t", "-i", "jsonl", "--txn", "import")
	if code != fault.Failed || out != "" || !strings.Contains(errs, "the open transaction of 1 record is aborted\n") || !strings.Contains(errs, "nput line 2") {
		t.Errorf("bad input: exit %d: %s%s", code, out, errs)
	}
	c.ok("produce", "t", "--txn", "import", "-q", "e")
	if got := c.readCommitted("t"); got != "a b c e " {
		t.Errorf("committed: %q", got)
	}
	if _, errs, code := c.run("", "produce", "t", "--txn", "import"); code != 0 || errs != "" {
		t.Errorf("nothing to write: exit %d: %s", code, errs)
	}
}

// TestProduceTransactionsOfN: what was committed before bad input stays, and is told.
func TestProduceTransactionsOfN(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "1")
	in := `{"value":"a"}` + "\n" + `{"value":"b"}` + "\n" + `{"value":"c"}` + "\n"
	out, errs, code := c.run(in, "produce", "t", "-i", "jsonl", "--txn", "import", "--txn-records", "2")
	if code != 0 || strings.Count(out, "t[0]@") != 3 || errs != "3 records committed in 2 transactions\n" {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	out, errs, code = c.run(in+"{", "produce", "t", "-i", "jsonl", "--txn", "import", "--txn-records", "2")
	want := "the open transaction of 1 record is aborted; 2 records committed in 1 transaction before\n"
	if code != fault.PartlyDone || strings.Count(out, "t[0]@") != 2 || !strings.Contains(errs, want) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if got := c.readCommitted("t"); got != "a b c a b " {
		t.Errorf("committed: %q", got)
	}
}

// TestProduceTransactionAsOneTypes: an interval commits what is typed without more input; an interrupt aborts
// what is open, and nothing of that is printed.
func TestProduceTransactionAsOneTypes(t *testing.T) {
	c := newCLI(t)
	c.tty = true
	c.ok("topic", "create", "t", "-p", "1")
	r, w := io.Pipe()
	defer w.Close()
	typed := func(line string) {
		t.Helper()
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, stop := c.start(r, "produce", "t", "--txn", "typed", "--txn-interval", "20ms")
	errs.await(t, "Ctrl-C aborts")
	typed("first\n")
	out.await(t, "t[0]@0")
	typed("second\n")
	out.await(t, "t[0]@2") // the marker is between them
	if code := stop(); code != fault.Interrupted || !strings.Contains(errs.String(), "2 records committed in 2 transactions\n") {
		t.Errorf("exit %d: %s", code, errs)
	}

	r, w = io.Pipe()
	defer w.Close()
	out, errs, stop = c.start(r, "produce", "t", "--txn", "typed")
	errs.await(t, "Ctrl-C aborts")
	typed("third\n")
	for !strings.Contains(c.transactions(), "Ongoing") { // it has arrived
		if t.Context().Err() != nil {
			t.Fatal("it never came")
		}
	}
	if code := stop(); code != fault.Interrupted || out.String() != "" || !strings.Contains(errs.String(), "the open transaction of 1 record is aborted\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if got := c.readCommitted("t"); got != "first second " {
		t.Errorf("committed: %q", got)
	}
}

// TestProduceIsFenced: the second run with a transactional id takes it over from the first.
func TestProduceIsFenced(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "1")
	r, w := io.Pipe()
	defer w.Close()
	out, errs, stop := c.start(r, "produce", "t", "--txn", "mine", "--txn-records", "1")
	if _, err := io.WriteString(w, "first\n"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "\n") // what is committed is flushed, terminal or not
	c.ok("produce", "t", "--txn", "mine", "second", "-q")
	if _, err := io.WriteString(w, "third\n"); err != nil {
		t.Fatal(err)
	}
	errs.await(t, `transactional id "mine" is no longer this run's`)
	if code := stop(); code != fault.PartlyDone || !strings.Contains(errs.String(), "1 record committed in 1 transaction before") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := c.readCommitted("t"); got != "first second " {
		t.Errorf("committed: %q", got)
	}
}

// TestProduceTransactionIsTooLong: the broker aborts what is open for too long, and the words say that.
func TestProduceTransactionIsTooLong(t *testing.T) {
	c := newCLI(t)
	c.ok("topic", "create", "t", "-p", "1")
	r, w := io.Pipe()
	defer w.Close()
	_, errs, stop := c.start(r, "produce", "t", "--txn", "slow", "-X", "transaction.timeout.ms=1000")
	if _, err := io.WriteString(w, "first\n"); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(c.transactions(), "CompleteAbort") {
		if t.Context().Err() != nil {
			t.Fatal("it was never aborted")
		}
	}
	w.Close()
	errs.await(t, "open for longer than 1s")
	if code := stop(); code != fault.Failed {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := c.readCommitted("t"); got != "" {
		t.Errorf("committed: %q", got)
	}
}

// TestProduceTransactionFails: records that cannot be written abort, and a broker that goes away ends the run in time.
func TestProduceTransactionFails(t *testing.T) {
	b := brokertest.Start(t, nil)
	c := &cli{t: t, addr: b.Addr(), broker: b}
	c.ok("topic", "create", "t", "-p", "1", "-c", "max.message.bytes=200")
	c.fails(fault.Failed, []string{"produce", "t", "--txn", "x", "-z", "none", "small", strings.Repeat("x", 300)}, "MESSAGE_TOO_LARGE", "is aborted")
	if got := c.readCommitted("t"); got != "" {
		t.Errorf("committed: %q", got)
	}
	c.fails(fault.Failed, []string{"produce", "t", "--txn", strings.Repeat("x", 300), "v"}, "cannot begin transactions", "INVALID_REQUEST")
	c.fails(fault.Failed, []string{"produce", "t", "--txn", "x", "-X", "transaction.timeout.ms=2000000000", "v"}, "INVALID_TRANSACTION_TIMEOUT")

	r, w := io.Pipe()
	defer w.Close()
	out, errs, stop := c.start(r, "produce", "t", "--txn", "x", "--txn-records", "1", "--timeout", "300ms")
	if _, err := io.WriteString(w, "first\n"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "\n")
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "second\n"); err != nil {
		t.Fatal(err)
	}
	errs.await(t, "the broker aborts it within 1m0s; 1 record committed in 1 transaction before")
	if code := stop(); code != fault.PartlyDone {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestProduceTransactionUsage(t *testing.T) {
	c := &cli{t: t, addr: "127.0.0.1:1"}
	for line, want := range map[string]string{
		"produce t v --txn-records 5":                     "add --txn ID",
		"produce t v --txn-interval 1s":                   "add --txn ID",
		"produce t v --txn x --acks 1":                    "leave out --acks 1",
		"produce t v --txn x --txn-records -1":            "counted from 0",
		"produce t v --txn x -X enable.idempotence=false": "do not fit together",
	} {
		c.fails(fault.WrongUsage, strings.Fields(line), want)
	}
}
