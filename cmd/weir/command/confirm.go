package command

import (
	"bufio"
	"fmt"
	"strings"

	"weir/cmd/weir/fault"
)

// confirm asks before something that cannot be undone; the answer is No unless it says yes. Without a
// terminal there is nobody to ask, and that refuses unless yes was given as a flag.
func (s *Streams) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !s.InTerminal || !s.ErrTerminal {
		return fault.Usage("%s There is no terminal to ask at: say -y to do it, or --dry-run to see what it would do", question)
	}
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(s.In).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	if err != nil {
		s.note("")
	}
	return &fault.Error{What: "nothing was done", Exit: fault.Failed}
}
