package feed

import (
	"strconv"
	"strings"

	"dynaferry/internal/fault"
)

// IsZero tells whether the position is before the oldest record.
func (p Position) IsZero() bool { return p == Position{} }

// String is the sequence number, and behind a point the sub-sequence number if there is one.
func (p Position) String() string {
	if p.Sub == 0 {
		return p.Seq.String()
	}
	return p.Seq.String() + "." + strconv.FormatUint(p.Sub, 10)
}

// ParsePosition reads what String wrote.
func ParsePosition(text string) (p Position, err error) {
	seq, sub, has := strings.Cut(text, ".")
	if p.Seq, err = ParseNumber(seq); err != nil {
		return Position{}, err
	}
	if has {
		if p.Sub, err = strconv.ParseUint(sub, 10, 64); err != nil {
			return Position{}, fault.New(fault.Corrupt, "%.160q is no position", text)
		}
	}
	return p, nil
}

// MarshalText is String.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePosition.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}
