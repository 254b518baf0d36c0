package delivery

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/blob"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// prefixes are the compiled expressions of Settings.
type prefixes struct {
	data, errors []segment
	zone         *time.Location
	keys         []PartitionKey
	timed, keyed bool  // what of a change the data's prefix depends on
	step         int64 // ns: within a multiple of it the time in the prefix does not change
}

// segment is a piece of a prefix: text, or what an expression gives.
type segment struct {
	text   string
	time   []timeField
	key    int  // index of the partition key + 1
	random bool // firehose:random-string
	kind   bool // firehose:error-output-type
}

var expressions = regexp.MustCompile(`!\{[^}]*\}?`)

const (
	prefixBytesMax = 1024 // of an expression (API); 512 of what it becomes
	keysMax        = 50   // partition keys
)

// compile parses the expressions of Settings. Errors are of kind User and quote the expression.
func (s *Settings) compile() (*prefixes, error) {
	p := &prefixes{zone: time.UTC, keys: s.Partition, step: int64(quarter)}
	if s.TimeZone != "" {
		var err error
		if p.zone, err = time.LoadLocation(s.TimeZone); err != nil {
			return nil, fault.Hint(fault.New(fault.User, "unknown time zone %q", s.TimeZone), "use a name of the IANA data base: Europe/Berlin")
		}
	}
	if err := checkKeys(s.Partition); err != nil {
		return nil, err
	}
	var err error
	if p.data, err = p.parse("--prefix", s.Prefix, false); err != nil {
		return nil, err
	}
	used := map[int]bool{}
	for _, g := range p.data {
		p.timed, p.keyed = p.timed || g.time != nil, p.keyed || g.key > 0
		used[g.key] = true
		for _, f := range g.time {
			p.step = min(p.step, f.step)
		}
	}
	for i, k := range s.Partition {
		if !used[i+1] {
			return nil, fault.Hint(fault.New(fault.User, "--partition-key %s is not in --prefix", k.Name), "write !{partitionKeyFromQuery:%s} into --prefix", k.Name)
		}
	}
	if s.Prefix != "" && !p.timed { // as Firehose does
		folders, err := parseTimePattern("yyyy/MM/dd/HH/")
		if err != nil {
			return nil, err
		}
		p.data, p.timed = append(p.data, segment{time: folders}), true
	}
	if p.errors, err = p.parse("--error-prefix", s.ErrorPrefix, true); err != nil {
		return nil, err
	}
	if s.ErrorPrefix != "" && !slices.ContainsFunc(p.errors, func(g segment) bool { return g.kind }) && expressions.MatchString(s.ErrorPrefix) {
		return nil, fault.Hint(fault.New(fault.User, "--error-prefix %q has expressions and not !{firehose:error-output-type}", s.ErrorPrefix),
			"add !{firehose:error-output-type}/, as Firehose asks")
	}
	return p, nil
}

func checkKeys(keys []PartitionKey) error {
	if len(keys) > keysMax {
		return fault.New(fault.User, "%d partition keys; at most %d", len(keys), keysMax)
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if k.Name == "" || len(k.Path) == 0 || slices.Contains(k.Path, "") {
			return fault.Hint(fault.New(fault.User, "--partition-key %q: a name and an attribute make one", k.Name), "for instance --partition-key city=address.city")
		}
		if seen[k.Name] {
			return fault.New(fault.User, "--partition-key %s twice", k.Name)
		}
		seen[k.Name] = true
	}
	return nil
}

// ParsePartitionKey reads name=path.of.attribute; a name alone is the attribute's.
func ParsePartitionKey(text string) (PartitionKey, error) {
	name, path, ok := strings.Cut(text, "=")
	if !ok {
		path = name
	}
	k := PartitionKey{Name: name, Path: strings.Split(path, ".")}
	return k, checkKeys([]PartitionKey{k})
}

func (p *prefixes) parse(flag, text string, errors bool) (segments []segment, err error) {
	wrong := func(format string, args ...any) error {
		return fault.New(fault.User, "%s %q: %w", flag, text, fault.New(fault.User, format, args...))
	}
	if len(text) > prefixBytesMax {
		return nil, wrong("%d bytes; at most %d", len(text), prefixBytesMax)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return nil, wrong("control characters have no place in names")
	}
	at := 0
	for _, m := range expressions.FindAllStringIndex(text, -1) {
		if m[0] > at {
			segments = append(segments, segment{text: text[at:m[0]]})
		}
		at = m[1]
		expression := text[m[0]:m[1]]
		space, value, ok := strings.Cut(strings.TrimSuffix(expression[2:], "}"), ":")
		if !strings.HasSuffix(expression, "}") || !ok {
			return nil, wrong("%s is no expression; they look like !{timestamp:yyyy/MM/dd}", expression)
		}
		g := segment{}
		switch {
		case space == "timestamp":
			if g.time, err = parseTimePattern(value); err != nil {
				return nil, wrong("%w", err)
			}
		case space == "firehose" && value == "random-string":
			g.random = true
		case space == "firehose" && value == "error-output-type" && errors:
			g.kind = true
		case space == "firehose" && value == "error-output-type":
			return nil, wrong("!{firehose:error-output-type} is of --error-prefix alone")
		case space == "partitionKeyFromQuery" && !errors:
			i := slices.IndexFunc(p.keys, func(k PartitionKey) bool { return k.Name == value })
			if i < 0 {
				return nil, fault.Hint(wrong("no --partition-key is called %s", value), "--partition-key %s=path.of.attribute", value)
			}
			g.key = i + 1
		case space == "partitionKeyFromLambda":
			return nil, fault.Hint(wrong("partition keys come from attributes here, not from a Lambda's metadata"),
				"let a step set an attribute, and name it: --partition-key %s=%s and !{partitionKeyFromQuery:%s}", value, value, value)
		case space == "partitionKeyFromQuery":
			return nil, wrong("partition keys are of --prefix alone: a refused record may have none")
		default:
			return nil, fault.Hint(wrong("unknown expression %s", expression),
				"use timestamp:PATTERN, partitionKeyFromQuery:NAME, firehose:random-string or firehose:error-output-type")
		}
		segments = append(segments, g)
	}
	if at < len(text) {
		segments = append(segments, segment{text: text[at:]})
	}
	return segments, nil
}

// constant tells that all changes of a span have one prefix.
func (p *prefixes) constant() bool { return !p.timed && !p.keyed }

// subject is what a prefix is evaluated for. Random strings come from seed, so that the same epoch makes the same ones;
// without one their places are marked, for as long as the file is not known.
type subject struct {
	micros int64
	values []string // of the partition keys
	seed   string
	kind   string
}

func (p *prefixes) render(segments []segment, s subject) string {
	var b strings.Builder
	var t time.Time
	for i := range segments {
		switch g := &segments[i]; {
		case g.time != nil:
			if t.IsZero() {
				t = time.UnixMicro(s.micros).In(p.zone)
			}
			for j := range g.time {
				b.WriteString(g.time[j].text(t))
			}
		case g.key > 0:
			b.WriteString(s.values[g.key-1])
		case g.random:
			if s.seed == "" {
				b.WriteString(mark(i))
			} else {
				b.WriteString(randomString(fmt.Sprintf("%s %d", s.seed, i)))
			}
		case g.kind:
			b.WriteString(s.kind)
		default:
			b.WriteString(g.text)
		}
	}
	return b.String()
}

// mark stands for the random string of segment i; no prefix and no value has control characters.
func mark(i int) string { return fmt.Sprintf("\x01%d\x01", i) }

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// randomString is 11 letters and digits, as Firehose's, that look random and are a function of the seed.
func randomString(seed string) string {
	sum := xxh3.HashString128(seed)
	out := make([]byte, 11)
	for i := range out {
		out[i] = letters[sum.Lo%uint64(len(letters))]
		if sum.Lo /= uint64(len(letters)); i == 5 {
			sum.Lo = sum.Hi
		}
	}
	return string(out)
}

// valueBytesMax is how long a partition key's value may be in a name; of longer ones the end is a hash.
const valueBytesMax = 200

// keyValue is a partition key's value in a prefix: escaped as in Hive's folders, and Hive's word for none where the attribute is
// missing or is no scalar.
func keyValue(it item.Item, path []string) string {
	text := ""
	if at, ok := find(it, path); ok {
		switch it.Tape[at].Type {
		case item.S, item.B:
			text = string(it.Text(at))
		case item.N:
			text = string(it.AppendNumber(nil, at))
		case item.BOOL:
			text = strconv.FormatBool(it.Bool(at))
		}
	}
	text = strings.TrimPrefix(dataset.Segment("", text), "=")
	if len(text) <= valueBytesMax {
		return text
	}
	sum := xxh3.HashString128(text)
	cut := text[:valueBytesMax-33]
	if i := strings.LastIndexByte(cut, '%'); i > len(cut)-3 {
		cut = cut[:i] // not in the middle of an escape
	}
	return strings.ToValidUTF8(cut, "") + fmt.Sprintf("~%016x%016x", sum.Hi, sum.Lo)
}

// find follows a path of names.
func find(it item.Item, path []string) (at int, ok bool) {
	if len(it.Tape) == 0 {
		return 0, false
	}
	for i, name := range path {
		if i > 0 && it.Tape[at].Type != item.M {
			return 0, false
		}
		if at, ok = it.Member(at, name); !ok {
			return 0, false
		}
	}
	return at, true
}

// cleanName makes an object's name of a prefix and a file's: Firehose's keys may hold empty segments and those that walk the
// tree, names here may not.
func cleanName(name string) (string, error) {
	parts := strings.Split(name, "/")
	kept := parts[:0]
	for _, part := range parts {
		switch part {
		case "":
			continue
		case ".", "..":
			part = strings.ReplaceAll(part, ".", "%2E")
		}
		kept = append(kept, strings.NewReplacer("\\", "%5C", "\x00", "%00").Replace(part))
	}
	if len(kept) > 0 && kept[0] == dataset.Hidden {
		kept[0] = "%5F" + kept[0][1:] // what is ours is not mixed with what is the reader's
	}
	name = strings.Join(kept, "/")
	return name, blob.CheckName(name)
}
