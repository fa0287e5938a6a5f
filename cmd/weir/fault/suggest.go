package fault

import (
	"strings"

	"weir/cluster/config"
)

// Suggest returns the candidate that word was most likely meant to be, false when none is close: at
// most one slip in three letters, where swapping two neighbours is one slip.
func Suggest(word string, candidates []string) (string, bool) {
	best, least := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if c == word {
			continue
		}
		if d := config.EditDistance(strings.ToLower(word), strings.ToLower(c), least); d < least {
			best, least = c, d
		}
	}
	return best, best != ""
}

// DidYouMean is ` Did you mean "X"?` as a sentence, or "".
func DidYouMean(word string, candidates []string) string {
	if s, ok := Suggest(word, candidates); ok {
		return `Did you mean "` + s + `"?`
	}
	return ""
}
