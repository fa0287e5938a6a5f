package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestErrorHasThreeParts(t *testing.T) {
	e := &Error{What: `topic "ordres" does not exist on 127.0.0.1:9092`, Code: "UNKNOWN_TOPIC_OR_PARTITION",
		Why: `Did you mean "orders"?`, Do: "Create it: weir topic create ordres"}
	want := `topic "ordres" does not exist on 127.0.0.1:9092 (UNKNOWN_TOPIC_OR_PARTITION). Did you mean "orders"? Create it: weir topic create ordres`
	if e.Error() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
	if got := (&Error{What: "no"}).Error(); got != "no" {
		t.Errorf("What alone: %q", got)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
		exit int
	}{
		{fmt.Errorf("wrapped: %w", kerr.TopicAlreadyExists), "it failed (TOPIC_ALREADY_EXISTS). A topic of that name is there. Use another", Failed},
		{kerr.InvalidRequest, "it failed (INVALID_REQUEST). This most likely", Failed},
		{kerr.RequestTimedOut, "it failed (REQUEST_TIMED_OUT).", TooLate},
		{context.DeadlineExceeded, "it failed. There was no answer in time. Allow", TooLate},
		{fmt.Errorf("poll: %w", context.Canceled), "it failed. It was interrupted", Interrupted},
		{errors.New("disk on fire."), "it failed. Disk on fire", Failed},
		{fmt.Errorf("above: %w", Usage("no flag %q", "x")), `above: no flag "x"`, WrongUsage},
	} {
		err := Explain("it failed", c.err)
		if !strings.HasPrefix(err.Error(), c.want) || ExitCode(err) != c.exit || !errors.Is(err, c.err) && err != c.err {
			t.Errorf("Explain(%v) = %q, exit %d, want %q..., exit %d", c.err, err, ExitCode(err), c.want, c.exit)
		}
	}
	if Explain("it failed", nil) != nil {
		t.Error("nil is explained")
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {Partial(errors.New("x")), 3}, {Partial(Usage("x")), 3}, {errors.New("x"), 1}, {Usage("x"), 2}, {Partly(1, 2, "topics"), 3}, {Partly(2, 2, "topics"), 1},
		{context.DeadlineExceeded, 4}, {context.Canceled, 130}, {fmt.Errorf("w: %w", &Error{What: "x"}), 1},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("ExitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	topics := []string{"orders", "payments", "o2", "Logs"}
	for word, want := range map[string]string{
		"ordres": "orders", "order": "orders", "paymnets": "payments", "logs": "Logs", "o1": "o2", "orders": "",
		"users": "", "x": "", "": "", "ord": "",
	} {
		if got, ok := Suggest(word, topics); got != want || ok != (want != "") {
			t.Errorf("Suggest(%q) = %q, %v, want %q", word, got, ok, want)
		}
	}
	if got := DidYouMean("ordres", topics); got != `Did you mean "orders"?` {
		t.Errorf("DidYouMean = %q", got)
	}
	if got := DidYouMean("zzz", topics); got != "" {
		t.Errorf("DidYouMean = %q", got)
	}
}

func TestAdviceIsWhole(t *testing.T) {
	for code, a := range advice {
		if a.why == "" || strings.HasSuffix(a.why, ".") || strings.HasSuffix(a.do, ".") {
			t.Errorf("%s: %+v: a sentence each, without its full stop", code.Message, a)
		}
	}
}
