package fault

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says what sort of thing went wrong, as far as the reaction differs.
type Kind uint8

// The kinds. The zero value is Bug: an error nobody classified is ours to explain.
const (
	Bug         Kind = iota // a broken assumption of ours
	User                    // a wrong setting, address or argument: nothing was touched
	NotFound                // the named thing does not exist
	Permission              // credentials missing, expired or without the right
	Throttled               // the service asked for less; a later try may pass
	Unavailable             // network, time-out, 5xx: a later try may pass
	Corrupt                 // data that is not what its format, count or checksum says
	Conflict                // somebody else was faster, or the destination is not what was asked for
	Unknown                 // a write whose outcome could not be learnt: exit 75, nothing is deleted
	Limit                   // a bound of ours or of the service was reached
	Unsupported             // a thing we or the store do not do, refused by name
	Differs                 // a check ran and its answer is no: exit 4
	Partial                 // the work is done but for members that were put aside: exit 3
)

var kindNames = [...]string{"bug", "user", "not-found", "permission", "throttled", "unavailable", "corrupt", "conflict",
	"unknown", "limit", "unsupported", "differs", "partial"}

// String returns the kind's name as --json prints it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind finds the kind of a name that String gave; a name of a later program is Bug.
func ParseKind(name string) Kind {
	return Kind(max(0, slices.Index(kindNames[:], name)))
}

// Retryable tells whether the same call may pass later without anybody changing anything.
func (k Kind) Retryable() bool { return k == Throttled || k == Unavailable || k == Unknown }

// Place names where in the input or the world an error lies. Zero fields are unknown and left out of texts;
// Line counts from 1; Offset is a byte offset in the decompressed stream, -1 or 0 when unknown unless Line is set.
type Place struct {
	File   string // an address a person can open: path or URL
	Line   int64
	Offset int64
	Path   string // attribute path inside the item, for instance orders[3].price
}

// String renders the known parts: file:line at byte offset, attribute path.
func (p Place) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	switch {
	case p.Line > 0 && p.File != "":
		fmt.Fprintf(&b, ":%d", p.Line)
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d", p.Line)
	}
	if p.Offset > 0 {
		fmt.Fprintf(&b, " at byte %d", p.Offset)
	}
	if p.Path != "" {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString("attribute " + p.Path)
	}
	return strings.TrimSpace(b.String())
}

// Error is an error with a kind, a place and a hint. Use the functions below to make and read one.
type Error struct {
	Kind  Kind
	Place Place
	Hint  string
	Err   error
}

// Error renders place and cause; the hint is for the face to show apart. Places that were added one around the other
// read as one, unless they say different things.
func (e *Error) Error() string {
	place, cause := e.Place, e.Err
	for {
		inner, ok := cause.(*Error) // not what it wraps: the words between stay where they are
		if !ok {
			break
		}
		whole, agree := place.and(inner.Place)
		if !agree {
			break
		}
		place, cause = whole, inner.Err
	}
	if at := place.String(); at != "" {
		return at + ": " + cause.Error()
	}
	return cause.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind; format may use %w.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// As gives err the kind unless it, or something it wraps, has one already.
func As(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Kind: kind, Err: err}
}

// At adds a place. Fields that an inner error already knows are kept there.
func At(err error, place Place) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Place: place, Err: err}
}

// and is both places in one; agree is false when they know different things of the same.
func (p Place) and(o Place) (whole Place, agree bool) {
	agree = (p.File == "" || o.File == "" || p.File == o.File) && (p.Path == "" || o.Path == "" || p.Path == o.Path) &&
		(p.Line == 0 || o.Line == 0 || p.Line == o.Line) && (p.Offset == 0 || o.Offset == 0 || p.Offset == o.Offset)
	return Place{cmp.Or(p.File, o.File), cmp.Or(p.Line, o.Line), cmp.Or(p.Offset, o.Offset), cmp.Or(p.Path, o.Path)}, agree
}

// Reason is err's text without the place that err itself has, for those who tell the place apart.
func Reason(err error) string {
	if e, ok := err.(*Error); ok {
		return Reason(e.Err)
	}
	return err.Error()
}

// Hint adds the one command or setting the user can try. The innermost hint wins, since it knows the cause best.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Hint: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the outermost kind in err's chain, Bug when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Bug
}

// HintOf returns the innermost hint in err's chain, or "".
func HintOf(err error) string {
	hint := ""
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			break
		}
		if e.Hint != "" {
			hint = e.Hint
		}
		err = e.Err
	}
	return hint
}

// PlaceOf returns the known parts of every place in err's chain, inner values winning.
func PlaceOf(err error) Place {
	var p Place
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			break
		}
		if e.Place.File != "" {
			p.File = e.Place.File
		}
		if e.Place.Line > 0 {
			p.Line = e.Place.Line
		}
		if e.Place.Offset > 0 {
			p.Offset = e.Place.Offset
		}
		if e.Place.Path != "" {
			p.Path = e.Place.Path
		}
		err = e.Err
	}
	return p
}

// Retryable tells whether the same call may pass later.
func Retryable(err error) bool { return err != nil && KindOf(err).Retryable() }
