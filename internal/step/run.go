package step

import (
	"context"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Op is what a change did to its item.
type Op string

// The operations, in the words of DynamoDB Streams.
const (
	Insert Op = "INSERT"
	Modify Op = "MODIFY"
	Remove Op = "REMOVE"
)

// Facts are what is known of a change beside its images. Of an item that is copied all are zero.
type Facts struct {
	Op       Op
	Micros   int64  // approximate time of the change in µs since 1970
	Position string // in its stream, for those who are told of a refusal
	TTL      bool   // DynamoDB itself deleted the item when it had expired
}

// Change is one change of a batch: its key and images are indices of Batch.Rows, item.NoImage for one that it has not.
type Change struct {
	Keys, New, Old int32
	Facts
}

// Env is what a Runner takes from the world around.
type Env struct {
	// Plan is the time that the plan was made, for steps that write it; zero refuses them.
	Plan time.Time
	// Open reads all items of an address, for lookup; nil refuses it.
	Open func(ctx context.Context, address string, each func(*item.Batch) error) error
	// MemoryMax bounds each table that a lookup holds, in bytes; 0 is lookupBytesMax.
	MemoryMax int64
	// Getenv reads an environment variable for keys of secrets; nil is the process's own.
	Getenv func(name string) (string, bool)
	// Now is the clock of now(); nil is the machine's.
	Now func() time.Time
}

// Refusal is an item or change that a step could not take.
type Refusal struct {
	Row    int       // its index in the batch, or in the list of changes, as it was given
	Line   uint32    // of its row
	Item   item.Item // as it was before the first step; of a change its new image, else its old one, else its keys
	Reason error     // an *Error
}

// Refuse takes what cannot pass; the item is valid during the call. An error stops the Runner with it.
type Refuse func(Refusal) error

// Runner applies a chain. It holds memory, and programs that were started, of one goroutine: it is not for concurrent use,
// and Close ends it.
type Runner struct {
	env     Env
	ctx     context.Context // of Start: programs live as long
	workers []worker
	steps   []parsed
	spare   item.Batch
	records []record
	at      subject // of the record at hand
	build   *item.Builder
	owned   bool // the batch at hand has memory that it may be appended to
	lent    bool // the memory of the batch at hand may be looked at by others
	states  bool // the changes at hand tell what items became: one that does not pass is a deletion

	// Dropped and Refused count what has not passed so far.
	Dropped, Refused int64
}

// worker is a step in one Runner: a judge, an itemWorker, both in this order, or a crowd.
type worker any

// itemWorker makes another item of an item. Without a change it returns false and has written nothing; else it has written
// the members of the item, between Begin and Finish. An error is about this item.
type itemWorker interface {
	image(w *item.Builder, it item.Item, s *subject) (changed bool, err error)
	// touches tells in advance whether image would write; when unsure it says yes.
	touches(it item.Item) bool
}

// judge tells whether an item or a change passes.
type judge interface {
	passes(s *subject) (bool, error)
}

// crowd takes all records of a batch at once.
type crowd interface {
	all(r *Runner, b *item.Batch, s []*record) error
}

// subject is the record at hand as steps see it.
type subject struct {
	*Facts
	new, old, keys item.Item // without tape where there is none
	inKey          bool      // it is the key that is worked on, apart from the images
}

// current is the item as it is now, or as it last was.
func (s *subject) current() item.Item {
	switch {
	case s.new.Tape != nil:
		return s.new
	case s.old.Tape != nil:
		return s.old
	}
	return s.keys
}

// record is an item or a change on its way through the chain.
type record struct {
	index          int
	keys, new, old int32
	facts          *Facts
	before         uint32 // tape index of the item as it came
	line           uint32
	out            error // why it was refused
	gone           bool  // dropped or refused
}

var noFacts Facts

// Start makes a Runner: secrets are read and tables of lookups loaded now. Errors are the step's.
func (c *Chain) Start(ctx context.Context, env Env) (*Runner, error) {
	r := &Runner{env: env, ctx: ctx}
	if c.Empty() {
		return r, nil
	}
	r.steps = c.steps
	for i := range c.steps {
		s := &c.steps[i]
		w, err := s.start(r)
		if err != nil {
			r.Close()
			return nil, &Error{Number: s.number, Text: s.text, Err: err}
		}
		r.workers = append(r.workers, w)
	}
	return r, nil
}

// Close ends programs that steps have started.
func (r *Runner) Close() {
	for _, w := range r.workers {
		if c, ok := w.(interface{ close() }); ok {
			c.close()
		}
	}
	r.workers = nil
}

// Items applies the chain to every item of b, in order. b then holds those that passed; a changed one has memory of its
// own, which b took over. Without steps b is not touched.
func (r *Runner) Items(ctx context.Context, b *item.Batch, refuse Refuse) error {
	if len(r.workers) == 0 || b.Len() == 0 {
		return nil
	}
	r.records = r.records[:0]
	for i, row := range b.Rows {
		r.records = append(r.records, record{index: i, keys: item.NoImage, new: int32(i), old: item.NoImage, facts: &noFacts, before: row.First, line: row.Line})
	}
	r.lent, r.states = false, false
	if err := r.run(ctx, b, refuse); err != nil {
		return err
	}
	rows := b.Rows[:0]
	for i := range r.records {
		if !r.records[i].gone {
			rows = append(rows, b.Rows[i])
		}
	}
	b.Rows = rows
	return nil
}

// Changes applies the chain to the changes of b: a filter judges each once, everything else works on both images and the
// keys alike. The changes that passed are returned in order, in the memory of list; their indices stay what they were.
func (r *Runner) Changes(ctx context.Context, b *item.Batch, list []Change, refuse Refuse) ([]Change, error) {
	if len(r.workers) == 0 || len(list) == 0 {
		return list, nil
	}
	r.gather(b, list)
	r.lent, r.states = true, false
	if err := r.run(ctx, b, refuse); err != nil {
		return nil, err
	}
	passed := list[:0]
	for i := range r.records {
		if !r.records[i].gone {
			passed = append(passed, list[i])
		}
	}
	return passed, nil
}

// States applies the chain to what changes left of their items, so that a table which takes them holds what it would hold if its
// items had gone through Items: steps see each new image as such an item, and facts are none. A change whose new image does not
// pass is one without it from there on, whose old image that was: who keeps the table must not keep what the item was before. What
// has no new image passes every filter, and no program is asked; keys and old images follow the other steps. The changes that were
// not refused are returned in order, in the memory of list; Dropped does not count them.
func (r *Runner) States(ctx context.Context, b *item.Batch, list []Change, refuse Refuse) ([]Change, error) {
	if len(r.workers) == 0 || len(list) == 0 {
		return list, nil
	}
	r.gather(b, list)
	for i := range r.records {
		r.records[i].facts = &noFacts
	}
	r.lent, r.states = false, true
	if err := r.run(ctx, b, refuse); err != nil {
		return nil, err
	}
	passed := list[:0]
	for i := range r.records {
		rec := &r.records[i]
		if c := list[i]; !rec.gone {
			c.New, c.Old = rec.new, rec.old
			passed = append(passed, c)
		}
	}
	return passed, nil
}

// gather makes records of changes.
func (r *Runner) gather(b *item.Batch, list []Change) {
	r.records = r.records[:0]
	for i := range list {
		c := &list[i]
		n := record{index: i, keys: c.Keys, new: c.New, old: c.Old, facts: &c.Facts}
		for _, row := range []int32{c.Keys, c.Old, c.New} {
			if row != item.NoImage {
				n.before, n.line = b.Rows[row].First, b.Rows[row].Line
			}
		}
		r.records = append(r.records, n)
	}
}

func (r *Runner) run(ctx context.Context, b *item.Batch, refuse Refuse) error {
	r.owned = false
	for n, w := range r.workers {
		var err error
		if w, ok := w.(judge); ok {
			r.judge(b, w)
		}
		if w, ok := w.(itemWorker); ok {
			r.images(b, w)
		}
		if w, ok := w.(crowd); ok {
			err = w.all(r, b, r.alive())
		}
		if err == nil {
			err = fits(b)
		}
		if err != nil {
			return &Error{Number: r.steps[n].number, Text: r.steps[n].text, Err: err}
		}
		if err := r.settle(b, n, refuse); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// alive are the records that a filter or program may still judge.
func (r *Runner) alive() []*record {
	var alive []*record
	for i := range r.records {
		if r.judged(&r.records[i]) {
			alive = append(alive, &r.records[i])
		}
	}
	return alive
}

// settle counts what step n let go, and hands on what it refused.
func (r *Runner) settle(b *item.Batch, n int, refuse Refuse) error {
	for i := range r.records {
		rec := &r.records[i]
		if rec.out == nil {
			continue
		}
		r.Refused++
		reason := &Error{Number: r.steps[n].number, Text: r.steps[n].text, Err: rec.out}
		rec.out = nil
		if refuse == nil {
			return reason
		}
		it := item.Item{Src: b.Src, Tape: b.Tape[rec.before : rec.before+b.Tape[rec.before].Skip]}
		if err := refuse(Refusal{Row: rec.index, Line: rec.line, Item: it, Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

func (rec *record) refuse(err error) { rec.out, rec.gone = err, true }

func (r *Runner) judged(rec *record) bool {
	return !rec.gone && (!r.states || rec.new != item.NoImage)
}

// drop lets a record go that does not pass.
func (r *Runner) drop(rec *record) {
	if r.states {
		rec.new, rec.old = item.NoImage, rec.new
		return
	}
	rec.gone = true
	r.Dropped++
}

func (r *Runner) subject(b *item.Batch, rec *record) *subject {
	r.at = subject{Facts: rec.facts, new: imageAt(b, rec.new), old: imageAt(b, rec.old), keys: imageAt(b, rec.keys)}
	return &r.at
}

func imageAt(b *item.Batch, row int32) item.Item {
	if row == item.NoImage {
		return item.Item{}
	}
	return b.Item(int(row))
}

func (r *Runner) judge(b *item.Batch, w judge) {
	for i := range r.records {
		rec := &r.records[i]
		if !r.judged(rec) {
			continue
		}
		s := r.subject(b, rec)
		passes, err := w.passes(s)
		switch {
		case err != nil:
			rec.refuse(err)
		case !passes:
			r.drop(rec)
		}
	}
}

func (r *Runner) images(b *item.Batch, w itemWorker) {
	for i := range r.records {
		rec := &r.records[i]
		if rec.gone {
			continue
		}
		if rec.keys == item.NoImage && !w.touches(b.Item(int(rec.new))) {
			continue
		}
		s := r.subject(b, rec)
		for _, row := range [...]int32{rec.new, rec.old, rec.keys} {
			if row == item.NoImage {
				continue
			}
			s.inKey = row == rec.keys
			if err := r.image(b, w, row, s); err != nil {
				rec.refuse(err)
				break
			}
		}
	}
}

// image has one item rewritten; its row points at the new one then.
func (r *Runner) image(b *item.Batch, w itemWorker, row int32, s *subject) error {
	if !w.touches(b.Item(int(row))) {
		return nil
	}
	r.own(b)
	it := b.Item(int(row))
	r.build.Begin(b.Rows[row].Line)
	changed, err := w.image(r.build, it, s)
	if err != nil || !changed {
		r.build.Abort()
		return err
	}
	r.replace(b, row)
	return nil
}

// replace finishes the item that was begun and puts it in the place of a row.
func (r *Runner) replace(b *item.Batch, row int32) {
	r.build.Finish()
	last := len(b.Rows) - 1
	b.Rows[row].First = b.Rows[last].First
	b.Rows = b.Rows[:last]
}

// own moves what b holds into memory of its own before anything is appended: the bytes that images came with may be those
// of a reply, whose raw records are still wanted. A batch of items is its holder's, so its memory serves the next one.
func (r *Runner) own(b *item.Batch) {
	if r.owned {
		return
	}
	r.owned = true
	s := &r.spare
	s.Src = item.GrowSlack(append(s.Src[:0], b.Src...))
	s.Tape = append(s.Tape[:0], b.Tape...)
	b.Src, s.Src = s.Src, b.Src
	b.Tape, s.Tape = s.Tape, b.Tape
	if r.lent {
		s.Src, s.Tape = nil, nil
	}
	if r.build == nil {
		r.build = item.NewBuilder(b)
	}
	r.build.Reset(b)
}

// fits keeps to the limit of a batch: offsets have 32 bits.
func fits(b *item.Batch) error {
	if len(b.Src) > item.BatchBytesMax {
		return fault.New(fault.Limit, "the steps make %d bytes of one batch; at most %d", len(b.Src), item.BatchBytesMax)
	}
	return nil
}

// isItem tells that steps see the record as an item that is copied, no change.
func (rec *record) isItem() bool {
	return rec.facts == &noFacts && rec.new != item.NoImage
}
