package cli

import (
	"fmt"
	"strings"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
	"dynaferry/internal/job"
)

// showLog shows what a change log, its entries and its index objects say; known is false of all other records.
func (a *app) showLog(record job.Record, first bool) (known bool) {
	switch r := record.(type) {
	case job.LogRecord:
		a.showChangeLog(r)
	case job.LogGroupRecord:
		a.heading(first, "groups")
		text := "no entry"
		if r.Tail > 0 {
			text = fmt.Sprintf("%s entries to %s, %s records, %s, %d shards", countText(int64(r.Tail)), instant(*r.At), countText(int64(r.Records)), bytesText(r.Bytes), r.Shards)
		}
		if r.Problem != "" {
			text += ", then damage: " + r.Problem
		}
		a.line(fmt.Sprint(r.Group), "%s", text)
	case job.LogShardRecord:
		a.heading(first, "shards")
		a.line(r.ID, "%s", shardText(&r.Shard))
	case job.LogGapRecord:
		a.showGap(r, first)
	case job.LogEntryRecord:
		a.showEntry(r)
	case job.LogBlockRecord:
		a.heading(first, "blocks")
		a.showBlock(r)
	case job.LogIndexRecord:
		a.head("%s", r.Address)
		a.line("index", "%d of level %d of group %d", r.K, r.Level, r.Group)
		a.line("entries", "%d to %d", r.First, r.Last)
		a.line("records", "%s%s", countText(int64(r.Records)), spanText(r.From, r.To))
		a.line("state", "sound")
	case job.LoggedRecord:
		fmt.Fprintf(a.out, "%s\n", r.Record)
		place := fmt.Sprintf("  group %d, entry %d, block %d", r.Group, r.Entry, r.Block)
		if r.Shard != "" {
			place += ", " + r.Shard
		}
		a.story.say("%s", place)
	case job.LogCountRecord:
		a.head("count")
		a.line("entries", "%s with %s blocks of %s", countText(int64(r.Entries)), countText(int64(r.Blocks)), bytesText(r.Bytes))
		a.line("records", "%s, %s", countText(int64(r.Records)), bytesText(r.Raw))
		for _, event := range sortedKeys(r.Events) {
			if event != "" { // Kinesis records that are no changes have none
				a.line("  "+event, "%s", countText(int64(r.Events[event])))
			}
		}
	default:
		return false
	}
	return true
}

func (a *app) showChangeLog(r job.LogRecord) {
	a.head("%s", r.Address)
	of := "of a DynamoDB stream"
	if r.Kinesis {
		of = "of a Kinesis stream"
	}
	a.line("change log", "%s, format %d, since %s", of, r.Version, instant(r.Created))
	if r.Part != nil {
		a.line("holds", "%s", r.Part)
	}
	if r.Table != "" {
		a.line("table", "%s, keys %s", r.Table, keysLine(&r.Keys))
	}
	if r.View != "" {
		a.line("view", "%s", r.View)
	}
	a.line("stream", "%s", r.Stream)
	a.line("entries", "%s in %d groups, %s", countText(int64(r.Entries)), r.Groups, bytesText(r.Bytes))
	a.line("records", "%s%s", countText(int64(r.Records)), spanText(r.From, r.To))
	gaps := "none"
	if r.Gaps > 0 {
		gaps = fmt.Sprintf("%d, %d of them not healed", r.Gaps, r.Open)
	}
	a.line("gaps", "%s", gaps)
}

func spanText(from, to *time.Time) string {
	if from == nil {
		return ""
	}
	return fmt.Sprintf(", of %s to %s", instant(*from), instant(*to))
}

// instant is a time to the part of a second that is known.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z") }

func micros(at int64) string { return instant(time.UnixMicro(at)) }

// shardText is where a shard stands behind an entry.
func shardText(s *changelog.Shard) string {
	state := "open"
	if s.Closed {
		state = "closed"
	}
	text := fmt.Sprintf("%s at %s, %s records", state, positionText(s.End), countText(int64(s.Total)))
	if s.Time > 0 {
		text += " to " + micros(s.Time)
	}
	if s.Tip > 0 {
		text += ", at its tip " + micros(s.Tip)
	}
	if len(s.Parents) > 0 {
		text += ", of " + strings.Join(s.Parents, " and ")
	}
	if len(s.Children) > 0 {
		text += ", became " + strings.Join(s.Children, " and ")
	}
	if s.Taken != nil {
		text += fmt.Sprintf(", taken from entry %d of group %d", s.Taken.N, s.Taken.Group)
	}
	return text
}

func positionText(p feed.Position) string {
	if p.IsZero() {
		return "its beginning"
	}
	return p.String()
}

func (a *app) showGap(r job.LogGapRecord, first bool) {
	a.heading(first, "gaps")
	text := gapText(&r.GapNote)
	if r.Healed > 0 {
		text += fmt.Sprintf(", healed by entry %d", r.Healed)
	} else {
		text += ", not healed"
	}
	a.line(fmt.Sprintf("%d entry %d", r.Group, r.Entry), "%s", text)
	for n := range r.Shards {
		s := &r.Shards[n]
		if s.After != s.End {
			a.line("", "%s: what is behind %s, up to %s", s.ID, positionText(s.After), positionText(s.End))
		}
	}
}

func gapText(g *changelog.GapNote) string {
	text := g.Reason
	switch {
	case g.From > 0 && g.To > 0:
		text += fmt.Sprintf(", of %s to %s", micros(g.From), micros(g.To))
	case g.From > 0:
		text += ", of " + micros(g.From) + " on"
	case g.To > 0:
		text += ", of up to " + micros(g.To)
	}
	if g.Stream != "" {
		text += ", and another stream: before it was " + g.Stream
	}
	return text
}

func (a *app) showEntry(r job.LogEntryRecord) {
	a.head("%s", r.Address)
	a.line("entry", "%d of group %d: %s", r.N, r.Group, r.Kind)
	a.line("written", "%s by %s, write id %s", micros(r.At), r.Writer, r.WriteID)
	a.line("stream", "%s", r.Stream)
	if r.Through > 0 {
		a.line("through", "entry %d of the log that it is a part of", r.Through)
	}
	a.line("records", "%s in %d blocks%s", countText(int64(r.Records)), r.Blocks, spanText(r.From, r.To))
	a.line("size", "%s", bytesText(r.Size))
	switch {
	case r.Fence != nil && r.Fence.Writer != "":
		a.line("fence", "shuts out %s", r.Fence.Writer)
	case r.Release != nil:
		a.line("release", "%s to group %d", strings.Join(r.Release.Shards, ", "), r.Release.Group)
	case r.Gap != nil:
		a.line("gap", "%s", gapText(r.Gap))
	case r.Compacted != nil:
		a.line("compacted", "what changed from %s to %s, in the gap of entry %d, as %s has it", micros(r.Compacted.From), micros(r.Compacted.To), r.Compacted.Gap, r.Compacted.Source)
	}
	if len(r.Shards) == 0 {
		return
	}
	what := "shards that it touches"
	if r.Whole {
		what = "shards, all of the group"
	}
	fmt.Fprintf(a.out, "%s\n", what)
	for n := range r.Shards {
		s := &r.Shards[n]
		a.line(s.ID, "%s records behind %s; %s", countText(int64(s.Records)), positionText(s.After), shardText(s))
	}
}

func (a *app) showBlock(r job.LogBlockRecord) {
	text := fmt.Sprintf("%s records", countText(int64(r.Records)))
	if r.ID != "" {
		text += fmt.Sprintf(" of %s, %s to %s", r.ID, r.Block.First, r.Block.Last)
	}
	text += fmt.Sprintf(", %s to %s; %s of %s at byte %d, ", micros(r.From), micros(r.To), bytesText(r.Length), bytesText(r.Bytes), r.Offset)
	if r.Sound {
		text += "sound (crc32c " + r.Sum.String() + ")"
	} else {
		text += "DAMAGED: " + r.Problem
	}
	a.line(fmt.Sprint(r.Number), "%s", text)
}
