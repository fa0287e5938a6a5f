package command

import (
	"github.com/spf13/cobra"

	"weir/cluster/config"
	"weir/cmd/weir/connect"
)

// completeWords offers fixed words for a flag's value. open says that the value goes on after the word,
// as a key does with its "=".
func completeWords(cmd *cobra.Command, flag string, open bool, words ...string) {
	directive := cobra.ShellCompDirectiveNoFileComp
	if open {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, directive)) // fails only for a flag that is not there
}

// keysOf are the configuration keys of a scope that have an effect, each with end appended.
func keysOf(scope config.Scope, end string) []string {
	var names []string
	for _, k := range config.Keys(scope) {
		if k.Status == config.Supported {
			names = append(names, k.Name+end)
		}
	}
	return names
}

// propertyWords are what -X takes.
func propertyWords() []string {
	words := []string{"list"}
	for _, p := range connect.Properties() {
		words = append(words, p.Name+"=")
	}
	return words
}

// positionWords are the words of the seek grammar that stand for themselves.
var positionWords = []string{"start", "end", "-1h", "-1d", "+", "@", "group:"}
