package local

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// The view types of streams.
const (
	imageKeys = "KEYS_ONLY"
	imageNew  = "NEW_IMAGE"
	imageOld  = "OLD_IMAGE"
	imageBoth = "NEW_AND_OLD_IMAGES"
)

// tableStream is a table's current stream of changes, part of its definition. One without a view is not the user's: it
// feeds a Kinesis stream.
type tableStream struct {
	ID   store.StreamID `json:"id"`
	View string         `json:"view,omitempty"`
}

// streamNote is what we remember of a stream, also after its table is gone.
type streamNote struct {
	ID        store.StreamID `json:"id"`
	Table     string         `json:"table"`
	TableID   string         `json:"tableId"` // the UUID
	View      string         `json:"view,omitempty"`
	Label     string         `json:"label"`
	Keys      item.KeySchema `json:"keys"`
	CreatedMs int64          `json:"createdMs"`
	// Opened tells when closed shards opened, in Unix ms: it is part of their names, which their children tell for longer
	// than the shards are there.
	Opened map[uint32]int64 `json:"opened,omitempty"`
}

// streamSet is all that is known of streams, beside what the store knows.
type streamSet struct {
	notes  notes[streamNote]
	making sync.Mutex

	following sync.Mutex // one shard is followed at a time

	load loadWatch
}

func streamID(id store.StreamID) string { return fmt.Sprintf("%010d", id) }

// openStreams reads the notes and forgets those of streams that never came to be, or whose time is over.
func (db *DB) openStreams() error {
	if err := db.streams.notes.open(db, "stream"); err != nil {
		return err
	}
	return db.forgetStreams()
}

// forgetStreams drops the notes of streams that the store does not keep any more.
func (db *DB) forgetStreams() error {
	if len(db.streams.notes.list()) == 0 {
		return nil
	}
	there := map[store.StreamID]bool{}
	db.change.Lock()
	defer db.change.Unlock() // no stream is between its note and its table
	for _, s := range db.store.Streams() {
		there[s.ID] = true
	}
	for id, n := range db.streams.notes.list() {
		if !there[n.ID] {
			if err := db.streams.notes.drop(id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *definition) streamSettings(s *store.Settings) {
	if d.Stream != nil {
		// Old images always: whether a change is an INSERT, and whether it is one at all, needs them in every view.
		s.Stream, s.OldImages = d.Stream.ID, true
	}
}

// beginStream gives the definition a new stream and notes it. The caller holds db.change and stores the definition; a
// note whose stream never comes is forgotten.
func (db *DB) beginStream(d *definition, view string) error {
	ms := millis(db.now())
	for _, n := range db.streams.notes.list() {
		if n.Table == d.Name && n.CreatedMs >= ms {
			ms = n.CreatedMs + 1 // labels of one table differ
		}
	}
	n := &streamNote{ID: db.store.NewStream(), Table: d.Name, TableID: d.ID, View: view, Keys: d.Keys, CreatedMs: ms,
		Label: time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000")}
	if err := db.streams.notes.put(streamID(n.ID), n); err != nil {
		return err
	}
	d.Stream = &tableStream{ID: n.ID, View: view}
	return nil
}

// streamWish is what a StreamSpecification asks for.
type streamWish struct {
	given   bool
	enabled bool
	view    string
}

// readStream reads a StreamSpecification.
func (c *call) readStream(says streamWords) (w streamWish, err error) {
	members, present, err := c.args.object("StreamSpecification", classStructure)
	if err != nil || !present {
		return w, err
	}
	w.given = true
	enabled, err := members.flag("StreamEnabled")
	if err != nil {
		return w, err
	}
	if w.view, _, err = members.text("StreamViewType"); err != nil {
		return w, err
	}
	v := &constraints{}
	if enabled == nil {
		v.notNull("streamSpecification.streamEnabled")
	} else {
		w.enabled = *enabled
	}
	v.oneOf(w.view, "streamSpecification.streamViewType", imageNew, imageOld, imageBoth, imageKeys)
	switch {
	case v.err() != nil:
		return w, v.err()
	case w.enabled && w.view == "":
		return w, invalidValue("%s", says.viewNeeded)
	case !w.enabled && w.view != "":
		return w, invalidValue("%s", says.viewAlone)
	}
	return w, nil
}

// streamWords are what an operation says about views of streams; the service calls the member UpdateViewType.
type streamWords struct{ viewNeeded, viewAlone string }

var (
	streamOfNew = streamWords{"Table is being created with a stream enabled, UpdateViewType is required",
		"Table is being created with a stream disabled, UpdateViewType should not be specified"}
	streamOfOld = streamWords{"If stream is being enabled then UpdateViewType is required",
		"If stream is being disabled, then UpdateViewType must not be specified"}
)

// restream changes the table's stream in the definition, the caller's own copy, as UpdateTable asks. db.change is held.
func (db *DB) restream(d *definition, w streamWish) error {
	public := d.Stream != nil && d.Stream.View != ""
	switch {
	case !w.given:
		return nil
	case w.enabled && public:
		return invalid("Table already has an enabled stream: TableName: %s", d.Name)
	case !w.enabled && !public:
		return invalid("Table has no stream to disable: TableName: %s", d.Name)
	case w.enabled:
		return db.beginStream(d, w.view)
	case d.Kinesis != nil:
		return db.beginStream(d, "") // the Kinesis stream goes on being fed
	}
	d.Stream = nil
	return nil
}

// beginWished begins the stream that CreateTable asked for. db.change is held.
func (db *DB) beginWished(d *definition) error {
	if !d.wish.enabled {
		return nil
	}
	return db.beginStream(d, d.wish.view)
}

// streamMembers are what a table's description tells of its stream.
type streamMembers struct {
	StreamSpecification *streamSpecification `json:",omitempty"`
	LatestStreamLabel   string               `json:",omitempty"`
	LatestStreamArn     string               `json:",omitempty"`
}

type streamSpecification struct {
	StreamEnabled  bool
	StreamViewType string
}

func (c *call) describeStreamOf(d *definition) (m streamMembers) {
	if d.Stream != nil && d.Stream.View != "" {
		m.StreamSpecification = &streamSpecification{true, d.Stream.View}
	}
	var latest *streamNote
	for _, n := range c.db.streams.notes.list() {
		if n.TableID == d.ID && n.View != "" && (latest == nil || n.ID > latest.ID) {
			latest = n
		}
	}
	if latest != nil {
		m.LatestStreamLabel, m.LatestStreamArn = latest.Label, c.streamARN(latest)
	}
	return m
}

func (c *call) streamARN(n *streamNote) string { return c.arn(n.Table) + "/stream/" + n.Label }

// streamOf finds the stream that an ARN names.
func (c *call) streamOf(arn string) (*streamNote, error) {
	table, label, ok := strings.Cut(arn, "/stream/")
	if ok {
		name, err := tableOfARN(table)
		ok = err == nil
		for _, n := range c.db.streams.notes.list() {
			if ok && n.Table == name && n.Label == label && n.View != "" {
				return n, nil
			}
		}
	}
	if !ok {
		return nil, invalid("Invalid StreamArn: Invalid ResourceArn provided as input %s", arn)
	}
	return nil, notFound("Requested resource not found: Stream: %s not found", arn)
}

// The bounds of ListStreams and DescribeStream.
const (
	streamsMax    = 100
	shardsMax     = 100
	streamARNMin  = 37
	shardIDMin    = 28
	shardIDMax    = 65
	streamARNMost = 1024
)

// text reads a required or optional text member and checks its length.
func (c *call) checked(v *constraints, name string, required bool, low, high int) (string, error) {
	text, present, err := c.args.text(name)
	if err != nil {
		return "", err
	}
	at := strings.ToLower(name[:1]) + name[1:]
	switch {
	case present:
		v.length(text, at, low, high)
	case required:
		v.notNull(at)
	}
	return text, nil
}

func (c *call) listStreams() error {
	v := &constraints{}
	limit, err := c.args.integer("Limit", "Integer")
	if err != nil {
		return err
	}
	v.atLeast(limit, "limit", 1)
	after, err := c.checked(v, "ExclusiveStartStreamArn", false, streamARNMin, streamARNMost)
	if err != nil {
		return err
	}
	table, err := c.checked(v, "TableName", false, 1, streamARNMost)
	if err != nil {
		return err
	}
	if err := v.err(); err != nil {
		return err
	}
	if limit != nil && *limit > streamsMax {
		return invalidValue("Limit cannot be greater than the maximum allowed size: %d", streamsMax)
	}
	if table != "" {
		if table, err = checkName(table); err != nil {
			return err
		}
	}
	from := store.StreamID(0)
	if after != "" {
		n, err := c.streamOf(after)
		if err != nil {
			return err
		}
		from = n.ID
	}
	var list []*streamNote
	for _, n := range c.db.streams.notes.list() {
		if n.View != "" && n.ID > from && (table == "" || n.Table == table) {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *streamNote) int { return cmp.Compare(a.ID, b.ID) })
	n := streamsMax
	if limit != nil {
		n = int(*limit)
	}
	type listed struct{ TableName, StreamArn, StreamLabel string }
	reply := struct {
		Streams                []listed
		LastEvaluatedStreamArn string `json:",omitempty"`
	}{Streams: []listed{}}
	for i, s := range list {
		if i == n {
			reply.LastEvaluatedStreamArn = c.streamARN(list[i-1])
			break
		}
		reply.Streams = append(reply.Streams, listed{s.Table, c.streamARN(s), s.Label})
	}
	return c.replyWhole(reply)
}

type shardSequences struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type streamShard struct {
	ShardId             string
	SequenceNumberRange shardSequences
	ParentShardId       string `json:",omitempty"`
}

// shardName is what readers know a shard by: when it opened, in ms with 20 digits, and its id.
func shardName(id uint32, openedMs int64) string {
	return fmt.Sprintf("shardId-%020d-%08x", openedMs, id)
}

// parseShardName returns the id in a shard's name.
func parseShardName(name string) (id uint32, ok bool) {
	var ms uint64
	_, err := fmt.Sscanf(name, "shardId-%020d-%08x", &ms, &id)
	return id, err == nil && name == shardName(id, int64(ms))
}

// shards lists a stream's shards, oldest first.
func (c *call) shards(n *streamNote) ([]store.Shard, error) {
	list, err := c.db.store.Shards(n.ID)
	if fault.KindOf(err) == fault.NotFound {
		return nil, notFound("Requested resource not found: Stream: %s not found", c.streamARN(n))
	}
	return list, err
}

// tellShard is a shard as DescribeStream shows it.
func tellShard(n *streamNote, s *store.Shard, list []store.Shard) streamShard {
	out := streamShard{ShardId: shardName(s.ID, s.Opened.UnixMilli()),
		SequenceNumberRange: shardSequences{StartingSequenceNumber: sequenceNumber(s.First + 1)}}
	if !s.Closed.IsZero() {
		out.SequenceNumberRange.EndingSequenceNumber = sequenceNumber(s.Last)
	}
	if s.Parent == 0 {
		return out
	}
	ms, known := n.Opened[s.Parent]
	for i := range list {
		if list[i].ID == s.Parent {
			ms, known = list[i].Opened.UnixMilli(), true
		}
	}
	if known {
		out.ParentShardId = shardName(s.Parent, ms)
	}
	return out
}

func (c *call) describeStream() error {
	v := &constraints{}
	arn, err := c.checked(v, "StreamArn", true, streamARNMin, streamARNMost)
	if err != nil {
		return err
	}
	limit, err := c.args.integer("Limit", "Integer")
	if err != nil {
		return err
	}
	v.atLeast(limit, "limit", 1)
	after, err := c.checked(v, "ExclusiveStartShardId", false, shardIDMin, shardIDMax)
	if err != nil {
		return err
	}
	parent, err := c.shardFilter(v)
	if err != nil {
		return err
	}
	if err := v.err(); err != nil {
		return err
	}
	if limit != nil && *limit > shardsMax {
		return invalidValue("Limit cannot be greater than the maximum: %d", shardsMax)
	}
	n, err := c.streamOf(arn)
	if err != nil {
		return err
	}
	from := uint32(0)
	if after != "" {
		var ok bool
		if from, ok = parseShardName(after); !ok {
			return invalid("Invalid ExclusiveStartShardId: %s", after)
		}
	}
	count := shardsMax
	if limit != nil {
		count = int(*limit)
	}
	return c.replyStream(n, from, parent, count)
}

// shardFilter reads a ShardFilter: the id of the shard whose children are wanted, 0 without one.
func (c *call) shardFilter(v *constraints) (parent uint32, err error) {
	filter, present, err := c.args.object("ShardFilter", classStructure)
	if err != nil || !present {
		return 0, err
	}
	kind, typed, err := filter.text("Type")
	if err != nil {
		return 0, err
	}
	v.oneOf(kind, "shardFilter.type", "CHILD_SHARDS")
	id, present, err := filter.text("ShardId")
	if err != nil {
		return 0, err
	}
	if !typed {
		v.notNull("shardFilter.type")
	}
	if !present {
		v.notNull("shardFilter.shardId")
		return 0, nil
	}
	v.length(id, "shardFilter.shardId", shardIDMin, shardIDMax)
	parent, ok := parseShardName(id)
	if !ok && v.err() == nil {
		return 0, invalid("Invalid ShardId in ShardFilter: %s", id)
	}
	return parent, nil
}

func (c *call) replyStream(n *streamNote, from, parent uint32, count int) error {
	list, err := c.shards(n)
	if err != nil {
		return err
	}
	shown, last := []streamShard{}, ""
	for i := range list {
		s := &list[i]
		if s.ID <= from || parent != 0 && s.Parent != parent {
			continue
		}
		if len(shown) == count {
			last = shown[count-1].ShardId
			break
		}
		shown = append(shown, tellShard(n, s, list))
	}
	status := "DISABLED"
	for _, s := range c.db.store.Streams() {
		if s.ID == n.ID && s.Closed.IsZero() {
			status = "ENABLED"
		}
	}
	var keys []keyElement
	for i, attr := range n.Keys.Attrs() {
		keys = append(keys, keyElement{attr.Name, []string{"HASH", "RANGE"}[i]})
	}
	return c.replyJSON("StreamDescription", struct {
		StreamArn, StreamLabel, StreamStatus, StreamViewType string
		CreationRequestDateTime                              seconds
		TableName                                            string
		KeySchema                                            []keyElement
		Shards                                               []streamShard
		LastEvaluatedShardId                                 string `json:",omitempty"`
	}{c.streamARN(n), n.Label, status, n.View, seconds(n.CreatedMs), n.Table, keys, shown, last})
}
