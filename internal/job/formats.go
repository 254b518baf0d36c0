package job

import (
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/codec/json"
	"dynaferry/internal/column"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
)

// jsonLosses names what plain JSON could not keep: "tags: SS becomes array".
func jsonLosses(w *json.Writer) map[string]int64 {
	sum := map[string]int64{}
	for _, l := range w.Losses() {
		sum[l.Path+": "+l.What] += l.Count
	}
	return sum
}

func csvLosses(w *csv.Writer) map[string]int64 {
	sum := map[string]int64{}
	for _, l := range w.Losses() {
		sum[l.Path+": "+l.What] += l.Count
	}
	return sum
}

// csvColumns are the columns that a set of items needs, each as what loses nothing: plain text where its type is told by
// the column, DynamoDB JSON elsewhere.
func csvColumns(schema *column.Schema, stats *column.Stats) []csv.Column {
	columns := make([]csv.Column, 0, len(schema.Fields))
	given := map[string]bool{}
	for _, f := range schema.Fields {
		given[f.Source] = true
		c := csv.Column{Name: f.Source, Type: csv.JSON}
		switch f.Kind {
		case column.Long, column.Decimal18, column.Decimal38, column.Double:
			c.Type = csv.Number
		case column.Bool:
			c.Type = csv.Bool
		case column.Binary:
			c.Type = csv.Binary
		case column.String:
			if pure(stats.Types(f.Source)) { // beside text, DynamoDB JSON could not be told from text that looks like it
				c.Type = csv.Text
			}
		}
		columns = append(columns, c)
	}
	// What is only ever NULL has no column in the schema; rows have no _extra to keep it.
	for _, name := range stats.Attributes() {
		if !given[name] {
			columns = append(columns, csv.Column{Name: name, Type: csv.JSON})
		}
	}
	return columns
}

// pure tells whether all values are of one type.
func pure(counts [item.BS + 1]uint64) bool {
	types := 0
	for _, n := range counts {
		if n > 0 {
			types++
		}
	}
	return types == 1
}

// csvWriter turns the settings into those of the codec. Named columns that the user chose are written by each value's type.
func (c *Copy) csvWriter(columns []csv.Column) csv.WriterOptions {
	o := csv.WriterOptions{Columns: columns, AllJSON: c.CSV.Cells == "ddbjson", FormulaSafe: c.CSV.FormulaSafe, Drop: len(c.CSV.Columns) > 0}
	if c.CSV.Delimiter != "" {
		o.Delimiter = c.CSV.Delimiter[0]
	}
	return o
}

// csvSpec is how the CSV files that were written are read back without loss.
func (c *Copy) csvSpec(columns []csv.Column) source.CSVSpec {
	s := source.CSVSpec{Delimiter: c.CSV.Delimiter, Exact: true, FormulaSafe: c.CSV.FormulaSafe}
	if c.CSV.Cells == "ddbjson" {
		s.Cells = "ddbjson"
		return s
	}
	s.Types = map[string]string{}
	for _, col := range columns {
		if col.Type != "" {
			s.Types[col.Name] = string(col.Type)
		}
	}
	return s
}
