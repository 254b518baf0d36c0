package job

import (
	"time"

	"dynaferry/internal/backup"
	"dynaferry/internal/dynamo"
)

// BackupsRecord is a place of backups.
type BackupsRecord struct {
	Type    string      `json:"type"` // "backups"
	Address string      `json:"address"`
	Table   string      `json:"table"` // ARN
	Backups int         `json:"backups"`
	Times   []time.Time `json:"times"`           // what restore --at takes
	Holes   []string    `json:"holes,omitempty"` // changes that are missing
	Bytes   int64       `json:"bytes"`
}

// BackupRecord is one backup of a place.
type BackupRecord struct {
	Type       string            `json:"type"` // "backup-entry"
	Number     int               `json:"number"`
	Created    time.Time         `json:"created"`
	Kind       backup.Kind       `json:"kind"`
	By         string            `json:"by"`
	From       time.Time         `json:"from,omitzero"`
	To         time.Time         `json:"to"`
	Items      int64             `json:"items"` // or changes
	Bytes      int64             `json:"bytes"`
	Links      []backup.Link     `json:"links"` // the exports
	Settings   []dynamo.Setting  `json:"settings,omitempty"`
	Definition dynamo.Definition `json:"definition"`
}

// backups lists a catalogue.
func (i *inspection) backups(c *backup.Catalogue) error {
	r := BackupsRecord{Type: "backups", Address: i.at.String(), Table: c.Last().Table.ARN, Backups: len(c.Backups), Times: []time.Time{}}
	for _, p := range c.Points() {
		r.Times = append(r.Times, p.At)
	}
	for _, hole := range c.Holes() {
		r.Holes = append(r.Holes, hole.Error())
	}
	entries := make([]BackupRecord, len(c.Backups))
	for n, b := range c.Backups {
		e := &entries[n]
		*e = BackupRecord{Type: "backup-entry", Number: b.Number, Created: b.Created, Kind: b.Kind, By: b.By, From: b.Links[0].From, To: b.Links[len(b.Links)-1].To, Links: b.Links,
			Definition: b.Definition}
		for _, l := range b.Links {
			e.Items, e.Bytes = e.Items+l.Items, e.Bytes+l.Bytes
		}
		for _, list := range [][]dynamo.Setting{dynamo.SettingsMade, dynamo.SettingsAfter} {
			for _, s := range list {
				if b.Definition.Has(s) {
					e.Settings = append(e.Settings, s)
				}
			}
		}
		r.Bytes += e.Bytes
	}
	if err := i.emit(r); err != nil {
		return err
	}
	for _, e := range entries {
		if err := i.emit(e); err != nil {
			return err
		}
	}
	return nil
}
