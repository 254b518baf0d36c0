package step

import (
	"math/big"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Numbers are decimals of 38 digits, as DynamoDB's. Every operation is exact, or an error; nothing here is a float.

func decimalOf(n int64) item.Decimal {
	d, _ := item.ParseDecimal(new(big.Int).SetInt64(n).Append(nil, 10)) // at most 19 digits
	return d
}

// mantissa is the integer d × 10^-exp.
func mantissa(d item.Decimal, exp int) *big.Int {
	n := new(big.Int).SetUint64(d.Hi)
	n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(d.Lo))
	if d.Neg {
		n.Neg(n)
	}
	if up := int(d.Exp) - exp; up > 0 && d.Digits > 0 {
		n.Mul(n, pow10(up))
	}
	return n
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// decimal is n × 10^exp, or DynamoDB's error where a number cannot hold it.
func decimal(n *big.Int, exp int) (item.Decimal, error) {
	text := append(n.Append(nil, 10), 'e')
	d, err := item.ParseDecimal(big.NewInt(int64(exp)).Append(text, 10))
	if err != nil {
		return d, fault.New(fault.User, "the result is no number that DynamoDB holds exactly: %s", fault.Reason(err))
	}
	return d, nil
}

func addDecimals(a, b item.Decimal) (item.Decimal, error) {
	exp := int(min(a.Exp, b.Exp))
	return decimal(new(big.Int).Add(mantissa(a, exp), mantissa(b, exp)), exp)
}

func negate(d item.Decimal) item.Decimal {
	if d.Digits > 0 {
		d.Neg = !d.Neg
	}
	return d
}

func multiply(a, b item.Decimal) (item.Decimal, error) {
	return decimal(new(big.Int).Mul(mantissa(a, int(a.Exp)), mantissa(b, int(b.Exp))), int(a.Exp)+int(b.Exp))
}

var errZero = fault.New(fault.User, "division by zero")

// divide is the quotient when it ends within 38 digits.
func divide(a, b item.Decimal) (item.Decimal, error) {
	if b.Digits == 0 {
		return b, errZero
	}
	// A quotient that ends has at most as many digits as the divisor's powers of 2 and 5, below 10^38, can ask for: 127.
	const places = 130
	exp := int(a.Exp) - int(b.Exp) - places
	q, rest := new(big.Int).QuoRem(new(big.Int).Mul(mantissa(a, int(a.Exp)), pow10(places)), mantissa(b, int(b.Exp)), new(big.Int))
	if rest.Sign() != 0 {
		return b, fault.New(fault.User, "%s / %s has no end; say how many decimals: div(a, b, 2)", a.Append(nil), b.Append(nil))
	}
	return decimal(q, exp)
}

// divideTo is the quotient rounded half away from zero to so many decimals.
func divideTo(a, b item.Decimal, places int) (item.Decimal, error) {
	if b.Digits == 0 {
		return b, errZero
	}
	exp := int(min(a.Exp, b.Exp))
	up := mantissa(a, exp)
	return decimal(quotient(up.Mul(up, pow10(places)), mantissa(b, exp)), -places)
}

// quotient rounds half away from zero.
func quotient(a, b *big.Int) *big.Int {
	q, rest := new(big.Int).QuoRem(a, b, new(big.Int))
	if rest.Abs(rest).Lsh(rest, 1).CmpAbs(b) >= 0 {
		q.Add(q, big.NewInt(int64(a.Sign()*b.Sign())))
	}
	return q
}

// remainder has the sign of a.
func remainder(a, b item.Decimal) (item.Decimal, error) {
	if b.Digits == 0 {
		return b, errZero
	}
	exp := int(min(a.Exp, b.Exp))
	return decimal(new(big.Int).Rem(mantissa(a, exp), mantissa(b, exp)), exp)
}

// floorTo, ceilTo and roundTo are d at so many decimals: down, up, and half away from zero.
func floorTo(d item.Decimal, places int) (item.Decimal, error) { return atPlaces(d, places, -1) }
func ceilTo(d item.Decimal, places int) (item.Decimal, error)  { return atPlaces(d, places, 1) }
func roundTo(d item.Decimal, places int) (item.Decimal, error) { return atPlaces(d, places, 0) }

func atPlaces(d item.Decimal, places, way int) (item.Decimal, error) {
	if int(d.Exp) >= -places {
		return d, nil
	}
	n, unit := mantissa(d, int(d.Exp)), pow10(-int(d.Exp)-places)
	if way == 0 {
		return decimal(quotient(n, unit), -places)
	}
	q, rest := new(big.Int).QuoRem(n, unit, new(big.Int))
	if rest.Sign() == way {
		q.Add(q, big.NewInt(int64(way)))
	}
	return decimal(q, -places)
}
