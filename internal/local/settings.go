package local

import (
	"time"

	"dynaferry/internal/local/store"
)

// settings are what the store has to keep of a table with this definition.
func (d *definition) settings() store.Settings {
	s := store.Settings{}
	if d.PITR != nil {
		s.History = time.Duration(d.PITR.Days) * day
	}
	return s
}
