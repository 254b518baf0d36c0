package parquet

import (
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
)

// storage says how values of a kind lie in a file.
type storage uint8

const (
	asLong   storage = iota // INT64; Vector.Longs
	asDate                  // INT32; Vector.Longs
	asDouble                // DOUBLE; Vector.Doubles
	asBool                  // BOOLEAN; Vector.Bools
	asBytes                 // BYTE_ARRAY; Vector.Bytes and Ends
	asFixed                 // FIXED_LEN_BYTE_ARRAY(16); Vector.Bytes and Ends
)

func storageOf(k column.Kind) storage {
	switch k {
	case column.Long, column.Decimal18, column.Timestamp:
		return asLong
	case column.Date:
		return asDate
	case column.Double:
		return asDouble
	case column.Bool:
		return asBool
	case column.Decimal38:
		return asFixed
	default:
		return asBytes
	}
}

// fixedBytes is the width of a Decimal38.
const fixedBytes = 16

func (s storage) physical() format.Type {
	switch s {
	case asLong:
		return format.Int64
	case asDate:
		return format.Int32
	case asDouble:
		return format.Double
	case asBool:
		return format.Boolean
	case asFixed:
		return format.FixedLenByteArray
	default:
		return format.ByteArray
	}
}
