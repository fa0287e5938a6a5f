// Package command is the command line of Weir: one file per verb, each an options struct, its flags, the
// cobra command and a run function that takes everything it touches as arguments. Nothing here exits
// the process, reads a global stream or holds state between runs, so tests run the root command in
// process.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"weir/cmd/weir/fault"
)

// Streams is all that a command sees of the process it runs in.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer // results go to Out, everything else to Err
	Getenv   func(string) string
	Environ  []string
	Now      func() time.Time

	// Which of the streams is a terminal, where a person looks or types.
	InTerminal, OutTerminal, ErrTerminal bool
}

// System is the process's own streams, environment and clock.
func System() *Streams {
	terminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ(), Now: time.Now,
		InTerminal: terminal(os.Stdin), OutTerminal: terminal(os.Stdout), ErrTerminal: terminal(os.Stderr),
	}
}

// note tells the person at stderr something that is not the result.
func (s *Streams) note(format string, args ...any) { fmt.Fprintf(s.Err, format+"\n", args...) }

// colour wraps text in an escape sequence when stderr is a terminal that wants colours.
func (s *Streams) colour(code, text string) string {
	if !s.ErrTerminal || s.Getenv("NO_COLOR") != "" || s.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Main runs one command line, without the program's name, and returns the exit code. It returns when
// the command has ended, which an end of ctx asks for.
func Main(ctx context.Context, args []string, s *Streams) int {
	root := New(s)
	root.SetArgs(args)
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return fault.Done
	}
	if ctx.Err() != nil && !isFault(err) {
		err = ctx.Err()
	}
	code := fault.ExitCode(err)
	if !began { // cobra refused the command line
		code = fault.WrongUsage
	}
	switch {
	case code == fault.Interrupted: // who interrupts knows
	case code == fault.WrongUsage:
		fmt.Fprintf(s.Err, "%s %v\nSee: %s --help\n", s.colour("31", "error:"), err, cmd.CommandPath())
	default:
		fmt.Fprintf(s.Err, "%s %v\n", s.colour("31", "error:"), err)
	}
	return code
}

func isFault(err error) bool {
	var e *fault.Error
	return errors.As(err, &e)
}

// New builds the whole command tree.
func New(s *Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "An append-only commit log that speaks Kafka's protocol",
		Long: `Weir keeps streams of records on disk, in order, and speaks Kafka's protocol.

  weir dev                                start a broker here, for trying things out
  weir produce orders -k u1 'hello'       write a record
  weir consume orders --from start        read from the first record on`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.AddCommand(
		newStart(s), newDev(s),
		newProduce(s), newConsume(s), newReplay(s),
		newTopic(s), newGroups(s), newTxn(s), newQuota(s), newACL(s), newPartition(s), newBroker(s), newCluster(s), newLog(s), newDump(s), newBench(s),
		newAPIVersions(s), newVersion(s), newCompletion(s),
	)
	return root
}

// group is a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(children...)
	return c
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	e := &fault.Error{What: fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0]), Exit: fault.WrongUsage}
	if e.Why = fault.DidYouMean(args[0], names); e.Why == "" {
		e.Why = "There are " + strings.Join(names, ", ")
	}
	return e
}

// needs refuses a command line with fewer than n arguments, by the names in the Use line.
func needs(n int) cobra.PositionalArgs { return between(n, -1) }

// between is needs with an upper end, inclusive; -1 is no end.
func between(n, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		_, names, _ := strings.Cut(cmd.Use, " ")
		switch {
		case len(args) < n:
			return fault.Usage("%s needs %s", cmd.CommandPath(), names)
		case most >= 0 && len(args) > most:
			if names == "" {
				names = "nothing"
			}
			return fault.Usage("%s takes %s, not also %q", cmd.CommandPath(), names, args[most])
		}
		return nil
	}
}
