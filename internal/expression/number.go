package expression

import (
	"math/big"

	"dynaferry/internal/item"
)

// Add returns the exact sum of two numbers in normal form. A sum that needs more than 38 digits, or whose magnitude
// leaves DynamoDB's range, is refused in the service's words; it is never rounded.
func Add(a, b item.Value) (item.Value, error) { return sum(a, b, false) }

// Subtract returns the exact difference a - b; see Add.
func Subtract(a, b item.Value) (item.Value, error) { return sum(a, b, true) }

func sum(a, b item.Value, negate bool) (item.Value, error) {
	x, err := item.ParseDecimal([]byte(a.Str))
	if err != nil {
		return item.Value{}, err
	}
	y, err := item.ParseDecimal([]byte(b.Str))
	if err != nil {
		return item.Value{}, err
	}
	if negate && y.Digits > 0 {
		y.Neg = !y.Neg
	}
	if x.Digits == 0 {
		x.Exp = y.Exp
	} else if y.Digits == 0 {
		y.Exp = x.Exp
	}
	exp := min(x.Exp, y.Exp)
	// At most 255 powers of ten apart: the wider number has under 300 digits.
	text := new(big.Int).Add(scaled(x, exp), scaled(y, exp)).Append(nil, 10)
	number, err := item.ParseNumber(appendExponent(text, int64(exp)))
	return item.Value{Type: item.N, Str: string(number)}, err
}

// scaled returns d as an integer multiple of 10^exp, exp not above d's.
func scaled(d item.Decimal, exp int16) *big.Int {
	n := new(big.Int).SetUint64(d.Hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(d.Lo))
	if d.Neg {
		n.Neg(n)
	}
	return n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Exp-exp)), nil))
}

func appendExponent(text []byte, exp int64) []byte {
	return big.NewInt(exp).Append(append(text, 'e'), 10)
}
