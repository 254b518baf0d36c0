package item

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
)

// Short contents that differ in a bit, a length or a place hash apart, in each half of the hash on its own: among so few
// even one collision of 64 bits would be no chance.
func TestShortHash(t *testing.T) {
	n := 400_000
	if os.Getenv("DYNAFERRY_LONG") != "" {
		n = 40_000_000
	}
	var low, high []uint64
	for _, seed := range []Type{S, N, B} {
		low, high = low[:0], high[:0]
		add := func(content []byte) {
			h := hashed(content, &seeds[seed])
			low, high = append(low, h.lo), append(high, h.hi)
		}
		for i := range n / 4 {
			add(strconv.AppendInt(nil, int64(i+10), 10))
			add(fmt.Appendf(nil, "o-%012d", i))
			add(binary.LittleEndian.AppendUint32([]byte{byte(i >> 8), 0xff, byte(i)}, uint32(i)))
		}
		for size := range shortMax + 1 { // zeros, one bit, two bits
			add(make([]byte, size))
			for one := range 8 * size {
				content := make([]byte, size)
				content[one/8] |= 1 << (one % 8)
				add(content)
				for two := range one {
					more := bytes.Clone(content)
					more[two/8] |= 1 << (two % 8)
					add(more)
				}
			}
		}
		for name, half := range map[string][]uint64{"low": low, "high": high} {
			all := len(half)
			slices.Sort(half)
			if distinct := len(slices.Compact(half)); distinct != all {
				t.Errorf("%s halves of %s: %d alike of %d", name, seed, all-distinct, all)
			}
		}
	}
}
