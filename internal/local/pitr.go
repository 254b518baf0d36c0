package local

import "net/http"

// pitrState is that a table has continuous backups: since when, and for how many days back.
type pitrState struct {
	SinceMs int64 `json:"sinceMs"`
	Days    int64 `json:"days"`
}

func failure(name, format string, args ...any) *apiError {
	e := invalid(format, args...)
	e.Status, e.Type = http.StatusBadRequest, nsDynamo+name
	return e
}

func tableNotFound(name string) *apiError {
	return failure("TableNotFoundException", "Table not found: %s", name)
}

const saysNoPITR = "Point in time recovery is not enabled for table '%s'"

// noRecovery is the answer to who asks for the past of a table that has none.
func (t *table) noRecovery() *apiError {
	const name = "PointInTimeRecoveryUnavailableException"
	if t.copy != nil {
		return failure(name, "%s", saysCopy(t.def.Name, t.copy))
	}
	return failure(name, saysNoPITR, t.def.Name)
}

func (c *call) describeContinuousBackups() error {
	name, err := c.tableName()
	if err != nil {
		return err
	}
	t, err := c.table(name)
	if making := c.db.inMaking(name); making != nil {
		t, err = making, nil
	}
	if err == nil && t.copy != nil {
		t, err = c.caughtUp(t)
	}
	if err != nil {
		return missing(err, tableNotFound(name))
	}
	return c.replyContinuousBackups(t)
}

// replyContinuousBackups describes a table's continuous backups, which are always there; what can be turned on and off is
// whether the table can be brought back to a point in time.
func (c *call) replyContinuousBackups(t *table) error {
	type recovery struct {
		PointInTimeRecoveryStatus  string
		RecoveryPeriodInDays       int64    `json:",omitempty"`
		EarliestRestorableDateTime *seconds `json:",omitempty"`
		LatestRestorableDateTime   *seconds `json:",omitempty"`
	}
	r := recovery{PointInTimeRecoveryStatus: "DISABLED"}
	if p := t.def.PITR; p != nil {
		w := c.db.window(p)
		if t.copy != nil {
			w.latest = min(w.latest, t.copy.PassedMs)
		}
		r = recovery{"ENABLED", p.Days, maybeSeconds(w.earliest), maybeSeconds(w.latest)}
	}
	return c.replyJSON("ContinuousBackupsDescription", struct {
		ContinuousBackupsStatus        string
		PointInTimeRecoveryDescription recovery
		Dynaferry                      *copyDescription `json:",omitempty"` // what the service has no words for
	}{"ENABLED", r, describeCopy(t)})
}

func (c *call) updateContinuousBackups() error {
	name, err := c.tableName()
	if err != nil {
		return err
	}
	enable, days, err := c.readRecovery()
	if err != nil {
		return err
	}
	if c.db.relay != nil {
		return c.updateCopy(name, enable, days)
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	if c.db.inMaking(name) != nil {
		return failure("ContinuousBackupsUnavailableException", "Backups are being enabled for the table: %s. Please retry later", name)
	}
	t, err := c.table(name)
	if err != nil {
		return tableNotFound(name)
	}
	def := *t.def
	begun := enable && def.PITR == nil
	switch {
	case !enable:
		def.PITR = nil
	case def.PITR != nil:
		p := *def.PITR
		if days != nil {
			p.Days = *days
		}
		def.PITR = &p
	default:
		def.PITR = &pitrState{SinceMs: millis(c.db.now()), Days: daysMax}
		if days != nil {
			def.PITR.Days = *days
		}
	}
	if t, err = c.db.redefine(t, &def); err != nil {
		return err
	}
	if now := millis(c.db.now()); begun && now != def.PITR.SinceMs {
		// The store has kept everything since some moment between the two; what is promised begins with the later one.
		again := def
		again.PITR = &pitrState{SinceMs: now, Days: def.PITR.Days}
		if t, err = c.db.redefine(t, &again); err != nil {
			return err
		}
	}
	return c.replyContinuousBackups(t)
}

// readRecovery reads PointInTimeRecoverySpecification.
func (c *call) readRecovery() (enable bool, days *int64, err error) {
	const at = "pointInTimeRecoverySpecification"
	v := &constraints{}
	spec, present, err := c.args.object("PointInTimeRecoverySpecification", classStructure)
	if err != nil {
		return false, nil, err
	}
	if !present {
		v.notNull(at)
		return false, nil, v.err()
	}
	on, err := spec.flag("PointInTimeRecoveryEnabled")
	if err != nil {
		return false, nil, err
	}
	if on == nil {
		v.notNull(at + ".pointInTimeRecoveryEnabled")
	}
	if days, err = spec.integer("RecoveryPeriodInDays", "Integer"); err != nil {
		return false, nil, err
	}
	v.atLeast(days, at+".recoveryPeriodInDays", daysMin)
	v.atMost(days, at+".recoveryPeriodInDays", daysMax)
	if err := v.err(); err != nil {
		return false, nil, err
	}
	if !*on && days != nil {
		return false, nil, invalid("Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery.")
	}
	return *on, days, nil
}
