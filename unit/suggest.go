package unit

import "strings"

// Suggest returns the one of words that was most likely meant by a word that is
// none of them: the first with the fewest letters to insert, drop, replace or swap
// with the next, which may be a third of the word's, and one in any case. It is
// empty if none comes as near as that. Case makes no difference.
func Suggest(word string, words []string) string {
	best, least := "", max(1, len(word)/3)+1
	word = strings.ToLower(word)
	for _, w := range words {
		if max(len(w)-len(word), len(word)-len(w)) >= least {
			continue // so many letters to insert or drop alone
		}
		if d := editDistance(word, strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// editDistance counts the letters to insert, drop, replace or swap with the next
// that make b of a.
func editDistance(a, b string) int {
	// Rows of the table of distances between prefixes: the one before last, the
	// last and the current.
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, older
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
