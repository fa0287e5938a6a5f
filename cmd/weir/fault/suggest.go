package fault

import "strings"

// Suggest returns the candidate that word was most likely meant to be, false when none is close: at
// most one slip in three letters, where swapping two neighbours is one slip.
func Suggest(word string, candidates []string) (string, bool) {
	best, least := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if c == word {
			continue
		}
		d := slips(strings.ToLower(word), strings.ToLower(c))
		if d < least {
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

// slips counts insertions, deletions, replacements and swaps of neighbours between a and b.
func slips(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
