// Package fault is how a command fails: an error in three parts (what failed, why, what to do about it)
// and the exit code that belongs to it.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Exit codes of every command.
const (
	Done        = 0
	Failed      = 1
	WrongUsage  = 2   // flags or arguments that make no sense; nothing was tried
	PartlyDone  = 3   // some of what was asked was done, some failed
	TooLate     = 4   // no answer, or not the state waited for, in time
	Interrupted = 130 // as the shell says of SIGINT
)

// Error is a failure as a person reads it.
type Error struct {
	What string // what failed: topic "ordres" does not exist on 127.0.0.1:9092
	Code string // Kafka's name for it, "" when the broker said nothing
	Why  string // a sentence without its full stop, "" when What says it all
	Do   string // what to do, "" when nothing can be said
	Exit int    // one of the exit codes; 0 counts as Failed
	Err  error  // what it was made from, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Code != "" {
		b.WriteString(" (" + e.Code + ")")
	}
	for _, part := range []string{e.Why, e.Do} {
		if part == "" {
			continue
		}
		if !strings.HasSuffix(b.String(), "?") && !strings.HasSuffix(b.String(), ".") {
			b.WriteByte('.')
		}
		b.WriteString(" " + part)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Usage is a wrong flag or argument.
func Usage(format string, args ...any) error {
	return &Error{What: fmt.Sprintf(format, args...), Exit: WrongUsage}
}

// Partly says that of total things, failed did not work; the single failures have been told already.
func Partly(failed, total int, noun string) error {
	exit := PartlyDone
	if failed == total {
		exit = Failed
	}
	return &Error{What: fmt.Sprintf("%d of %d %s failed", failed, total, noun), Exit: exit}
}

// Partial gives err the exit code of something of which a part was done.
func Partial(err error) error {
	e := Error{What: err.Error(), Err: err}
	if known := (*Error)(nil); errors.As(err, &known) {
		e = *known
	}
	e.Exit = PartlyDone
	return &e
}

// Explain turns what the client or the broker returned into an Error about what. It returns nil for nil
// and leaves an Error, wherever in the chain, as it is.
func Explain(what string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &Error{What: what, Err: err}
	var code *kerr.Error
	switch {
	case errors.As(err, &code):
		e.Code = code.Message
		e.Why, e.Do = words(code)
		if code == kerr.RequestTimedOut {
			e.Exit = TooLate
		}
	case errors.Is(err, context.DeadlineExceeded):
		e.Why, e.Do, e.Exit = "There was no answer in time", "Allow more with --timeout, or look at the broker with -v", TooLate
	case errors.Is(err, context.Canceled):
		e.Why, e.Exit = "It was interrupted", Interrupted
	default:
		e.Why = sentence(err.Error())
	}
	return e
}

// ExitCode is what the process should exit with for err.
func ExitCode(err error) int {
	var e *Error
	switch {
	case err == nil:
		return Done
	case errors.As(err, &e):
		if e.Exit == 0 {
			return Failed
		}
		return e.Exit
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return TooLate
	}
	return Failed
}

func sentence(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
