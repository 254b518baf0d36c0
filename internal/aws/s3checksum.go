package aws

import (
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strings"
)

// castagnoli is CRC-32C: the processor computes it faster than memory delivers.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// nvme is the polynomial of CRC-64/NVME, reversed, which S3 gives objects that came without a checksum.
var nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)

// crc32c renders a CRC-32C as S3's headers do: base64 of its big-endian bytes.
func crc32c(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func crc32cOf(body []byte) string { return crc32c(crc32.Checksum(body, castagnoli)) }

// stored is a whole object's checksum as a reply carries it.
type stored struct {
	name string
	want string
	hash hash.Hash
}

// storedChecksum picks the checksum of a reply that can be computed over the whole body, or nil. Those of multi-part
// objects that are checksums of checksums end with a dash and the number of parts.
func storedChecksum(crc32c, crc64nvme, crc32ieee *string) *stored {
	for _, c := range []struct {
		name  string
		value *string
		make  func() hash.Hash
	}{
		{"CRC32C", crc32c, func() hash.Hash { return crc32.New(castagnoli) }},
		{"CRC64NVME", crc64nvme, func() hash.Hash { return crc64.New(nvme) }},
		{"CRC32", crc32ieee, func() hash.Hash { return crc32.NewIEEE() }},
	} {
		if value := deref(c.value); value != "" && !strings.Contains(value, "-") {
			return &stored{c.name, value, c.make()}
		}
	}
	return nil
}

func (s *stored) ok() (got string, ok bool) {
	got = base64.StdEncoding.EncodeToString(s.hash.Sum(nil))
	return got, got == s.want
}

// combine gives the CRC-32C of two adjacent pieces from theirs and the second's length: appending n zero bytes
// multiplies the first's polynomial by x^(8n), computed by squaring modulo the CRC's polynomial.
func combine(first, second uint32, secondBytes int64) uint32 {
	power := uint32(1) << 30 // x^1: reflected, the highest bit is x^0
	product := uint32(1) << 31
	for n := uint64(secondBytes) * 8; n > 0; n >>= 1 {
		if n&1 != 0 {
			product = multiply(product, power)
		}
		power = multiply(power, power)
	}
	return multiply(product, first) ^ second
}

// multiply multiplies two reflected polynomials modulo CRC-32C's.
func multiply(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.Castagnoli
		}
	}
	return product
}
