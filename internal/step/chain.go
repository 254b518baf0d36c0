package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// The bounds of a chain: nobody writes more by hand, and a generated one that does is a mistake.
const (
	StepsMax     = 200
	stepBytesMax = 64 << 10
)

// Chain is a parsed list of steps. It may be used concurrently.
type Chain struct {
	steps []parsed
}

// parsed is one step: its text, and what it does.
type parsed struct {
	number int // from 1
	text   string
	kind
}

// kind is what a step of one kind is once its setting was read.
type kind interface {
	// outline tells what becomes of attributes, for the questions about keys.
	outline(o *outline)
	// pure tells whether equal input always makes equal output, on any machine at any time.
	pure() bool
	// start makes the step's state in one Runner.
	start(r *Runner) (worker, error)
}

// kinds is every kind of step: its name, and how its setting is read. ws are the words behind the name, rest the same
// unparsed.
var kinds = map[string]func(ws []word, rest string, at int) (kind, error){
	"filter":  parseFilter,
	"map":     parseMap,
	"rename":  parseRename,
	"drop":    parseDrop,
	"keep":    parseKeep,
	"add":     parseAdd,
	"mask":    parseMask,
	"hash":    parseHash,
	"cast":    parseCast,
	"flatten": parseFlatten,
	"lookup":  parseLookup,
	"run":     parseRun,
	"http":    parseHTTP,
}

// Kinds are the names of all kinds of steps, sorted.
func Kinds() []string {
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Parse reads a chain. An error is of kind User and names the step by its number and text, and what is wrong with it; Step
// tells the number apart.
func Parse(texts []string) (*Chain, error) {
	c := &Chain{}
	if len(texts) > StepsMax {
		return nil, fault.New(fault.User, "%d steps; at most %d", len(texts), StepsMax)
	}
	for i, text := range texts {
		k, err := parseStep(text)
		if err != nil {
			return nil, unreadable(i, text, err)
		}
		c.steps = append(c.steps, parsed{number: i + 1, text: text, kind: k})
	}
	return c, nil
}

func parseStep(text string) (kind, error) {
	if len(text) > stepBytesMax {
		return nil, fault.New(fault.User, "a step of %d bytes; at most %d", len(text), stepBytesMax)
	}
	if !utf8.ValidString(text) {
		return nil, fault.New(fault.User, "the step is no UTF-8")
	}
	at := skipSpace(text, 0)
	end := at
	for end < len(text) && !isSpace(text[end]) {
		end++
	}
	name := text[at:end]
	parse, ok := kinds[name]
	if !ok {
		return nil, fault.New(fault.User, "no kind of step %q: it is one of %s", name, strings.Join(Kinds(), ", "))
	}
	behind := skipSpace(text, end)
	rest := strings.TrimRight(text[behind:], " \t\r\n")
	if rest == "" {
		return nil, place(end, "%s of what?", name)
	}
	var ws []word
	if name != "filter" && name != "map" { // whose quotes are those of expressions
		var err error
		if ws, err = words(text[:behind+len(rest)]); err != nil {
			return nil, err
		}
		ws = ws[1:]
	}
	return parse(ws, rest, behind)
}

// unreadable is the error of the i-th text, which a parser could not read.
func unreadable(i int, text string, err error) error {
	return &Error{Number: i + 1, Text: text, Column: int(fault.PlaceOf(err).Offset), Err: err}
}

// Error is about one step: one that cannot be read, or that refused an item.
type Error struct {
	Number int // from 1
	Text   string
	Column int // in Text, from 1, of what cannot be read; 0 when it is not one place
	Err    error
}

// textShownMax is how much of a step an error repeats.
const textShownMax = 80

// Error names the step and what is wrong.
func (e *Error) Error() string {
	text := e.Text
	if len(text) > textShownMax {
		text = strings.ToValidUTF8(text[:textShownMax], "") + "…"
	}
	at, of := "", ""
	p := fault.PlaceOf(e.Err)
	if e.Column > 0 {
		at = fmt.Sprintf(" at column %d", e.Column)
	}
	if p.Path != "" {
		of = "attribute " + p.Path + ": "
	}
	return fmt.Sprintf("step %d (%s)%s: %s%s", e.Number, text, at, of, fault.Reason(e.Err))
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Number is which step, from 1, an error is about; 0 when it is about none.
func Number(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// Texts are the settings that the chain was parsed from.
func (c *Chain) Texts() []string {
	if c == nil {
		return nil
	}
	var texts []string
	for _, s := range c.steps {
		texts = append(texts, s.text)
	}
	return texts
}

// Empty tells that there is no step.
func (c *Chain) Empty() bool { return c == nil || len(c.steps) == 0 }

// Pure tells whether equal items always come out equal, so that what was done once may be done again: no clock, no
// program of the user's, nothing looked up that may change.
func (c *Chain) Pure() bool {
	return c.Empty() || !slices.ContainsFunc(c.steps, func(s parsed) bool { return !s.pure() })
}

// Keys follows a key through the chain. unique tells that items of different keys still have different ones. The error, of
// kind User, names the step that takes a part of the key away or makes something else of it.
func (c *Chain) Keys(keys item.KeySchema) (out item.KeySchema, unique bool, err error) {
	return c.keys(keys, newOutline())
}

// StateKeys is Keys of changes that go through Runner.States.
func (c *Chain) StateKeys(keys item.KeySchema) (out item.KeySchema, unique bool, err error) {
	o := newOutline()
	o.states = true
	return c.keys(keys, o)
}

func (c *Chain) keys(keys item.KeySchema, o *outline) (out item.KeySchema, unique bool, err error) {
	if c.Empty() || keys.Empty() {
		return keys, true, nil
	}
	o.follow(keys)
	c.walk(o)
	for _, k := range o.keys {
		if k.lost != nil {
			return item.KeySchema{}, false, k.lost
		}
	}
	out.Hash, unique = o.keys[0].KeyAttr, !o.keys[0].blurred
	if len(o.keys) > 1 {
		out.Range, unique = o.keys[1].KeyAttr, unique && !o.keys[1].blurred
	}
	return out, unique, nil
}

// KeepsKeys tells whether items can still have these attributes, of these types, behind the chain. The error, of kind User,
// names the step that takes one away.
func (c *Chain) KeepsKeys(keys item.KeySchema) error {
	if c.Empty() || keys.Empty() {
		return nil
	}
	o := newOutline()
	c.walk(o)
	for _, attr := range keys.Attrs() {
		if err := o.has(attr); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chain) walk(o *outline) {
	for i := range c.steps {
		o.at = &c.steps[i]
		c.steps[i].outline(o)
	}
}

func jsonList(data []byte) ([]string, error) {
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fault.New(fault.User, "not a JSON list of steps: %w", err)
	}
	return texts, nil
}

// Resolve returns the texts with the addresses of lookups as whole says.
func (c *Chain) Resolve(whole func(address string) (string, error)) ([]string, error) {
	texts := c.Texts()
	for i, s := range c.steps {
		l, ok := s.kind.(*lookup)
		if !ok {
			continue
		}
		address, err := whole(l.address)
		if err != nil {
			return nil, &Error{Number: s.number, Text: s.text, Err: err}
		}
		if address != l.address {
			texts[i] = s.text[:l.from] + quote(address) + s.text[l.to:]
		}
	}
	return texts, nil
}

// quote writes a word of a setting.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
