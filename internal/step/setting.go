package step

import (
	"strings"

	"dynaferry/internal/fault"
)

// word is one word of a setting, with quotes and escapes resolved. literal tells of each byte that it was quoted, so that
// a dot or an equals sign in a name is told from one of the grammar.
type word struct {
	text    string
	literal []bool
	at, end int // where it stands in the setting; of a part of a word, about
}

// words cuts a setting at white space outside of quotes. Quotes are ' and "; inside of " a backslash takes the next
// character as it is.
func words(text string) ([]word, error) {
	var all []word
	for rest := skipSpace(text, 0); rest < len(text); rest = skipSpace(text, rest) {
		w, end, err := nextWord(text, rest)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
		rest = end
	}
	return all, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func skipSpace(text string, i int) int {
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	return i
}

func nextWord(text string, at int) (word, int, error) {
	w := word{at: at}
	var out []byte
	put := func(c byte, quoted bool) { out, w.literal = append(out, c), append(w.literal, quoted) }
	i, depth := at, 0
	for i < len(text) && (depth > 0 || !isSpace(text[i])) {
		quote := text[i]
		switch quote {
		case '(':
			depth++
		case ')':
			depth--
		}
		if quote != '\'' && quote != '"' {
			put(quote, false)
			i++
			continue
		}
		begin := i
		for i++; ; i++ {
			if i == len(text) {
				return w, i, place(begin, "a quote that is not closed")
			}
			if text[i] == quote {
				break
			}
			if quote == '"' && text[i] == '\\' && i+1 < len(text) {
				i++
			}
			put(text[i], true)
		}
		i++
		if i == begin+2 { // "" is a word, of nothing
			w.literal = append(w.literal, true)
		}
	}
	w.text, w.end = string(out), i
	return w, i, nil
}

// place is an error at a column of the setting.
func place(at int, format string, args ...any) error {
	return fault.At(fault.New(fault.User, format, args...), fault.Place{Offset: int64(at) + 1})
}

// cut splits the word at the first unquoted sep.
func (w word) cut(sep byte) (left, right word, ok bool) {
	for i := 0; i < len(w.text); i++ {
		if w.text[i] == sep && !w.literal[i] {
			return w.slice(0, i), w.slice(i+1, len(w.text)), true
		}
	}
	return w, word{}, false
}

func (w word) slice(from, to int) word {
	return word{text: w.text[from:to], literal: w.literal[from:], at: w.at + from}
}

// quoted tells that the whole word stands in quotes.
func (w word) quoted() bool {
	for _, literal := range w.literal[:max(len(w.text), min(1, len(w.literal)))] {
		if !literal {
			return false
		}
	}
	return len(w.literal) > 0
}

// split cuts the word at every unquoted sep.
func (w word) split(sep byte) []word {
	var parts []word
	for {
		left, right, ok := w.cut(sep)
		parts = append(parts, left)
		if !ok {
			return parts
		}
		w = right
	}
}

// name is the word as an attribute's name.
func (w word) name() (string, error) {
	if w.text == "" {
		return "", place(w.at, "an attribute without name")
	}
	return w.text, nil
}

// options takes the words NAME=VALUE whose name is one of known out of ws; the rest stays in order.
func options(ws []word, known ...string) (rest []word, given map[string]word, err error) {
	given = map[string]word{}
	for _, w := range ws {
		name, value, ok := w.cut('=')
		found := false
		for _, k := range known {
			found = found || ok && name.text == k && !name.quoted()
		}
		if !found {
			rest = append(rest, w)
			continue
		}
		if _, twice := given[name.text]; twice {
			return nil, nil, place(w.at, "%s= twice", name.text)
		}
		given[name.text] = value
	}
	return rest, given, nil
}

// Lines reads a file of steps: one a line as on the command line, blank lines and those that begin with # left out, or a
// JSON list of them. lines has the line of each, from 1, where the file has lines.
func Lines(data []byte) (texts []string, lines []int64, err error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		texts, err = jsonList([]byte(text))
		return texts, make([]int64, len(texts)), err
	}
	n := int64(0)
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			texts, lines = append(texts, line), append(lines, n)
		}
	}
	return texts, lines, nil
}
