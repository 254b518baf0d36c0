package parquet

import (
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
)

// elementsOf is the schema as the footer has it: depth first, the root in front (LogicalTypes.md). Logical and
// converted types are both given, for readers old and new.
func elementsOf(s *column.Schema) []format.SchemaElement {
	children := len(s.Fields)
	if s.Extra != "" {
		children++
	}
	list := []format.SchemaElement{{Name: "schema", NumChildren: thrift.New(int32(children))}}
	for _, f := range s.Fields {
		list = appendElements(list, f)
	}
	if s.Extra != "" {
		list = appendElements(list, &column.Field{Name: s.Extra, Kind: column.JSON})
	}
	return list
}

func appendElements(list []format.SchemaElement, f *column.Field) []format.SchemaElement {
	e := format.SchemaElement{Name: f.Name, RepetitionType: thrift.New(format.Optional)}
	switch f.Kind {
	case column.Struct:
		e.NumChildren = thrift.New(int32(len(f.Fields)))
		list = append(list, e)
		for _, member := range f.Fields {
			list = appendElements(list, member)
		}
		return list
	case column.List:
		e.NumChildren = thrift.New(int32(1))
		e.ConvertedType = thrift.New(deprecated.List)
		e.LogicalType.Value = &format.ListType{}
		list = append(list, e, format.SchemaElement{
			Name: "list", RepetitionType: thrift.New(format.Repeated), NumChildren: thrift.New(int32(1)),
		})
		return appendElements(list, f.Elem)
	}
	e.Type = thrift.New(storageOf(f.Kind).physical())
	switch f.Kind {
	case column.Decimal18, column.Decimal38:
		p, scale := int32(f.Precision()), int32(f.Scale)
		e.ConvertedType = thrift.New(deprecated.Decimal)
		e.Precision, e.Scale = thrift.New(p), thrift.New(scale)
		e.LogicalType.Value = &format.DecimalType{Precision: p, Scale: scale}
		if f.Kind == column.Decimal38 {
			e.TypeLength = thrift.New(int32(fixedBytes))
		}
	case column.String, column.JSON: // JSON as text: some readers choke on the JSON type
		e.ConvertedType = thrift.New(deprecated.UTF8)
		e.LogicalType.Value = &format.StringType{}
	case column.Date:
		e.ConvertedType = thrift.New(deprecated.Date)
		e.LogicalType.Value = &format.DateType{}
	case column.Timestamp:
		e.ConvertedType = thrift.New(deprecated.TimestampMicros)
		e.LogicalType.Value = &format.TimestampType{
			IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: &format.MicroSeconds{}},
		}
	}
	return append(list, e)
}
