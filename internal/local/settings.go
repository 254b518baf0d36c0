package local

import (
	"time"

	"dynaferry/internal/local/store"
)

// historySlack is how much longer than promised the past is kept, so that an export or restore at the edge has time to finish.
const historySlack = time.Hour

// settings are what the store has to keep of a table with this definition.
func (d *definition) settings() store.Settings {
	s := store.Settings{}
	d.streamSettings(&s)
	d.ttlSettings(&s)
	if d.PITR != nil {
		s.History = time.Duration(d.PITR.Days)*day + historySlack
	}
	for _, ix := range d.Indexes {
		s.Indexes = append(s.Indexes, ix.ID)
	}
	return s
}
