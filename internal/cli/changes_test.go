package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/changelog"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// changesInto is "changes LOG FILE [VIEW [TABLE [REGION]]]": the lines of FILE become a change log in the folder LOG, as capture would have kept
// them. A line is what happened, in short:
//
//	TIME put|ttl|delete KEYS NEW OLD     - for an image that is not there
//	TIME tip                             every change up to it is in the log
//	TIME gap REASON
//	TIME state KEYS NEW OLD              a final state of what is missing, written at TIME
//	TIME heal GAP FROM TO                the entry of these, for the gap of entry GAP
//	cut                                  what follows goes into another entry
//	release                              the shard goes from group 1, where it is then from the beginning, to group 0
//
// TIME is a clock time of the first of March 2026, or a whole one in RFC 3339. With a log that is there they are added to it.
func changesInto(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: changes LOG FILE [VIEW [TABLE [REGION]]]")
	}
	view := feed.BothImages
	if len(args) > 2 {
		view = feed.View(args[2])
	}
	table := "Orders"
	if len(args) > 3 {
		table = args[3]
	}
	region := "us-east-1"
	if len(args) > 4 {
		region = args[4]
	}
	bucket, err := folder.Open(ts.MkAbs(args[0]), folder.Options{})
	ts.Check(err)
	ctx := context.Background()
	w := &changeWriter{ts: ts, view: view}
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[1])), "\n")
	keys, first := w.keysOf(lines), uint32(0)
	if slices.Contains(lines, "release") {
		first = 1
	}
	log, err := changelog.Create(ctx, bucket, "", changelog.Info{Stream: "arn:aws:dynamodb:" + region + ":000000000000:table/" + table + "/stream/1", Table: table, Keys: keys, View: view,
		Groups: 1 + first, Created: clock(ts, "00:00:00")})
	ts.Check(err)
	w.log, w.keys = log, keys
	w.chain, err = log.Chain(ctx, first, "writer", changelog.ChainOptions{})
	ts.Check(err)
	if w.chain.State().N > 0 {
		_, err := w.chain.Append(ctx, &changelog.Draft{Kind: changelog.Fence, At: clock(ts, "00:00:00").UnixMicro()})
		ts.Check(err)
	}
	w.build, err = changelog.NewBuilder(w.chain.State(), changelog.BuilderOptions{BlockBytes: 2 << 10})
	ts.Check(err)
	if s := w.chain.State().Shard("shard"); s == nil {
		ts.Check(w.build.Begin(changelog.Shard{ID: "shard"}))
	} else {
		w.seq = s.Total + 1000
	}
	for _, line := range lines {
		w.line(line)
	}
	w.cut()
}

type changeWriter struct {
	ts    *testscript.TestScript
	view  feed.View
	keys  item.KeySchema
	log   *changelog.Log
	chain *changelog.Chain
	build *changelog.Builder
	seq   uint64
	at    time.Time
}

func clock(ts *testscript.TestScript, text string) time.Time {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at
	}
	at, err := time.Parse("2006-01-02 15:04:05", "2026-03-01 "+text)
	ts.Check(err)
	return at
}

// keysOf takes the key attributes, the first the hash key, of the first change.
func (w *changeWriter) keysOf(lines []string) (keys item.KeySchema) {
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 5 {
			continue
		}
		it := w.item(words[2])
		for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
			attr := item.KeyAttr{Name: string(it.Text(at)), Type: it.Tape[at+1].Type}
			if keys.Hash.Name == "" {
				keys.Hash = attr
			} else {
				keys.Range = attr
			}
		}
		return keys
	}
	return keys
}

func (w *changeWriter) item(text string) item.Item {
	b := item.Batch{Src: item.WithSlack([]byte(text))}
	w.ts.Check(ddbjson.Parse(&b, 0))
	return b.Item(0)
}

func (w *changeWriter) line(line string) {
	words := strings.Fields(line)
	if len(words) == 1 && words[0] == "cut" {
		w.cut()
		return
	}
	if len(words) == 1 && words[0] == "release" {
		w.release()
		return
	}
	if len(words) < 2 {
		w.ts.Fatalf("%q says nothing", line)
	}
	w.at = clock(w.ts, words[0])
	switch words[1] {
	case "tip":
		w.ts.Check(w.build.Tip("shard", w.at.UnixMicro()))
	case "gap":
		w.cut()
		w.seq += 10
		d, err := w.build.Gap(changelog.GapNote{Reason: strings.Join(words[2:], " ")}, map[string]feed.Position{"shard": {Seq: feed.Number(strconv.FormatUint(w.seq, 10))}})
		w.ts.Check(err)
		d.At = w.at.UnixMicro()
		_, err = w.chain.Append(context.Background(), d)
		w.ts.Check(err)
	case "state":
		w.state(words[2], words[3], words[4])
	case "heal":
		gap, err := strconv.ParseUint(words[2], 10, 64)
		w.ts.Check(err)
		d := w.build.Cut()
		d.Kind, d.At = changelog.Compacted, w.at.UnixMicro()
		d.Compacted = &changelog.CompactedNote{Gap: gap, From: clock(w.ts, words[3]).UnixMicro(), To: clock(w.ts, words[4]).UnixMicro(), Source: "an export"}
		_, err = w.chain.Append(context.Background(), d)
		w.ts.Check(err)
	case "put", "delete", "ttl":
		if len(words) != 5 {
			w.ts.Fatalf("%q has not five words", line)
		}
		w.record(words[1], words[2], words[3], words[4])
	default:
		w.ts.Fatalf("%q: what is %s?", line, words[1])
	}
}

func (w *changeWriter) record(what, key, after, before string) {
	w.seq++
	change := map[string]any{"ApproximateCreationDateTime": w.at.Unix(), "Keys": json.RawMessage(key), "SequenceNumber": strconv.FormatUint(w.seq, 10),
		"SizeBytes": len(after) + len(before), "StreamViewType": w.view}
	name := "MODIFY"
	if before == "-" {
		name = "INSERT"
	} else if w.view.HasOld() {
		change["OldImage"] = json.RawMessage(before)
	}
	if after == "-" {
		name = "REMOVE"
	} else if w.view.HasNew() {
		change["NewImage"] = json.RawMessage(after)
	}
	record := map[string]any{"eventID": fmt.Sprintf("%032x", w.seq), "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1", "dynamodb": change}
	if what == "ttl" {
		record["userIdentity"] = map[string]string{"type": "Service", "principalId": "dynamodb.amazonaws.com"}
	}
	raw, err := json.Marshal(record)
	w.ts.Check(err)
	canonical, err := w.keys.AppendKey(nil, w.item(key))
	w.ts.Check(err)
	w.ts.Check(w.build.Add("shard", changelog.Record{Raw: bytes.TrimSpace(raw), Position: feed.Position{Seq: feed.Number(strconv.FormatUint(w.seq, 10))},
		Micros: w.at.UnixMicro(), Key: changelog.KeyHash(canonical)}))
}

// state adds a final state, as incremental exports tell it.
func (w *changeWriter) state(key, after, before string) {
	line := map[string]any{"Metadata": map[string]any{"WriteTimestampMicros": map[string]string{"N": strconv.FormatInt(w.at.UnixMicro(), 10)}}, "Keys": json.RawMessage(key)}
	for name, image := range map[string]string{"NewImage": after, "OldImage": before} {
		if image != "-" {
			line[name] = json.RawMessage(image)
		}
	}
	raw, err := json.Marshal(line)
	w.ts.Check(err)
	canonical, err := w.keys.AppendKey(nil, w.item(key))
	w.ts.Check(err)
	w.ts.Check(w.build.AddLoose(changelog.Record{Raw: raw, Micros: w.at.UnixMicro(), Key: changelog.KeyHash(canonical)}))
}

// release lets the shard go from one group to the other.
func (w *changeWriter) release() {
	w.cut()
	ctx := context.Background()
	shard := *w.chain.State().Shard("shard")
	d, err := w.build.Release(0, shard.ID)
	w.ts.Check(err)
	d.At = w.at.UnixMicro()
	e, err := w.chain.Append(ctx, d)
	w.ts.Check(err)
	w.chain, err = w.log.Chain(ctx, 0, "writer", changelog.ChainOptions{})
	w.ts.Check(err)
	w.build, err = changelog.NewBuilder(w.chain.State(), changelog.BuilderOptions{BlockBytes: 2 << 10})
	w.ts.Check(err)
	shard.Taken = &changelog.Taken{Group: e.Group, N: e.N}
	w.ts.Check(w.build.Begin(shard))
}

func (w *changeWriter) cut() {
	if !w.build.Touched() {
		return
	}
	d := w.build.Cut()
	d.At = cmp.Or(w.at.UnixMicro(), 1)
	_, err := w.chain.Append(context.Background(), d)
	w.ts.Check(err)
}
