package command

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"weir/cmd/weir/fault"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletion(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Long: `Print a script that completes commands, flags and the names of topics that are on the broker now.

  source <(weir completion bash)                                  for this bash
  weir completion zsh > "${fpath[1]}/_weir"                       for every zsh
  weir completion fish > ~/.config/fish/completions/weir.fish     for every fish
  weir completion powershell | Out-String | Invoke-Expression     for this PowerShell`,
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := between(1, 1)(cmd, args); err != nil {
				return err
			}
			if !slices.Contains(shells, args[0]) {
				return &fault.Error{What: fmt.Sprintf("no completion for %q", args[0]), Why: fault.DidYouMean(args[0], shells),
					Do: "There are bash, zsh, fish and powershell", Exit: fault.WrongUsage}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(s.Out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(s.Out)
			case "fish":
				return cmd.Root().GenFishCompletion(s.Out, true)
			}
			return cmd.Root().GenPowerShellCompletionWithDesc(s.Out)
		},
	}
}
