package item

// Value is a decoded DynamoDB value, for the places that compute with values: expressions, tests, single items.
//
// Str holds the content of an S and the decimal text of an N; Bin the bytes of a B; Bool the truth of a BOOL. List holds
// the elements of an L and the members of a set (as S, N or B values); Map the members of an M. The zero Value has no
// type and is no valid DynamoDB value.
type Value struct {
	Type Type
	Str  string
	Bin  []byte
	Bool bool
	List []Value
	Map  map[string]Value
}
