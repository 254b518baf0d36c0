package item

// Type is a DynamoDB attribute type, or Name for the token in front of a map's member.
type Type uint8

// The ten types of DynamoDB in its own letters, and Name.
const (
	S Type = 1 + iota
	N
	B
	BOOL
	NULL
	L
	M
	SS
	NS
	BS
	Name
)

var typeNames = [...]string{"", "S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS", "name"}

// String returns DynamoDB's descriptor.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "?"
}

// IsSet tells whether the type is one of the three set types.
func (t Type) IsSet() bool { return t >= SS && t <= BS }

// Member returns the type of a set's members, 0 for other types.
func (t Type) Member() Type {
	if t.IsSet() {
		return t - SS + S
	}
	return 0
}

// Flags are what the tokenizer learnt in passing, so that nobody has to look again.
type Flags uint8

const (
	// Escaped: the string content holds a backslash; Text must unescape it.
	Escaped Flags = 1 << iota
	// True: a BOOL that is true.
	True
	// Normal: an N already in DynamoDB's normal form (see Number), so its bytes are its canonical text.
	Normal
	// NonASCII: the string content holds bytes above 0x7F (valid UTF-8).
	NonASCII
)

// Token is one value, member name or container on a tape; 16 bytes.
//
// For S, N, B and Name, Src[Off:End] is the JSON string's content between the quotes, still escaped, B still base64.
// For BOOL and NULL it is the literal. For containers it is the inner JSON value from its opening to behind its closing
// bracket, without the type wrapper around it: {"L":[...]} gives "[...]".
//
// Skip counts the tokens of this value including itself, so the next sibling of tape[i] is tape[i+Skip]. A map's
// children are pairs of a Name and a value; a list's children are values; a set's are S, N or B tokens.
type Token struct {
	Off, End uint32
	Skip     uint32
	Type     Type
	Flags    Flags
	_        uint16
}

// Item is a view of one item: Tape[0] is the M token of the whole item and Tape[0].Skip == len(Tape). Offsets point into Src,
// which may hold other items too. An Item is valid as long as its Batch is neither reset nor appended to.
type Item struct {
	Src  []byte
	Tape []Token
}

// BatchBytesMax bounds Batch.Src: offsets are 32 bits and readers keep well below.
const BatchBytesMax = 1 << 30

// Slack is the number of readable bytes that every Batch.Src keeps behind its length, so that word-wise loads of the
// tokenizer and hashers stay inside the allocation.
const Slack = 64

// Row is one item of a batch.
type Row struct {
	First uint32 // index of the item's M token in Batch.Tape; its offsets are into Batch.Src
	Line  uint32 // number of its line or record relative to Batch.FirstLine
}

// Batch is a run of items that share bytes and a tape. It is handed over, never shared: whoever gets it may keep it
// until it gives it back, and Reset makes it empty for the next use.
type Batch struct {
	Src  []byte
	Tape []Token
	Rows []Row

	File      string // where the items came from, for errors and dead letters
	FirstLine int64  // line (or record) number of Row.Line 0, counted from 1
	Offset    int64  // byte offset of Src[0] in the decompressed stream
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.Src, b.Tape, b.Rows = b.Src[:0], b.Tape[:0], b.Rows[:0]
	b.File, b.FirstLine, b.Offset = "", 0, 0
}

// Len is the number of items.
func (b *Batch) Len() int { return len(b.Rows) }

// Item returns the i-th item as a view.
func (b *Batch) Item(i int) Item {
	first := b.Rows[i].First
	return Item{Src: b.Src, Tape: b.Tape[first : first+b.Tape[first].Skip]}
}

// Raw returns the item's attribute map in DynamoDB JSON, as it came: {"Id":{"N":"1"},...}.
func (it Item) Raw() []byte { return it.Src[it.Tape[0].Off:it.Tape[0].End] }
