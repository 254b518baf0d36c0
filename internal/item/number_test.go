package item_test

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

var nines = strings.Repeat("9", 38)

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "+0": "0", "000": "0", "0.000": "0", "0e99999": "0", "-0E-5": "0", "1": "1", "+1": "1", "-1": "-1", "1.": "1",
		".5": "0.5", "-.5": "-0.5", "007": "7", "1.50": "1.5", "100": "100", "1e2": "100", "1E+2": "100", "12.5e1": "125", "12.5e-3": "0.0125",
		"0.001": "0.001", "100e-2": "1", "1.0E0": "1", "1200.00": "1200", "0.10": "0.1", "10.01": "10.01", "00.0100e2": "1",
		"1E-130": "0." + strings.Repeat("0", 129) + "1",
		"9.9999999999999999999999999999999999999E+125":  nines + strings.Repeat("0", 88),
		"-9.9999999999999999999999999999999999999E+125": "-" + nines + strings.Repeat("0", 88),
		nines: nines, "0." + nines: "0." + nines, nines + "00000": nines + "00000", "1" + strings.Repeat("0", 125): "1" + strings.Repeat("0", 125),
		"0.0" + nines + "e-91": "0." + strings.Repeat("0", 92) + nines,
	} {
		got, err := item.ParseNumber([]byte(text))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
		if again, err := item.ParseNumber([]byte(got)); err != nil || again != got {
			t.Errorf("%s: normal form of the normal form is %s, %v", text, again, err)
		}
		if normal, err := item.CheckNumber([]byte(text)); err != nil || normal != (text == want) {
			t.Errorf("%s: CheckNumber %v, %v", text, normal, err)
		}
		d, err := item.ParseDecimal([]byte(text))
		if err != nil || string(d.Append(nil)) != want {
			t.Errorf("%s: %+v is %s, %v", text, d, d.Append(nil), err)
		}
	}
}

func TestParseNumberRefuses(t *testing.T) {
	const (
		syntax    = "The parameter cannot be converted to a numeric value"
		digits    = "Attempting to store more than 38 significant digits in a Number"
		overflow  = "Number overflow. Attempting to store a number with magnitude larger than supported range"
		underflow = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
	)
	for text, want := range map[string]string{
		"": syntax, "abc": syntax + ": abc", " 1": syntax + ":  1", "1 ": syntax + ": 1 ", "-": syntax + ": -", ".": syntax + ": .",
		"+.": syntax + ": +.", "1e": syntax + ": 1e", "1e+": syntax + ": 1e+", "e1": syntax + ": e1", "1.2.3": syntax + ": 1.2.3", "1e1.5": syntax + ": 1e1.5",
		"NaN": syntax + ": NaN", "Infinity": syntax + ": Infinity", "0x1": syntax + ": 0x1", "1_0": syntax + ": 1_0", "--1": syntax + ": --1",
		"1\x00": syntax + ": 1\x00", "1f": syntax + ": 1f", strings.Repeat("x", 200): syntax + ": " + strings.Repeat("x", 128) + "...",
		nines + "1": digits, "1" + strings.Repeat("0", 37) + "1": digits, "0.1" + strings.Repeat("0", 37) + "1": digits,
		"1e126": overflow, "-1e126": overflow, "10e125": overflow, "1e99999999999999999999999": overflow, nines + "e89": overflow,
		"1e-131": underflow, "-1e-131": underflow, "0.1e-130": underflow, "1e-99999999999999999999999": underflow,
	} {
		got, err := item.AppendNumber([]byte("kept"), []byte(text))
		if err == nil || err.Error() != want || fault.KindOf(err) != fault.User || string(got) != "kept" {
			t.Errorf("%q: %q, %v; want %s", text, got, err, want)
		}
	}
}

// spelled draws a number and a second spelling of it, with the exact value beside.
func spelled(t *rapid.T) (text string, value *big.Rat) {
	text = rapid.StringMatching(`[+-]?0{0,2}[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
	plain := strings.NewReplacer(".e", ".0e", ".E", ".0E").Replace(text) // big wants a digit behind the point
	if strings.HasSuffix(plain, ".") {
		plain += "0"
	}
	value, ok := new(big.Rat).SetString(plain)
	if !ok {
		t.Fatalf("%s is no number to math/big", text)
	}
	return text, value
}

// TestNumberAgainstBig judges values, digits and range by math/big.
func TestNumberAgainstBig(t *testing.T) {
	least, most := rat("1e-130"), rat("9.9999999999999999999999999999999999999e125")
	rapid.Check(t, func(t *rapid.T) {
		text, value := spelled(t)
		magnitude := new(big.Rat).Abs(value)
		normal, err := item.ParseNumber([]byte(text))
		if err != nil {
			digits := strings.Contains(err.Error(), "38 significant")
			inRange := magnitude.Cmp(least) >= 0 && magnitude.Cmp(most) <= 0
			if value.Sign() == 0 || inRange && !digits {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		if value.Sign() != 0 && (magnitude.Cmp(least) < 0 || magnitude.Cmp(most) > 0) {
			t.Fatalf("%s is out of range", text)
		}
		if rat(string(normal)).Cmp(value) != 0 {
			t.Fatalf("%s became %s", text, normal)
		}
		if !wellFormed(string(normal)) {
			t.Fatalf("%s is no normal form", normal)
		}
		if d, _ := item.ParseDecimal([]byte(text)); string(d.Append(nil)) != string(normal) {
			t.Fatalf("%s: decimal %+v", text, d)
		}
	})
}

func rat(text string) *big.Rat {
	r, _ := new(big.Rat).SetString(text)
	return r
}

// wellFormed says what a normal form looks like, in other words than the code does.
func wellFormed(n string) bool {
	n = strings.TrimPrefix(n, "-")
	whole, fraction, point := strings.Cut(n, ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || point && (fraction == "" || strings.HasSuffix(fraction, "0")) {
		return false
	}
	return strings.Trim(whole+fraction, "0123456789") == ""
}

func TestDecimalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, av := spelled(t)
		b, bv := spelled(t)
		da, errA := item.ParseDecimal([]byte(a))
		db, errB := item.ParseDecimal([]byte(b))
		if errA != nil || errB != nil {
			return
		}
		want := av.Cmp(bv)
		if got := da.Compare(db); got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
		if got := strings.Compare(string(da.AppendSortable(nil)), string(db.AppendSortable(nil))); got != want {
			t.Fatalf("%s against %s: sortable bytes say %d, want %d", a, b, got, want)
		}
		if (da == db) != (want == 0) {
			t.Fatalf("%s and %s: %+v, %+v", a, b, da, db)
		}
		v, ok := da.Int()
		if isInt := av.IsInt() && av.Num().IsInt64(); ok != isInt || ok && v != av.Num().Int64() {
			t.Fatalf("%s as integer: %d, %v", a, v, ok)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0.5e10", "1e-130", nines, "1.", ".5", "+1", "1e400", "abc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		normal, err := item.ParseNumber([]byte(text))
		if err != nil {
			return
		}
		if !wellFormed(string(normal)) || len(normal) > item.NumberBytesMax {
			t.Fatalf("%q became %q", text, normal)
		}
		if again, err := item.ParseNumber([]byte(normal)); err != nil || again != normal {
			t.Fatalf("%q became %q, then %q, %v", text, normal, again, err)
		}
	})
}
