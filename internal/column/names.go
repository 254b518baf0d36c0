package column

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nameBytesMax bounds a column's name: Hive's metastore keeps 767 bytes and PostgreSQL's readers 63, but Athena and Glue
// refuse more than 255, and a disambiguating suffix must still fit.
const nameBytesMax = 200

// unsafeASCII are the printable characters that Spark's Parquet writer, Hive's type strings or Athena's DDL cannot take
// in a name.
const unsafeASCII = " ,;{}()=./`\"'\\:<>[]|"

// safeName returns name with everything that readers cannot take replaced by an underscore.
func safeName(name string) string {
	if name == "" {
		return "_"
	}
	var b strings.Builder
	for _, r := range name {
		if r == utf8.RuneError || !unicode.IsPrint(r) || r < utf8.RuneSelf && strings.ContainsRune(unsafeASCII, r) {
			r = '_'
		}
		if b.Len()+utf8.RuneLen(r) > nameBytesMax {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// foldName returns the key under which two names are one for a reader that folds case, or that composes accents as
// some file systems and catalogs do. Going up before down joins letters that only one direction knows (final sigma,
// long s, the Kelvin sign).
func foldName(name string) string {
	for i := 0; i < len(name); i++ {
		if name[i] >= utf8.RuneSelf {
			return norm.NFC.String(strings.ToLower(strings.ToUpper(norm.NFC.String(name))))
		}
	}
	return strings.ToLower(name)
}

// namer gives out names that are unique under case folding among siblings.
type namer struct{ taken map[string]bool }

func newNamer(reserved ...string) *namer {
	n := &namer{taken: make(map[string]bool, len(reserved))}
	for _, name := range reserved {
		n.take(name)
	}
	return n
}

func (n *namer) take(name string) { n.taken[foldName(name)] = true }

// give returns the name for an attribute: its safe name, or that with the first free of the suffixes __2, __3, ...
func (n *namer) give(source string) string {
	base := safeName(source)
	name := base
	for i := 2; n.taken[foldName(name)]; i++ {
		suffix := "__" + strconv.Itoa(i)
		name = cutName(base, nameBytesMax-len(suffix)) + suffix
	}
	n.take(name)
	return name
}

// cutName cuts name to at most n bytes between runes.
func cutName(name string, n int) string {
	if len(name) <= n {
		return name
	}
	for n > 0 && !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}

// nameFields names the fields that have no name yet, siblings of one struct or of the top level. The result depends on
// the set of sources alone: in the order of their bytes, first every attribute whose own name is safe and free, then
// the others, so that a real "a__2" is never renamed because of some "A" beside "a".
func nameFields(fields []*Field, n *namer) {
	var open []*Field
	for _, f := range fields {
		if f.Name != "" {
			n.take(f.Name)
		} else {
			open = append(open, f)
		}
	}
	slices.SortFunc(open, func(a, b *Field) int { return strings.Compare(a.Source, b.Source) })
	for _, f := range open {
		if safeName(f.Source) == f.Source && !n.taken[foldName(f.Source)] {
			f.Name = f.Source
			n.take(f.Name)
		}
	}
	for _, f := range open {
		if f.Name == "" {
			f.Name = n.give(f.Source)
		}
	}
}
