package feed

import (
	"cmp"
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/planted"
)

// Number is a sequence number: a decimal whole number of at most NumberDigitsMax digits, without leading zeros; "" is 0.
// DynamoDB uses 21 to 40 digits, Kinesis 56, its API allows 129: they differ in width, so they compare as numbers, never
// as text, and fit no machine word.
type Number string

// NumberDigitsMax is what the Kinesis API allows (SequenceNumber).
const NumberDigitsMax = 129

// ParseNumber reads a number and takes its leading zeros away.
func ParseNumber(text string) (Number, error) {
	if text == "" || len(text) > NumberDigitsMax || strings.Trim(text, "0123456789") != "" {
		return "", fault.New(fault.Corrupt, "%.140q is no sequence number", text)
	}
	return Number(strings.TrimLeft(text, "0")), nil
}

// Compare orders numbers by value.
func (n Number) Compare(m Number) int {
	if planted.Is(planted.TextNumbers) {
		return cmp.Compare(n, m)
	}
	if c := cmp.Compare(len(n), len(m)); c != 0 {
		return c
	}
	return cmp.Compare(n, m)
}

// String is the number in digits.
func (n Number) String() string {
	if n == "" {
		return "0"
	}
	return string(n)
}
