package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

const verbArchive = "archive"

// archivedKey is where a version of an archive keeps how far logs were read, in Extra: see archived.
const archivedKey = "archived"

// archived tells, by the address of a log, the last entry of each group whose deletions are in the archive.
type archived map[string][]source.LogSpan

// archivedThrough reads what the latest version that tells it says.
func archivedThrough(ctx context.Context, set *dataset.Set) (archived, error) {
	for n := set.Head; n >= 0; n-- {
		v, err := set.Version(ctx, n)
		if err != nil {
			return nil, err
		}
		if raw := v.Extra[archivedKey]; len(raw) > 0 {
			through := archived{}
			if err := json.Unmarshal(raw, &through); err != nil {
				return nil, fault.New(fault.Corrupt, "%s: version %d: %w", set.Root.URL(), n, err)
			}
			return through, nil
		}
	}
	return archived{}, nil
}

// ArchiveWish is what the user asked for beyond the settings of files.
type ArchiveWish struct {
	Log             string
	AcceptCompacted bool
	Table           string   // whose replicas are looked for, "" to look for none
	ReplicaLogs     []string // the logs of the other Regions of a global table
}

// NewArchive prepares an archive of what TTL deleted, from behind the entries that DEST has already.
func NewArchive(ctx context.Context, env *Env, wish ArchiveWish, set Copy) (*Request, error) {
	at, err := world.Parse(wish.Log)
	if err != nil {
		return nil, err
	}
	if err := allRegions(ctx, env, wish); err != nil {
		return nil, err
	}
	dest, err := world.Parse(set.Dest)
	if err != nil {
		return nil, err
	}
	loc, err := env.World.Peek(ctx, dest, blob.Settings{})
	if err != nil {
		return nil, err
	}
	history, err := dataset.Load(ctx, loc.Bucket, loc.Prefix)
	if err != nil {
		return nil, err
	}
	through, err := archivedThrough(ctx, history)
	if err != nil {
		return nil, err
	}
	set.Into = IntoAppend
	return NewCopy(ctx, env, verbArchive, source.Spec{Address: wish.Log, Log: &source.LogSpec{Deleted: true, Ops: []string{source.OpTTL},
		AcceptCompacted: wish.AcceptCompacted, After: through[at.String()]}}, set)
}

// allRegions refuses a global table whose other Regions are not followed: what TTL deletes in one is an ordinary deletion in the
// streams of all others.
func allRegions(ctx context.Context, env *Env, wish ArchiveWish) error {
	if wish.Table == "" {
		return nil
	}
	at, err := world.Parse(wish.Table)
	if err != nil {
		return err
	}
	client, err := env.World.Client(ctx, at)
	if err != nil {
		return err
	}
	t, err := dynamo.Describe(ctx, client, at.Host)
	if err != nil {
		return fmt.Errorf("describe %s: %w", at, err)
	}
	regions := t.Definition.ReplicaRegions()
	own := source.RegionOf(t.ARN)
	followed := map[string]bool{}
	for i, address := range append([]string{wish.Log}, wish.ReplicaLogs...) {
		src, err := source.Open(ctx, env.World, source.Spec{Address: address, Log: &source.LogSpec{Found: true}})
		if err != nil && i > 0 {
			err = fmt.Errorf("--replica-log: %w", err)
		}
		if err != nil {
			return err
		}
		of := src.Info().Log
		if i > 0 && of.Table != at.Host {
			return fault.New(fault.User, "--replica-log %s is of the table %s", address, of.Table)
		}
		followed[cmp.Or(of.Region, own)] = true
	}
	var without []string
	for _, region := range regions {
		if !followed[region] {
			without = append(without, region)
		}
	}
	if len(regions) > 0 && !slices.Contains(regions, own) && !followed[own] {
		without = append(without, own)
	}
	if len(without) == 0 {
		return nil
	}
	return fault.Hint(fault.New(fault.User, "%s is a global table: what TTL deletes in %s is an ordinary deletion elsewhere, so that the logs that are named do not tell all that expired", at,
		strings.Join(without, ", ")), "follow the table in each of its Regions, archive each log into the same place, and name the others: --replica-log LOG")
}

// throughGroups are the tasks of an archive: each tells where all of them together end.
func throughGroups(log *source.LogInfo, units []source.Unit, bytes int64, least int) (tasks []json.RawMessage) {
	through := make([]source.LogSpan, 0, len(log.Spans))
	for _, s := range log.Spans {
		through = append(through, source.LogSpan{Group: s.Group, Last: s.Last})
	}
	for _, units := range groupUnits(units, bytes, least) {
		tasks = append(tasks, marshal(group{Units: units, Through: through}))
	}
	return tasks
}

// archives tells whether the job goes on behind what was archived.
func (j *copyJob) archives() bool { return j.spec.Log != nil && j.spec.Log.Deleted }

// noteArchived puts how far the log was read into a version's extra members, beside what is known of other logs.
func (j *copyJob) noteArchived(ctx context.Context, set *dataset.Set, extra map[string]json.RawMessage, made *carried) error {
	if !j.archives() {
		return nil
	}
	through, err := archivedThrough(ctx, set)
	if err != nil {
		return err
	}
	through = maps.Clone(through)
	through[j.spec.Address] = made.Through
	extra[archivedKey] = marshal(through)
	return nil
}

// goesOn refuses to add rows that another archive of the same log has added since the plan was made, or to leave some out.
func (j *copyJob) goesOn(ctx context.Context, set *dataset.Set) error {
	if !j.archives() {
		return nil
	}
	through, err := archivedThrough(ctx, set)
	if err != nil {
		return err
	}
	if have := through[j.spec.Address]; !slices.Equal(have, j.spec.Log.After) {
		return fault.Hint(fault.New(fault.Conflict, "%s: another archive of %s has gone on meanwhile", j.at, j.spec.Address), "run the same command again: it goes on behind that")
	}
	return nil
}

// nothing is the outcome of a window without a change: no version is made.
func (j *copyJob) nothing(ctx context.Context) (plan.Outcome, error) {
	set, err := dataset.Load(ctx, j.dest.Bucket, j.dest.Prefix)
	if err != nil {
		return plan.Outcome{}, err
	}
	r := &Report{Type: "report", Destination: j.at.String(), Format: j.set.Form, Version: set.Head, Fingerprint: item.Fingerprint{}.String()}
	return plan.Outcome{Report: marshal(r)}, nil
}
