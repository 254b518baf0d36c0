package capture_test

import (
	"errors"
	"testing"
	"time"

	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// TestRedactNeverOpen: a record that cannot be redacted ends the run, and the log has neither it nor what comes behind it.
func TestRedactNeverOpen(t *testing.T) {
	p := openPlace(t)
	log, err := changelog.Create(t.Context(), p.folder, "log", changelog.Info{Stream: p.arn, Table: "Orders", View: feed.BothImages, Groups: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		p.post("DynamoDB_20120810.PutItem", object{"TableName": "Orders", "Item": object{"pk": object{"S": key}, "n": object{"N": "1"}}}, nil)
	}
	refused := fault.As(fault.Corrupt, errors.New("cannot be redacted"))
	err = capture.Run(t.Context(), log, p.client, p.arn, capture.Options{SegmentEvery: 10 * time.Millisecond,
		Redact: func(*feed.Page, *feed.Record) error { return refused }})
	if !errors.Is(err, refused) {
		t.Errorf("it ends with %v", err)
	}
	if got := counts(t, log); len(got) > 0 {
		t.Errorf("the log has %v", got)
	}
}
