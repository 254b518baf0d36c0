package local

import (
	"context"
	"math"
	"strconv"
	"time"

	"dynaferry/internal/local/store"
)

// The service's times (Developer Guide, "Point-in-time recovery" and "DynamoDB data export to Amazon S3").
const (
	daysMin       = 1
	daysMax       = 35
	strictLag     = 5 * time.Minute  // what is younger cannot be restored or exported yet
	strictWindow  = 15 * time.Minute // the shortest incremental window
	windowMax     = 24 * time.Hour
	day           = 24 * time.Hour
	tokenLifetime = 8 * time.Hour // of a client token, from the end of its request
	jobsListed    = 90 * 24 * time.Hour
)

// moment returns a time member in Unix ms, nil when absent. Requests have seconds since 1970, with or without a fraction.
func (a args) moment(name string) (*int64, error) {
	raw := a.get(name)
	if raw == nil {
		return nil, nil
	}
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return nil, wrongType(raw, "Date")
	}
	const farthest = 1 << 40 // seconds
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) > farthest {
		return nil, serialization("%s cannot be converted to Date", kindWord(raw))
	}
	ms := int64(math.Round(f * 1000))
	return &ms, nil
}

// A past state is named by its end: the state at t is what all writes before t have made, so that a full export at t and
// an incremental one from t neither overlap nor leave a gap. What is asked of the store is the millisecond before.
func before(ms int64) time.Time { return time.UnixMilli(ms - 1) }

// latest is the end of all that is acknowledged now.
func latest(now time.Time) int64 { return millis(now) + 1 }

// reached waits until all that a table of the store was before ms is there: see settled, and of an upstream's table until it
// is followed so far.
func (db *DB) reached(ctx context.Context, id store.TableID, ms int64) error {
	if db.relay != nil {
		return db.relay.reached(ctx, id, ms)
	}
	db.settled(ms)
	return nil
}

// settled waits until no write can be given a time before ms any more. A clock that tests hold does not get there; then
// everything written is what there is.
func (db *DB) settled(ms int64) {
	const tries = 10
	for range tries {
		if millis(db.now()) >= ms {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// window is the span of time that a table can be brought back to: [earliest, latest] in Unix ms.
type window struct{ earliest, latest int64 }

// window of a table with continuous backups. The second in which they were turned on belongs to it, as the service knows
// no finer times.
func (db *DB) window(p *pitrState) window {
	now := db.now()
	since := max(p.SinceMs, millis(now.Add(-time.Duration(p.Days)*day)))
	w := window{earliest: since - since%1000, latest: latest(now)}
	if db.opts.StrictTimes {
		w.latest = max(w.earliest, millis(now.Add(-strictLag)))
	}
	return w
}

func (w window) holds(ms int64) bool { return ms >= w.earliest && ms <= w.latest }

// from is the first moment that the store can answer for when ms is asked for; see window.
func (p *pitrState) from(ms int64) int64 { return max(ms, p.SinceMs+1) }

// clockText is a time for people.
func clockText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
