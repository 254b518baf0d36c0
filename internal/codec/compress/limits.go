package compress

import "dynaferry/internal/fault"

// The defaults of Limits.
const (
	// RatioMax stops what is only made to be large: deflate reaches 1,032:1 on a run of one byte, and zstd much more,
	// while lines of even the dullest table stay below 300:1, since every item has a key of its own.
	RatioMax = 500
	// RatioAfter is the output below which no ratio matters: it is little and quickly read.
	RatioAfter = 64 << 20
	// WindowMax is the largest zstd window. Encoders ask for at most 8 MiB up to level 19; only "ultra" and "long"
	// ask for more.
	WindowMax = 64 << 20
)

// Limits bound what one stream may unpack to. The zero value holds the defaults.
type Limits struct {
	RatioMax   int   // output over input once RatioAfter bytes came out; 0 is the default, negative none
	RatioAfter int64 // bytes of output; 0 is the default, negative from the start
	BytesMax   int64 // absolute bytes of output; 0 is none
	WindowMax  int64 // bytes of a zstd window, at least 1 KiB; 0 is the default
}

func (l Limits) withDefaults() Limits {
	if l.RatioMax == 0 {
		l.RatioMax = RatioMax
	}
	if l.RatioAfter == 0 {
		l.RatioAfter = RatioAfter
	}
	if l.WindowMax == 0 {
		l.WindowMax = WindowMax
	}
	return l
}

// check judges a stream that has turned in bytes into out bytes.
func (l Limits) check(c Codec, in, out int64) error {
	if c == None {
		in = out
	}
	var err error
	switch {
	case l.BytesMax > 0 && out > l.BytesMax:
		err = fault.Hint(fault.New(fault.Limit, "%s: more than %d bytes come out of the first %d compressed ones",
			c, l.BytesMax, in), "raise the limit of unpacked bytes when the file is trusted")
	case l.RatioMax > 0 && out > l.RatioAfter && out/int64(l.RatioMax) > in:
		err = fault.Hint(fault.New(fault.Limit, "%s: %d bytes come out of %d compressed ones, more than %d:1",
			c, out, in, l.RatioMax), "raise the limit of the unpacking ratio when the file is trusted")
	default:
		return nil
	}
	return fault.At(err, fault.Place{Offset: out})
}
