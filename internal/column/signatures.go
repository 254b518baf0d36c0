package column

import "dynaferry/internal/item"

// Stats, placeholder while it is written.
type Stats struct{ _ int }

func (s *Stats) Observe(it item.Item)                   {}
func (s *Stats) Merge(o *Stats)                         {}
func (s *Stats) Items() uint64                          { return 0 }
func (s *Stats) AppendBinary(dst []byte) ([]byte, error) { return dst, nil }
func (s *Stats) UnmarshalBinary(data []byte) error      { return nil }
func (s *Stats) Schema(o SchemaOptions) *Schema         { return nil }
func (s *Stats) Misfits(schema *Schema) []Misfit        { return nil }

// ShredOptions ...
type ShredOptions struct {
	Schema *Schema // fixed
	SchemaOptions
}
type Shredder struct{ _ int }

func NewShredder(o ShredOptions) *Shredder     { return nil }
func (s *Shredder) Append(it item.Item) error { return nil }
func (s *Shredder) Rows() int                 { return 0 }
func (s *Shredder) Bytes() int                { return 0 }
func (s *Shredder) Slab() (*Slab, error)               { return nil, nil }
func (s *Shredder) Stats() *Stats             { return nil }

type Assembler struct{ _ int }

func NewAssembler(s *Schema) *Assembler                  { return nil }
func (a *Assembler) Items(s *Slab, b *item.Batch) error { return nil }

func Convert(v *Vector, to Leaf) (*Vector, bool)     { return nil, false }
func Reshape(s *Slab, to *Schema) (*Slab, error) { return nil, nil }

// Work says what data of one schema need to become data of another.
type Work uint8

const (
	Settled Work = iota // nothing but null chunks for missing top-level columns
	Refit               // column by column: Convert, and null leaves for missing members
	Rebuild             // Reshape
)

func Compare(from, to *Schema) Work { return Settled }

func ParseSchema(data []byte) (*Schema, error)           { return nil, nil }
func (s *Schema) AppendJSON(dst []byte) []byte { return nil }
