package source

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// TestTies: whatever the order in which the changes of one millisecond come, and however often each, the last one is the one that was made last.
func TestTies(t *testing.T) {
	keys := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		var lines []string
		now := ""
		for n := range 1 + r.IntN(7) {
			next := ""
			if now == "" || r.IntN(3) > 0 {
				next = fmt.Sprintf(`{"id":{"S":"a"},"v":{"N":"%d"}}`, r.IntN(4))
			}
			if next == now {
				continue // which leaves no record
			}
			event, images := "MODIFY", fmt.Sprintf(`,"OldImage":%s,"NewImage":%s`, now, next)
			switch {
			case now == "":
				event, images = "INSERT", `,"NewImage":`+next
			case next == "":
				event, images = "REMOVE", `,"OldImage":`+now
			}
			lines = append(lines, fmt.Sprintf(`{"kinesis":{"sequenceNumber":"%d","partitionKey":"p"},"data":{"eventID":"%d","eventName":"%s","dynamodb":{"ApproximateCreationDateTime":1795665286367,"Keys":{"id":{"S":"a"}}%s}}}`,
				n+1, n, event, images))
			now = next
		}
		if len(lines) == 0 {
			continue
		}
		// One of the time before, or one of the time behind: else nobody knows of a walk that ends where it began.
		made := len(lines) + 1
		switch {
		case r.IntN(2) == 0:
			lines = append(lines, `{"kinesis":{"sequenceNumber":"90","partitionKey":"p"},"data":{"eventID":"x","eventName":"REMOVE","dynamodb":{"ApproximateCreationDateTime":1795665286366,"Keys":{"id":{"S":"a"}},"OldImage":{"id":{"S":"a"}}}}}`)
		case now != "":
			lines = append(lines, fmt.Sprintf(`{"kinesis":{"sequenceNumber":"91","partitionKey":"p"},"data":{"eventID":"x","eventName":"REMOVE","dynamodb":{"ApproximateCreationDateTime":1795665286368,"Keys":{"id":{"S":"a"}},"OldImage":%s}}}`, now))
		default:
			lines = append(lines, `{"kinesis":{"sequenceNumber":"91","partitionKey":"p"},"data":{"eventID":"x","eventName":"INSERT","dynamodb":{"ApproximateCreationDateTime":1795665286368,"Keys":{"id":{"S":"a"}},"NewImage":{"id":{"S":"a"}}}}}`)
		}
		lines = append(lines, lines[r.IntN(made)])
		r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		page := new(feed.Page)
		text := ""
		for _, line := range lines {
			text += line + "\n"
		}
		page.Items.Src = item.WithSlack([]byte(text))
		if err := ddbjson.ParseLogRecords(page, nil); err != nil {
			t.Fatal(err)
		}
		order := ordered(page, keys)
		if len(order) != made || len(slices.Compact(slices.Sorted(slices.Values(order)))) != made {
			t.Fatalf("seed %d: %v of %d changes", seed, order, made)
		}
		last := "none"
		for _, i := range order {
			if c := &page.Records[i]; string(c.EventID) != "x" {
				if last = ""; c.New != item.NoImage {
					last = string(page.Items.Item(int(c.New)).Raw())
				}
			}
		}
		if last != now {
			t.Fatalf("seed %d: ends at %q, not at %q\n%s", seed, last, now, text)
		}
	}
}
