package item

// Number is a decimal in DynamoDB's normal form.
type Number string

// Decimal is stub.
type Decimal struct {
	Hi, Lo uint64
	Neg    bool
	Digits uint8
	Exp    int16
}

func ParseNumber(text []byte) (Number, error)        { panic("later") }
func AppendNumber(dst, text []byte) ([]byte, error)  { panic("later") }
func ParseDecimal(text []byte) (Decimal, error)      { panic("later") }
func (d Decimal) Append(dst []byte) []byte           { panic("later") }
func (it Item) Get(name string) (i int, ok bool)     { panic("later") }
func (it Item) Text(i int) []byte                    { panic("later") }
func (it Item) AppendText(dst []byte, i int) []byte  { panic("later") }
func (it Item) Bytes(i int, dst []byte) []byte       { panic("later") }
func (it Item) Value(i int) Value                    { panic("later") }
func (it Item) Map() map[string]Value                { panic("later") }
func (it Item) AppendValue(dst []byte, i int) []byte { panic("later") }
func AppendValue(dst []byte, v Value) []byte         { panic("later") }
func AppendString(dst []byte, s []byte) []byte       { panic("later") }

type Builder struct{ b *Batch }

func NewBuilder(b *Batch) *Builder          { return &Builder{b: b} }
func (w *Builder) Reset(b *Batch)           { panic("later") }
func (w *Builder) Begin(line uint32)        { panic("later") }
func (w *Builder) Name(name string)         { panic("later") }
func (w *Builder) String(s []byte)          { panic("later") }
func (w *Builder) Number(text []byte) error { panic("later") }
func (w *Builder) Int(v int64)              { panic("later") }
func (w *Builder) Decimal(d Decimal)        { panic("later") }
func (w *Builder) Binary(data []byte)       { panic("later") }
func (w *Builder) Bool(v bool)              { panic("later") }
func (w *Builder) Null()                    { panic("later") }
func (w *Builder) BeginMap()                { panic("later") }
func (w *Builder) BeginList()               { panic("later") }
func (w *Builder) BeginSet(t Type)          { panic("later") }
func (w *Builder) End()                     { panic("later") }
func (w *Builder) Raw(it Item, i int)       { panic("later") }
func (w *Builder) Value(v Value) error      { panic("later") }
func (w *Builder) Finish()                  { panic("later") }
func (w *Builder) Abort()                   { panic("later") }

func AppendCanonical(dst []byte, it Item) []byte { panic("later") }
func Size(it Item) int                           { panic("later") }

func ReadUnits(size int, consistent bool) float64 { panic("later") }
func WriteUnits(size int) float64                 { panic("later") }

type KeyAttr struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}
type KeySchema struct {
	Hash  KeyAttr
	Range KeyAttr
}

func (k KeySchema) AppendKey(dst []byte, it Item) ([]byte, error)     { panic("later") }
func (k KeySchema) AppendKeyJSON(dst []byte, it Item) ([]byte, error) { panic("later") }
func Validate(it Item, k *KeySchema) error                            { panic("later") }

type Hash [4]uint64
type Hasher struct{}

func (h *Hasher) Item(it Item) Hash { panic("later") }

type Fingerprint struct {
	Count uint64
	Sum   Hash
}

func (f *Fingerprint) Add(h Hash)                       { panic("later") }
func (f *Fingerprint) Merge(g Fingerprint)              { panic("later") }
func (f Fingerprint) String() string                    { panic("later") }
func ParseFingerprint(text string) (Fingerprint, error) { panic("later") }
func (f Fingerprint) MarshalText() ([]byte, error)      { panic("later") }
func (f *Fingerprint) UnmarshalText(text []byte) error  { panic("later") }

type Buckets []Fingerprint

func BucketOf(key []byte, n int) int            { panic("later") }
func (b Buckets) Add(key []byte, h Hash)        { panic("later") }
func (b Buckets) Merge(c Buckets)               { panic("later") }
func (b Buckets) Sum() Fingerprint              { panic("later") }
func (b Buckets) String() string                { panic("later") }
func ParseBuckets(text string) (Buckets, error) { panic("later") }
