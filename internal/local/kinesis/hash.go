package kinesis

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// hash is a place in the hash space of 2^128, big end first, so that bytes compare as numbers.
type hash [16]byte

var hashMax = hash{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// hashOf is where the service puts a partition key.
func hashOf(key string) hash { return md5.Sum([]byte(key)) }

func (h hash) compare(o hash) int { return bytes.Compare(h[:], o[:]) }

func (h hash) big() *big.Int { return new(big.Int).SetBytes(h[:]) }

func (h hash) String() string { return h.big().String() }

// MarshalText writes the decimal number that the service shows.
func (h hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads it back.
func (h *hash) UnmarshalText(text []byte) error {
	v, ok := parseHash(string(text))
	if !ok {
		return fmt.Errorf("%q is no hash key", text)
	}
	*h = v
	return nil
}

func fromBig(n *big.Int) (h hash) {
	n.FillBytes(h[:])
	return h
}

// plus adds n, which may be negative; the sum must lie in the space.
func (h hash) plus(n int64) hash { return fromBig(new(big.Int).Add(h.big(), big.NewInt(n))) }

// parseHash reads a decimal number below 2^128.
func parseHash(text string) (hash, bool) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return hash{}, false
	}
	return fromBig(n), true
}

// evenStart is where the part i of n even parts of the space begins.
func evenStart(i, n int) hash {
	size := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(n)))
	return fromBig(size.Mul(size, big.NewInt(int64(i))))
}

// A sequence number inside is the millisecond of arrival and a counter. Outside it is 56 digits as the service's: 49,
// the inner number in 44 digits, the index of the shard in 10.
const (
	counterBits  = 20
	sequenceStem = "49"
	innerDigits  = 44
	shardDigits  = 10
)

func sequence(shard int, seq uint64) string {
	return fmt.Sprintf("%s%0*d%0*d", sequenceStem, innerDigits, seq, shardDigits, shard)
}

// parseSequence takes it apart; ok is false when it is none of ours.
func parseSequence(text string) (shard int, seq uint64, ok bool) {
	rest, found := strings.CutPrefix(text, sequenceStem)
	if !found || len(rest) != innerDigits+shardDigits {
		return 0, 0, false
	}
	seq, err := strconv.ParseUint(rest[:innerDigits], 10, 64)
	if err != nil {
		return 0, 0, false
	}
	index, err := strconv.ParseUint(rest[innerDigits:], 10, 31)
	return int(index), seq, err == nil
}

// sequenceAt is the first sequence number of a moment.
func sequenceAt(ms int64) uint64 { return uint64(max(ms, 0)) << counterBits }

// arrival is the millisecond a sequence number tells.
func arrival(seq uint64) int64 { return int64(seq >> counterBits) }

func shardID(index int) string { return fmt.Sprintf("shardId-%012d", index) }

// parseShardID reads shardId-000000000007; the service also takes what has other zeros.
func parseShardID(id string) (int, bool) {
	_, digits, found := strings.Cut(id, "-")
	if !found {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), err == nil
}

// shardKey and placeKey are where a record stands in the hidden table.
func shardKey(shard int) []byte { return binary.BigEndian.AppendUint32([]byte{'S'}, uint32(shard)) }

func placeKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// A stored record: a version, the sequence number, the length of the partition key, the key, the data.
const recordVersion = 1

type record struct {
	key  string
	data []byte
}

func appendRecord(dst []byte, seq uint64, r record) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, recordVersion), seq)
	dst = binary.AppendUvarint(dst, uint64(len(r.key)))
	return append(append(dst, r.key...), r.data...)
}

func parseRecord(raw []byte) (r record, seq uint64, err error) {
	if len(raw) < 10 || raw[0] != recordVersion {
		return r, 0, fmt.Errorf("a stored record of %d bytes that is not of version %d", len(raw), recordVersion)
	}
	seq = binary.BigEndian.Uint64(raw[1:])
	n, used := binary.Uvarint(raw[9:])
	if used <= 0 || n > uint64(len(raw)-9-used) {
		return r, 0, fmt.Errorf("a stored record whose partition key of %d bytes does not fit", n)
	}
	rest := raw[9+used:]
	return record{key: string(rest[:n]), data: bytes.Clone(rest[n:])}, seq, nil
}

// amzTime is how the service's messages write a time.
func amzTime(ms int64) string { return time.UnixMilli(ms).UTC().Format("Mon Jan 02 15:04:05 UTC 2006") }
