package item

import (
	"encoding/json"

	"dynaferry/internal/fault"
)

// KeyAttr is one attribute of a key: its name and type S, N or B.
type KeyAttr struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// KeySchema is the primary key of a table. Range.Name is "" when there is no sort key. Its JSON form is
// {"hash":{"name":"pk","type":"S"},"range":{"name":"sk","type":"N"}}, range left out when there is none.
type KeySchema struct {
	Hash  KeyAttr
	Range KeyAttr
}

type keySchemaJSON struct {
	Hash  KeyAttr  `json:"hash"`
	Range *KeyAttr `json:"range,omitempty"`
}

// MarshalJSON writes the JSON form.
func (k KeySchema) MarshalJSON() ([]byte, error) {
	form := keySchemaJSON{Hash: k.Hash}
	if k.Range.Name != "" {
		form.Range = &k.Range
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads the JSON form and refuses key attributes that are none.
func (k *KeySchema) UnmarshalJSON(text []byte) error {
	var form keySchemaJSON
	if err := json.Unmarshal(text, &form); err != nil {
		return fault.As(fault.User, err)
	}
	read := KeySchema{Hash: form.Hash}
	if form.Range != nil {
		read.Range = *form.Range
		if read.Range.Name == "" {
			return fault.New(fault.User, "range key without name")
		}
	}
	if err := read.Check(); err != nil {
		return err
	}
	*k = read
	return nil
}

// Check tells what is wrong with the schema itself: a missing name, a type that keys cannot have, one name twice.
func (k KeySchema) Check() error {
	if k.Hash.Name == "" {
		return fault.New(fault.User, "hash key without name")
	}
	for _, attr := range k.Attrs() {
		if attr.Type != S && attr.Type != N && attr.Type != B {
			return fault.New(fault.User, "key attribute %s has type %s; keys are S, N or B", attr.Name, attr.Type)
		}
	}
	if k.Hash.Name == k.Range.Name {
		return fault.New(fault.User, "hash and range key are both named %s", k.Hash.Name)
	}
	return nil
}

// Attrs returns the one or two attributes of the key.
func (k KeySchema) Attrs() []KeyAttr {
	if k.Range.Name == "" {
		return []KeyAttr{k.Hash}
	}
	return []KeyAttr{k.Hash, k.Range}
}

// Empty tells that no key is known.
func (k KeySchema) Empty() bool { return k.Hash.Name == "" }

// find returns the tape index of a key attribute, or an error that names it in DynamoDB's words.
func (a KeyAttr) find(it Item) (int, error) {
	i, ok := it.Get(a.Name)
	if !ok {
		return 0, fault.New(fault.User,
			"One or more parameter values were invalid: Missing the key %s in the item", a.Name)
	}
	if got := it.Tape[i].Type; got != a.Type {
		return 0, fault.New(fault.User,
			"One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s",
			a.Name, a.Type, got)
	}
	return i, nil
}

// AppendKey appends the item's key as bytes that are equal exactly when DynamoDB holds the keys for equal, and that
// sort as DynamoDB sorts: hash attribute first, strings and binary by their bytes, numbers by value. Errors name the
// missing or ill-typed attribute.
func (k KeySchema) AppendKey(dst []byte, it Item) ([]byte, error) {
	i, err := k.Hash.find(it)
	if err != nil {
		return dst, err
	}
	if k.Range.Name == "" {
		return it.AppendSortable(dst, i), nil
	}
	j, err := k.Range.find(it)
	if err != nil {
		return dst, err
	}
	return it.AppendSortable(it.AppendSortable(dst, i), j), nil
}

// AppendKeyJSON appends the key as canonical DynamoDB JSON, hash attribute first: {"pk":{"S":"a"},"sk":{"N":"1"}}.
func (k KeySchema) AppendKeyJSON(dst []byte, it Item) ([]byte, error) {
	start := len(dst)
	for n, attr := range k.Attrs() {
		i, err := attr.find(it)
		if err != nil {
			return dst[:start], err
		}
		if n == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, []byte(attr.Name))
		dst = append(dst, ':')
		dst = AppendCanonicalValue(dst, it, i)
	}
	return append(dst, '}'), nil
}

// AppendSortable appends the S, N or B value at index i as bytes whose order is DynamoDB's order of the values, and of
// which none is a prefix of another, so that several can follow each other.
func (it Item) AppendSortable(dst []byte, i int) []byte {
	switch it.Tape[i].Type {
	case N:
		return it.Decimal(i).AppendSortable(append(dst, 'N'))
	case B:
		return appendSortableBytes(append(dst, 'B'), it.Bytes(i, nil))
	}
	return appendSortableBytes(append(dst, 'S'), it.Text(i))
}

// appendSortableBytes writes 0 as 0 255 and ends with 0, which no type letter that may follow exceeds.
func appendSortableBytes(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, c)
		if c == 0 {
			dst = append(dst, 255)
		}
	}
	return append(dst, 0)
}

// The first bytes of sortable numbers.
const (
	sortableNegative = 1
	sortableZero     = 2
	sortablePositive = 3
)

// AppendSortable appends bytes whose order is that of the values: the sign, the power of ten of the first digit, the
// digits in pairs and an end; all but the sign complemented for negative numbers.
func (d Decimal) AppendSortable(dst []byte) []byte {
	if d.Digits == 0 {
		return append(dst, sortableZero)
	}
	sign, flip := byte(sortablePositive), byte(0)
	if d.Neg {
		sign, flip = sortableNegative, 255
	}
	var space [NumberDigitsMax + 1]byte
	text := d.digits(space[:0])
	top := uint16(int(d.Exp) + len(text) - NumberExpMin) // 1..256
	dst = append(dst, sign, byte(top>>8)^flip, byte(top)^flip)
	if len(text)%2 == 1 {
		text = append(text, '0')
	}
	for ; len(text) > 0; text = text[2:] {
		pair := (text[0]-'0')*10 + text[1] - '0' + 1
		dst = append(dst, pair^flip)
	}
	return append(dst, flip)
}
