package inflate

import (
	"fmt"

	"dynaferry/internal/fault"
)

// Damage says what is wrong with a stream and where. Reader wraps it in a fault.Error of kind Corrupt whose Place
// holds the plain offset; Truncated tells a cut stream from a wrong one.
type Damage struct {
	What      string // for instance "invalid distance"
	In        int64  // offset in the compressed stream
	Out       int64  // offset in the plain stream
	Truncated bool   // the input ended early
}

// Error names both offsets.
func (d *Damage) Error() string {
	return fmt.Sprintf("gzip: %s at compressed byte %d, plain byte %d", d.What, d.In, d.Out)
}

// damaged makes the error for damage at the present position.
func (z *Reader) damaged(what string) error {
	return z.corrupt(&Damage{What: what, In: z.InOffset(), Out: z.decoded()})
}

// truncated makes the error for an input that ended while something was still expected.
func (z *Reader) truncated(expected string) error {
	in := z.before + int64(z.pos) // the end itself, with the bits that were too few
	return z.corrupt(&Damage{What: "input ends within " + expected, In: in, Out: z.decoded(), Truncated: true})
}

func (z *Reader) corrupt(d *Damage) error {
	return fault.At(fault.New(fault.Corrupt, "%w", d), fault.Place{Offset: d.Out})
}
