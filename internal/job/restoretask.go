package job

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// Task makes the table, loads it, or reads it again.
func (j *restoreJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	switch j.set.Stage {
	case stageTable:
		var task restoreTask
		if err := json.Unmarshal(a.Task.Body, &task); err != nil {
			return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
		}
		made, err := j.tableTask(ctx, &task)
		if err != nil {
			return nil, err
		}
		return marshal(made), nil
	case stageLoad:
		return j.inner.Task(ctx, a)
	case stageProve:
		return j.proveTask(ctx, a)
	}
	return nil, fault.New(fault.Corrupt, "no stage %q", j.set.Stage)
}

// tableTask makes the table. One of an attempt that died is taken for this one's: it was not there when the restore was
// planned, is empty, and has the keys.
func (j *restoreJob) tableTask(ctx context.Context, task *restoreTask) (*restored, error) {
	if task.Spec == nil {
		if _, err := j.control.RestoreTo(ctx, j.from.Host, j.at.Host, task.At); err != nil {
			return nil, fmt.Errorf("restore %s to %s: %w", j.from, timeText(task.At), err)
		}
		t, err := j.awaitActive(ctx)
		if err != nil {
			return nil, err
		}
		return &restored{ID: tableIDOf(t), ARN: t.ARN, Empty: true}, nil
	}
	if j.set.ARN != "" {
		return j.liveTable(ctx)
	}
	def := definitionFor(task.Definition, j.at.Host, j.set.Without)
	t, err := j.control.Make(ctx, &def)
	if fault.KindOf(err) == fault.Conflict {
		return j.adopt(ctx, task)
	}
	if k := fault.KindOf(err); k == fault.User || k == fault.Unsupported {
		return nil, fault.Hint(fmt.Errorf("make %s: %w", j.at, err), "leave away what the endpoint does not take: --without encryption, for instance; settings are %v", dynamo.SettingsMade)
	}
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", j.at, err)
	}
	j.env.say("made table %s", j.at.Host)
	return &restored{ID: tableIDOf(t), ARN: t.ARN, Empty: true}, nil
}

func (j *restoreJob) liveTable(ctx context.Context) (*restored, error) {
	t, err := dynamo.Describe(ctx, j.client, j.at.Host)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", j.at, err)
	}
	if t.ARN != j.set.ARN {
		return nil, fault.New(fault.Conflict, "--arn %s: %s is %s", j.set.ARN, j.at, t.ARN)
	}
	made := &restored{ID: tableIDOf(t), ARN: t.ARN}
	if made.Empty, err = dynamo.Empty(ctx, j.client, j.at.Host); err != nil {
		return nil, fmt.Errorf("look whether %s is empty: %w", j.at, err)
	}
	return made, nil
}

// adopt takes a table that an earlier attempt has made.
func (j *restoreJob) adopt(ctx context.Context, task *restoreTask) (*restored, error) {
	t, err := j.awaitActive(ctx)
	if err != nil {
		return nil, err
	}
	empty, err := dynamo.Empty(ctx, j.client, j.at.Host)
	if err != nil {
		return nil, fmt.Errorf("look whether %s is empty: %w", j.at, err)
	}
	if !empty || t.Keys != task.Definition.Keys {
		return nil, fault.Hint(fault.New(fault.Conflict, "%s was made by somebody else since this restore began", j.at), "restore into another table")
	}
	return &restored{ID: tableIDOf(t), ARN: t.ARN, Empty: true}, nil
}

// awaitActive waits until the table can be used, however long the service makes it take.
func (j *restoreJob) awaitActive(ctx context.Context) (t *dynamo.Table, err error) {
	begun := time.Now()
	err = poll(ctx, func() (bool, error) {
		if t, err = j.client.Describe(ctx, j.at.Host); err != nil || t.Status == "ACTIVE" {
			return err == nil, err
		}
		j.env.progress("table %s: %s, waiting for %s", j.at.Host, t.Status, time.Since(begun).Round(time.Second))
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", j.at, err)
	}
	return t, nil
}

// proof is a proving task's result.
type proof struct {
	Fingerprint string  `json:"fingerprint"`
	Units       float64 `json:"units"`
}

// table is the restored table as a source, read consistently.
func (j *restoreJob) table(ctx context.Context) (source.Source, error) {
	src, err := j.proof.open(ctx, j.env, source.Spec{Address: j.at.String(), Consistent: true})
	if err != nil {
		return nil, err
	}
	if tableIDOf(src.Info().Table) != j.set.Made.ID {
		return nil, fault.New(fault.Conflict, "%s is not the table that was restored: it was deleted and made again", j.at)
	}
	return src, nil
}

func (j *restoreJob) proveTask(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	var u source.Unit
	if err := json.Unmarshal(a.Task.Body, &u); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	src, err := j.table(ctx)
	if err != nil {
		return nil, err
	}
	var o source.ReadOptions
	var p proof
	err = j.reads.read(ctx, j.env, src, j.set.ReadUnits, &o, func(units float64) {
		p.Units += units
		a.Meter.Note("read units", units)
	})
	if err != nil {
		return nil, err
	}
	var sum item.Fingerprint
	var hasher item.Hasher
	err = readUnit(ctx, src, u, o, func(b *item.Batch) error {
		for i := range b.Rows {
			sum.Add(hasher.Item(b.Item(i)))
		}
		a.Meter.Note("items read again", float64(b.Len()))
		return nil
	})
	p.Fingerprint = sum.String()
	return marshal(p), err
}

// Check is the import's.
func (j *restoreJob) Check(ctx context.Context, r plan.Result) error {
	if j.inner != nil {
		return j.inner.Check(ctx, r)
	}
	return nil
}

// Sweep removes what the plan staged.
func (j *restoreJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}
